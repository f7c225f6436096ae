"""A slow recogniser that reads grammar nodes by their definition: the judge in property tests."""

from __future__ import annotations

from ctrlgen.constraints.nodes import (
    And,
    Bytes,
    ByteSet,
    Choice,
    Grammar,
    Join,
    Node,
    Not,
    Ref,
    Repeat,
    Seq,
    Slot,
)


class Recogniser:
    """Answers which parts of one byte string match a node.

    A left-recursive grammar makes it recurse for ever, which Python reports.
    """

    def __init__(self, data: bytes, grammar: Grammar) -> None:
        self.data = data
        self.rules = grammar.rules
        self.known: dict[tuple[Node, int], frozenset[int]] = {}

    def ends(self, node: Node, start: int) -> frozenset[int]:
        """Every position at which a match of `node` from `start` can end."""
        if (node, start) not in self.known:
            self.known[node, start] = frozenset(self._ends(node, start))
        return self.known[node, start]

    def _ends(self, node: Node, start: int) -> set[int] | frozenset[int]:
        match node:
            case Bytes(data):
                return {start + len(data)} if self.data.startswith(data, start) else set()
            case ByteSet(members):
                hit = start < len(self.data) and members >> self.data[start] & 1
                return {start + 1} if hit else set()
            case Seq(items):
                return self._sequence(items, start)
            case Choice(items):
                return {end for item in items for end in self.ends(item, start)}
            case And(items):
                return frozenset.intersection(*(self.ends(item, start) for item in items))
            case Not(item):
                return set(range(start, len(self.data) + 1)) - self.ends(item, start)
            case Ref(name):
                return self.ends(self.rules[name], start)
            case Slot(item):
                return self.ends(item, start)
            case Repeat():
                return self._repeat(node, start)
            case Join():
                return self._join(node, start)
        raise TypeError(node)

    def _sequence(self, items: tuple[Node, ...], start: int) -> set[int]:
        at = {start}
        for item in items:
            at = {end for place in at for end in self.ends(item, place)}
        return at

    def _separated(self, at: set[int], node: Node, separator: bytes) -> set[int]:
        after = (place + len(separator) for place in at if self.data.startswith(separator, place))
        return {end for place in after for end in self.ends(node, place)}

    def _repeat(self, node: Repeat, start: int) -> set[int]:
        found = {start} if node.min == 0 else set()
        at = {start}
        # Longer runs than the text repeat an empty item, so they add nothing.
        most = len(self.data) + 1 + node.min if node.max is None else node.max
        for count in range(1, most + 1):
            separator = node.separator if count > 1 else b""
            at = self._separated(at, node.item, separator)
            if not at:
                break
            if count >= node.min:
                found |= at
        return found

    def _join(self, node: Join, start: int) -> set[int]:
        empty, filled = {start}, set[int]()
        for item, required in zip(node.items, node.required, strict=True):
            new = self._separated(empty, item, b"") | self._separated(filled, item, node.separator)
            empty, filled = (set(), new) if required else (empty, filled | new)
        return empty | filled


def accepts(grammar: Grammar | Node, text: str | bytes) -> bool:
    """Whether all of `text` is in the language of `grammar`."""
    if isinstance(grammar, Node):
        grammar = Grammar(grammar)
    data = text.encode() if isinstance(text, str) else text
    return len(data) in Recogniser(data, grammar).ends(grammar.root, 0)
