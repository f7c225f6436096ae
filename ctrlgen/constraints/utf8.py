r"""Sets of code points as sets of UTF-8 byte strings.

Only well-formed UTF-8 comes out: no overlong forms, no surrogates. A set becomes a trie whose
equal branches are one node, so `\w` (about 750 ranges) is some hundred byte sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .charset import Ranges, clip, normalise
from .nodes import Bytes, ByteSet, Choice, Node, Seq

# Code points by length of their encoding, with the first byte's fixed bits.
_LENGTHS = (
    (0x00, 0x7F, 0, 0x00),
    (0x80, 0x7FF, 1, 0xC0),
    (0x800, 0xFFFF, 2, 0xE0),
    (0x10000, 0x10FFFF, 3, 0xF0),
)
_CONTINUATION = 0x80


def utf8_range(first: int, last: int) -> Node:
    """The code points from `first` to `last`, both included, surrogates left out."""
    return utf8_class(((first, last),))


def utf8_class(ranges: Iterable[tuple[int, int]]) -> Node:
    """A set of inclusive code point ranges, surrogates left out; its ASCII part is one byte set."""
    return _cached_class(normalise(ranges))


@lru_cache(maxsize=256)
def _cached_class(ranges: Ranges) -> Node:
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return Bytes(chr(ranges[0][0]).encode())
    parts: list[Node] = []
    for first, last, following, lead in _LENGTHS:
        inside = clip(ranges, first, last)
        if inside:
            parts.extend(_spell(inside, following, lead))
    return parts[0] if len(parts) == 1 else Choice(tuple(parts))


@lru_cache(maxsize=4096)
def _spell(ranges: Ranges, following: int, fixed: int) -> tuple[Node, ...]:
    """Alternatives for numbers written as one byte over `fixed` and `following` more bytes."""
    if not following:
        return (ByteSet(sum((2 << last) - (1 << first) for first, last in ranges) << fixed),)
    by_tail: dict[Ranges, int] = {}
    for byte, tail in _split(ranges, 6 * following):
        by_tail[tail] = by_tail.get(tail, 0) | (1 << (byte + fixed))
    nodes: list[Node] = []
    for tail, members in by_tail.items():
        rest = _spell(tail, following - 1, _CONTINUATION)
        nodes.append(Seq((ByteSet(members), rest[0] if len(rest) == 1 else Choice(rest))))
    return tuple(nodes)


def _split(ranges: Ranges, bits: int) -> list[tuple[int, Ranges]]:
    """Each high part that occurs in `ranges`, with the ranges of its low `bits` bits."""
    size = 1 << bits
    tails: dict[int, list[tuple[int, int]]] = {}
    for first, last in ranges:
        for high in range(first >> bits, (last >> bits) + 1):
            low = max(first - high * size, 0), min(last - high * size, size - 1)
            tails.setdefault(high, []).append(low)
    return [(high, tuple(tail)) for high, tail in tails.items()]
