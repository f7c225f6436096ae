"""Grammar nodes as people read them: literals whole, choices flat, classes as classes."""

from __future__ import annotations

from collections.abc import Iterator

from ctrlgen.constraints import notation
from ctrlgen.constraints.charset import LAST, Ranges, complement, normalise
from ctrlgen.constraints.nodes import (
    And,
    Bytes,
    ByteSet,
    Choice,
    Erase,
    Grammar,
    Node,
    Not,
    Repeat,
    Seq,
    Slot,
)
from ctrlgen.pictures.characters import characters, letter_of_any_case

LONGEST = 4096
"""Bytes of a literal that are put together."""
_ESCAPED = normalise([(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C)])


def one_character(node: Node) -> Ranges | None:
    """The characters that a node is one of, as text has them: a JSON escape counts as what it is.

    Inside a JSON string a class is written as the characters that need no escape, and escapes.
    """
    if isinstance(node, Bytes):
        return None
    if not isinstance(node, Choice):
        return characters(node)
    plain, escapes = [], 0
    for item in alternatives(node):
        if _first(item)[:1] == b"\\" and not isinstance(item, ByteSet):
            escapes += 1
        else:
            plain.append(item)
    ranges = characters(Choice(tuple(plain))) if plain else None
    if not escapes or ranges is None:
        return ranges
    # Only where all that JSON escapes is there can be told from one escape among others.
    whole = normalise((*ranges, *_ESCAPED))
    return whole if not complement(whole) or whole[-1][1] == LAST else None


def _first(node: Node) -> bytes:
    """The literal that a node plainly begins with."""
    if isinstance(node, Bytes):
        return node.data
    if isinstance(node, ByteSet) and node.members.bit_count() == 1:
        return bytes([node.members.bit_length() - 1])
    return _first(node.items[0]) if isinstance(node, Seq) and node.items else b""


def is_any_case(node: Node) -> bool:
    """Whether `node` is one letter, small or capital."""
    ranges = one_character(node)
    return ranges is not None and letter_of_any_case(ranges) is not None


def flat(node: Node) -> Iterator[Node]:
    """The items of nested sequences."""
    pending = [node]
    while pending:
        each = pending.pop()
        # A character of several bytes is a sequence too, and stays whole.
        if isinstance(each, Seq) and characters(each) is None:
            pending += reversed(each.items)
        else:
            yield each


def merged(nodes: Iterator[Node]) -> Iterator[Node]:
    """Neighbouring literals as one."""
    text = b""
    for node in nodes:
        if isinstance(node, Bytes) and len(text) + len(node.data) <= LONGEST:
            text += node.data
            continue
        if text:
            yield Bytes(text)
            text = b""
        yield node
    if text:
        yield Bytes(text)


def alternatives(node: Node) -> Iterator[Node]:
    """The items of nested choices, each once."""
    pending, seen = [node], set[Node]()
    while pending:
        each = pending.pop()
        if each in seen:
            continue
        seen.add(each)
        if isinstance(each, Choice) and each.items:
            pending += reversed(each.items)
        else:
            yield each


def classes_joined(nodes: list[Node]) -> list[Node]:
    """Alternatives with those that are classes of characters as one, at the end."""
    classes = [n for n in nodes if not isinstance(n, Bytes) and characters(n) is not None]
    if len(classes) < 2:
        return nodes
    return [*(n for n in nodes if n not in classes), Choice(tuple(classes))]


def holds_slot(node: Node) -> bool:
    """Whether there is a slot below, rules not looked into."""
    pending, seen = [node], set()
    while pending:
        each = pending.pop()
        if isinstance(each, Slot):
            return True
        if each not in seen:
            seen.add(each)
            pending += getattr(each, "items", ())
            pending += [each.item] if isinstance(each, Repeat) else []
    return False


def same(one: Node, other: Node) -> bool:
    """Whether two nodes are written alike."""
    text = notation.write(Grammar(one))
    return one is other or (text is not None and text == notation.write(Grammar(other)))


def described(node: Node) -> str:
    """What has no track of its own."""
    if isinstance(node, And):
        return f"what satisfies {len(node.items)} patterns at once"
    if isinstance(node, Not):
        return "what does not match a pattern"
    if isinstance(node, Erase):
        return "a pattern that looks around"
    assert isinstance(node, ByteSet), node
    return "one byte"
