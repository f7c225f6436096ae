"""Grammar nodes that stand for one character, read back as a class such as `[A-Z0-9]`.

Nodes know bytes only; people want to see characters. What is not plainly a set of characters is
left to the caller.
"""

from __future__ import annotations

import itertools
from functools import cache, lru_cache

from ctrlgen.constraints.charset import Ranges, complement, escape_class, normalise
from ctrlgen.constraints.nodes import Bytes, ByteSet, Choice, Node, Seq

MOST_SEQUENCES = 4096
"""What takes more byte sequences to say is not read back."""
MOST_VISITS = 4096
"""What has more nodes, shared ones counted each time, is not read back either."""

_CONTINUATIONS = ((1 << 64) - 1) << 0x80
_FEW = 64  # characters that a class may leave out and be told by them
_SHOWN = 6  # ranges of a class; the rest is an ellipsis
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", " ": "␣"}

Sets = tuple[int, ...]
"""One set of bytes, as a 256-bit integer, for each byte of a character."""


@lru_cache(maxsize=4096)
def characters(node: Node) -> Ranges | None:
    """The characters that `node` is one of; None if it is no set of single characters."""
    sequences = _Reader().sequences(node)
    if sequences is None:
        return None
    found: list[tuple[int, int]] = []
    for sets in sequences:
        ranges = _ranges(sets)
        if ranges is None:
            return None
        found += ranges
    return normalise(found)


class _Reader:
    """Spells a node out, as far as a set of characters may need.

    Nodes share parts, so a small one may be the root of a tree without end: visits are counted.
    """

    def __init__(self) -> None:
        self._left = MOST_VISITS

    def sequences(self, node: Node) -> list[Sets] | None:
        """The byte sets of every word of `node`, each at most four long; None if it is too much."""
        self._left -= 1
        if self._left < 0:
            return None
        match node:
            case ByteSet(members):
                return [(members,)] if members else None
            case Bytes(data):
                return [tuple(1 << byte for byte in data)] if 0 < len(data) <= 4 else None
            case Choice(items) if items:
                return self._joined(items)
            case Seq(items) if 1 < len(items) <= 4:
                return self._product(items)
        return None

    def _joined(self, items: tuple[Node, ...]) -> list[Sets] | None:
        out: list[Sets] = []
        for item in items:
            part = self.sequences(item)
            if part is None or len(out) + len(part) > MOST_SEQUENCES:
                return None
            out += part
        return out

    def _product(self, items: tuple[Node, ...]) -> list[Sets] | None:
        out: list[Sets] = [()]
        for item in items:
            part = self.sequences(item)
            if part is None or len(out) * len(part) > MOST_SEQUENCES:
                return None
            out = [(*start, *end) for start in out for end in part]
        return out if all(len(sets) <= 4 for sets in out) else None


def _ranges(sets: Sets) -> list[tuple[int, int]] | None:
    """The code points that sets of bytes spell together; None unless each is one character."""
    if len(sets) == 1:
        return [(b, b) for b in _bytes(sets[0])] if sets[0] < 1 << 0x80 else None
    leads = _bytes(sets[0])
    length = len(sets)
    first, last = {2: (0xC2, 0xDF), 3: (0xE0, 0xEF), 4: (0xF0, 0xF4)}.get(length, (1, 0))
    if not all(first <= lead <= last for lead in leads):
        return None
    if any(members & ~_CONTINUATIONS for members in sets[1:]):
        return None
    free = 0  # bytes at the end that may be any continuation
    while free < length - 1 and sets[length - 1 - free] == _CONTINUATIONS:
        free += 1
    out, width = [], 64**free
    for row in itertools.product(leads, *map(_bytes, sets[1 : length - free])):
        code = row[0] & (0x7F >> length)
        for byte in row[1:]:
            code = code << 6 | byte & 0x3F
        out.append((code * width, code * width + width - 1))
    return out


def _bytes(members: int) -> list[int]:
    return [byte for byte in range(256) if members >> byte & 1]


def spelled(ranges: Ranges) -> str:
    """A class as a regular expression would have it, cut short where it is long."""
    if name := _names().get(ranges):
        return name
    outside = complement(ranges)
    if not outside:
        return "any character"
    if sum(last - first + 1 for first, last in outside) <= _FEW and len(outside) <= _SHOWN:
        return f"any but {_listed(outside)}"
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return spelled_character(chr(ranges[0][0]))
    return f"[{_listed(ranges)}]"


@cache
def _names() -> dict[Ranges, str]:
    r"""`\d`, `\w` and the like, Unicode's and ASCII's."""
    return {
        escape_class(letter, ascii_only=ascii_only): f"\\{letter}"
        for ascii_only in (True, False)
        for letter in "dswDSW"
    }


def _listed(ranges: Ranges) -> str:
    shown = "".join(_range(first, last) for first, last in ranges[:_SHOWN])
    return shown + "…" * (len(ranges) > _SHOWN)


def _range(first: int, last: int) -> str:
    ends = [spelled_character(chr(code)) for code in (first, last)]
    return ends[0] if first == last else "".join(ends) if last == first + 1 else "-".join(ends)


def spelled_character(character: str) -> str:
    """A character, or how it is written when it cannot be seen."""
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\u{ord(character):04x}"


def letter_of_any_case(ranges: Ranges) -> str | None:
    """The lower case of the one letter that these are the cases of, if so.

    Ignoring case, Python takes the Kelvin sign, the long s and Turkish letters for ASCII ones.
    """
    if not 2 <= sum(last - first + 1 for first, last in ranges) <= 4:
        return None
    cases = [chr(code) for first, last in ranges for code in range(first, last + 1)]
    folded = {c.casefold() for c in cases if c.isascii() or not cases[0].isascii()}
    return folded.pop() if len(folded) == 1 else None
