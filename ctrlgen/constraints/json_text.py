"""JSON's own spelling as nodes: string bodies, literals, keys, and the parts of numbers.

Two spellings of a string body are used. The *free* one has every escape of RFC 8259. In the
*canonical* one each text has exactly one spelling, the one of `json.dumps(ensure_ascii=False)`, so
that an intersection or a complement of spellings is one of texts: patterns and keys need it.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from ctrlgen.constraints.build import concat
from ctrlgen.constraints.nodes import (
    EMPTY,
    NOTHING,
    And,
    Bytes,
    ByteSet,
    Choice,
    Node,
    Not,
    Repeat,
    Seq,
    byte_range,
)
from ctrlgen.constraints.utf8 import utf8_class

DIGIT = byte_range(0x30, 0x39)
LEADING = byte_range(0x31, 0x39)
MINUS = Bytes(b"-")
POINT = Bytes(b".")

_LAST = 0x10FFFF
_ESCAPED = (*range(0x20), ord('"'), ord("\\"))
_PLAIN = ((0x20, 0x21), (0x23, 0x5B), (0x5D, _LAST))


def spell(value: Any, separators: tuple[bytes, bytes] = (b",", b":")) -> bytes:
    """The JSON text of `value`, compact by default; lone surrogates and NaN raise ValueError."""
    comma, colon = (each.decode() for each in separators)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(comma, colon))
    return text.encode()


def all_of(items: list[Node]) -> Node:
    """The intersection of `items`, without an `And` around a single one."""
    return items[0] if len(items) == 1 else And(tuple(items))


def any_of(items: list[Node]) -> Node:
    """The union of `items`, without a `Choice` around a single one."""
    items = [item for item in items if item is not NOTHING]
    return NOTHING if not items else items[0] if len(items) == 1 else Choice(tuple(items))


def canonical_range(first: int, last: int) -> Node:
    """One code point between `first` and `last`, in canonical spelling inside a string body."""
    escapes = frozenset(spell(chr(code))[1:-1] for code in _ESCAPED if first <= code <= last)
    plain = [(max(first, low), min(last, high)) for low, high in _PLAIN]
    plain = [(low, high) for low, high in plain if low <= high]
    return any_of(
        [_one_of_words(escapes), utf8_class(plain)] if plain else [_one_of_words(escapes)]
    )


@cache
def _one_of_words(words: frozenset[bytes]) -> Node:
    """One of these words, of which none begins another, so that few branches are open at once."""
    rests: dict[int, set[bytes]] = {}
    for word in words:
        if not word:
            return EMPTY
        rests.setdefault(word[0], set()).add(word[1:])
    members: dict[frozenset[bytes], int] = {}
    for first, rest in rests.items():
        members[frozenset(rest)] = members.get(frozenset(rest), 0) | 1 << first
    return any_of([concat((ByteSet(m), _one_of_words(rest))) for rest, m in members.items()])


def one_of(characters: str) -> ByteSet:
    """Any one of these ASCII characters."""
    return ByteSet(sum(1 << ord(character) for character in set(characters)))


def _free_character() -> Node:
    """One code point in any spelling; a surrogate pair of escapes is one code point."""
    digit = one_of("0123456789abcdefABCDEF")
    plain = Seq((one_of("0123456789abcefABCEF"), digit, digit, digit))
    d_block = Seq((one_of("dD"), byte_range(0x30, 0x37), digit, digit))
    high = Seq((one_of("dD"), one_of("89abAB"), digit, digit))
    low = Seq((one_of("dD"), one_of("cdefCDEF"), digit, digit))
    pair = Seq((high, Bytes(b"\\u"), low))
    return Choice(
        (
            utf8_class(_PLAIN),
            Seq((Bytes(b"\\"), one_of('"\\/bfnrt'))),
            Seq((Bytes(b"\\u"), Choice((plain, d_block, pair)))),
        )
    )


FREE_CHARACTER = _free_character()
CANONICAL_CHARACTER = canonical_range(0, _LAST)


def quoted(body: Node) -> Node:
    """`body` between quotes."""
    return Seq((Bytes(b'"'), body, Bytes(b'"')))


def any_text(minimum: int = 0, maximum: int | None = None, *, canonical: bool = False) -> Node:
    """A string body of `minimum` to `maximum` code points."""
    return Repeat(CANONICAL_CHARACTER if canonical else FREE_CHARACTER, minimum, maximum)


def key_outside(key: Node, names: list[str]) -> Node:
    """The canonical spellings of `key` that decode to none of `names`."""
    if not names:
        return key
    return And((key, Not(Choice(tuple(Bytes(spell(name)) for name in names)))))
