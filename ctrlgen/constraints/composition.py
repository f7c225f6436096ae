"""Grammars made of grammars: one after the other, one of several, lists, and quoted texts.

A text is quoted byte by byte, each byte having one spelling, so that quoting goes through every
node: a recursive Lark grammar inside a JSON string is a grammar again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

from ctrlgen.constraints.build import union
from ctrlgen.constraints.nodes import (
    ALL_BYTES,
    And,
    Bytes,
    ByteSet,
    Grammar,
    Node,
    Not,
    Ref,
    Repeat,
    Seq,
    Slot,
)
from ctrlgen.errors import LimitError, SpecError

MAX_ITEMS = 32
"""Most items of a list."""

_SHORT = {0x22: '\\"', 0x5C: "\\\\", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}
_ESCAPED = sum(1 << byte for byte in {*range(0x20), *_SHORT})

Change = Callable[[Node], Node | None]


def compose(kind: str, parts: Sequence[Grammar]) -> Grammar:
    """The grammar of a spec that is made of others.

    Args:
        kind: `sequence`, `either`, `list` or `quoted`; the last two have one part.
        parts: Their grammars.

    Raises:
        SpecError: A part is judged by code as a whole, which a text around it would hide.
        LimitError: The grammars are nested too deeply.
    """
    if any(part.verify for part in parts):
        raise SpecError(
            "a schema inside a larger text cannot be verified",
            hint='leave out on_unsupported="verify"',
        )
    try:
        return _compose(kind, parts)
    except RecursionError as error:
        raise LimitError("the grammars are nested too deeply") from error


def _compose(kind: str, parts: Sequence[Grammar]) -> Grammar:
    quoting = kind == "quoted"
    rules: dict[str, Node] = {}
    roots = []
    for i, part in enumerate(parts):
        change = _quoting(i) if quoting else _renaming(i)
        known: dict[Node, Node] = {}
        roots.append(_mapped(_as_value(part), change, known))
        rules |= {f"{i}/{n}": _mapped(node, change, known) for n, node in part.rules.items()}
    match kind:
        case "sequence":
            root: Node = Seq(tuple(roots))
        case "either":
            root = union(roots)
        case "list":
            items = Repeat(roots[0], 2, MAX_ITEMS, b",")
            root = Seq((Bytes(b"["), items, Bytes(b"]")))
        case _:
            root = Seq((Bytes(b'"'), Slot(roots[0]), Bytes(b'"')))
    return Grammar(root, rules)


def _as_value(part: Grammar) -> Node:
    """What has no parts for the scaffold is one value: a regular expression, a Lark grammar."""
    known: dict[Node, Node] = {}
    slots: list[Node] = []

    def look(node: Node) -> None:
        if isinstance(node, Slot):
            slots.append(node)

    for node in (part.root, *part.rules.values()):
        _mapped(node, look, known)
    return part.root if slots or isinstance(part.root, Bytes) else Slot(part.root)


def _renaming(index: int) -> Change:
    """Rules get the number of their part, since two parts may use one name."""
    return lambda node: Ref(f"{index}/{node.name}") if isinstance(node, Ref) else None


def _quoting(index: int) -> Change:
    known: dict[Node, Node] = {}
    rename = _renaming(index)

    def change(node: Node) -> Node | None:
        match node:
            case Bytes(data):
                return Bytes(_quote(data))
            case ByteSet(members):
                return _quoted_set(members)
            case Slot(item):  # its JSON pointer means nothing inside a string
                return _mapped(item, change, known)
            case Not(item):  # all quoted texts but those, not all texts
                return And((Not(_mapped(item, change, known)), _all_quoted()))
        return rename(node)

    return change


def _quote(data: bytes) -> bytes:
    return b"".join(_spelling(byte) for byte in data)


def _spelling(byte: int) -> bytes:
    if byte in _SHORT:
        return _SHORT[byte].encode()
    return b"\\u%04x" % byte if byte < 0x20 else bytes([byte])


def _quoted_set(members: int) -> Node:
    escaped = [byte for byte in range(128) if members & _ESCAPED & (1 << byte)]
    plain = members & ~_ESCAPED
    return union([ByteSet(plain)] * bool(plain) + [Bytes(_spelling(byte)) for byte in escaped])


@cache
def _all_quoted() -> Node:
    return Repeat(_quoted_set(ALL_BYTES), 0, None)


def _mapped(node: Node, change: Callable[[Node], Any], known: dict[Node, Node]) -> Node:
    """`node` with every part changed for which `change` has something else."""
    if node not in known:
        new = change(node)
        known[node] = _rebuilt(node, change, known) if new is None else new
    return known[node]


def _rebuilt(node: Node, change: Callable[[Node], Any], known: dict[Node, Node]) -> Node:
    old = [getattr(node, f.name) for f in fields(node)]  # type: ignore[arg-type]
    new = [_part(value, change, known) for value in old]
    return node if all(a is b for a, b in zip(old, new, strict=True)) else type(node)(*new)


def _part(value: Any, change: Callable[[Node], Any], known: dict[Node, Node]) -> Any:
    if isinstance(value, Node):
        return _mapped(value, change, known)
    if isinstance(value, tuple) and any(isinstance(each, Node) for each in value):
        return tuple(_mapped(each, change, known) for each in value)
    return value
