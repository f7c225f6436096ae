"""The fewest canvas positions that a node needs once it is laid out, to refuse what cannot fit.

The costs follow `Scaffold.layout` node by node, with every gap as short and every list and object
as empty as it may be. Pinned pieces count one by one: a canvas never spends more on them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ctrlgen.canvas.parts import Option, literal
from ctrlgen.constraints.nodes import Choice, Join, Node, Ref, Repeat, Seq, Slot

if TYPE_CHECKING:
    from ctrlgen.canvas.layout import Scaffold


class MinimumTokens:
    """Memoised minimum of every node; recursion is solved by relaxing to a fixpoint."""

    def __init__(self, scaffold: Scaffold) -> None:
        self.scaffold = scaffold
        self._known: dict[Node, float] = {}
        self._lengths: dict[bytes, int] = {}

    def of(self, node: Node) -> float:
        """Positions that the cheapest layout of `node` takes; inf when it has no finite layout."""
        before: dict[Node, float] = {}
        while node not in self._known:
            seen: dict[Node, float] = {}
            self._look(node, seen, before)
            if seen == before:
                self._known |= seen
            before = seen
        return self._known[node]

    def of_option(self, option: Option) -> float:
        """Positions of a fork's option, its lead not counted where it is all in the gap."""
        return self.head(option) if option.whole is None else self.of(option.whole)

    def head(self, option: Option) -> int:
        """Positions of what stands in a fork's gap when this option is taken."""
        return self._gap(option.head)

    def text(self, data: bytes) -> int:
        """Positions of one pinned piece of text."""
        if data not in self._lengths:
            if len(self._lengths) > 10_000:
                self._lengths.clear()
            self._lengths[data] = len(self.scaffold.encode(data.decode())) if data else 0
        return self._lengths[data]

    def _look(self, node: Node, seen: dict[Node, float], before: dict[Node, float]) -> float:
        if node in self._known:
            return self._known[node]
        if node not in seen:
            seen[node] = before.get(node, math.inf)
            seen[node] = self._cost(node, seen, before)
        return seen[node]

    def _cost(self, node: Node, seen: dict[Node, float], before: dict[Node, float]) -> float:
        scaffold = self.scaffold
        word = literal(node)
        if word is not None:
            return self.text(word)
        if isinstance(node, Slot):
            return self._gap(node.item)
        if not scaffold.is_structured(node):
            return self._gap(node)
        if isinstance(node, Ref):
            return self._look(scaffold.rule(node), seen, before)
        if isinstance(node, Seq):
            return sum(self._look(item, seen, before) for item in node.items)
        if isinstance(node, Repeat):
            separators = self.text(node.separator) * max(0, node.min - 1)
            return separators + (node.min and node.min * self._look(node.item, seen, before))
        if isinstance(node, Join):
            needed = [i for i, r in zip(node.items, node.required, strict=True) if r]
            separators = self.text(node.separator) * max(0, len(needed) - 1)
            return separators + sum(self._look(item, seen, before) for item in needed)
        assert isinstance(node, Choice)
        return self._fork(node, seen, before)

    def _fork(self, node: Choice, seen: dict[Node, float], before: dict[Node, float]) -> float:
        options = self.scaffold.options(node) or []
        if len(options) == 1:
            return self._look(options[0][0], seen, before)
        lead = self.scaffold.prefix(node)
        built = self.scaffold.fork_options(node, options, len(lead))
        costs = [
            self.head(o) if o.whole is None else self._look(o.whole, seen, before) for o in built
        ]
        best = min(range(len(built)), key=costs.__getitem__)
        return max(costs[best], self.text(lead) + self.head(built[best]))

    def _gap(self, node: Node) -> int:
        return max(1, len(self.scaffold.constraint.tokens.completion(self.scaffold.start_of(node))))
