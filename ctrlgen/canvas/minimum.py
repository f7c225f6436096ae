"""The fewest canvas positions that a node needs once it is laid out, to refuse what cannot fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ctrlgen.constraints.nodes import Bytes, Choice, Join, Node, Ref, Repeat, Seq, Slot

if TYPE_CHECKING:
    from ctrlgen.canvas.layout import Scaffold

ROUNDS = 64


class MinimumTokens:
    """Memoised minimum of every node; recursion is solved by relaxing to a fixpoint."""

    def __init__(self, scaffold: Scaffold) -> None:
        self.scaffold = scaffold
        self._known: dict[Node, float] = {}
        self._rules: dict[str, float] = {}

    def of(self, node: Node) -> float:
        """Positions that the cheapest layout of `node` takes; inf when it has no finite layout."""
        if node in self._known:
            return self._known[node]
        cost = self._cost(node)
        for _ in range(ROUNDS):
            again = self._cost(node)
            if again == cost and not math.isinf(cost):
                break
            cost = again
        self._known[node] = cost
        return cost

    def _cost(self, node: Node) -> float:
        scaffold = self.scaffold
        if isinstance(node, Bytes):
            return len(scaffold.encode(node.data.decode("utf-8", "replace"))) if node.data else 0
        if isinstance(node, Slot):
            return self._gap(node.item)
        if isinstance(node, Ref):
            return self._rule(node)
        if not scaffold.is_structured(node):
            return self._gap(node)
        if isinstance(node, Seq):
            return sum(self._cost(item) for item in node.items)
        if isinstance(node, Choice):
            return min(self._cost(item) for item in node.items) + 1
        if isinstance(node, Repeat):
            separator = len(scaffold.encode(node.separator.decode())) if node.separator else 0
            return node.min * (self._cost(node.item) + separator) + 1
        assert isinstance(node, Join)
        needed = [i for i, r in zip(node.items, node.required, strict=True) if r]
        return sum(self._cost(item) + 1 for item in needed)

    def _rule(self, ref: Ref) -> float:
        """The last known bound of a rule while it is being relaxed, inf at first."""
        if ref.name not in self._rules:
            self._rules[ref.name] = math.inf
            for _ in range(ROUNDS):
                before = self._rules[ref.name]
                self._rules[ref.name] = min(before, self._cost(self.scaffold.rule(ref)))
                if self._rules[ref.name] == before:
                    break
        return self._rules[ref.name]

    def _gap(self, node: Node) -> float:
        return max(1, self.scaffold.constraint.tokens.distance(self.scaffold.start_of(node)))
