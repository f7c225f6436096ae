"""The automaton of a gap: what may stand on n open positions between two fixed edges.

A gap's graph is the part of the token automaton that n tokens can reach from its start state. With
*slack* the value may end early: fill tokens, which are deleted from the answer, stand behind it.
The graph does not depend on logits and is shared by all gaps with the same start and length.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakValueDictionary

import numpy as np

from ctrlgen.constraints.atoms import Ints, atoms_of
from ctrlgen.constraints.lifting import TokenAutomaton
from ctrlgen.constraints.trellis import Arcs, Trellis


@dataclass(frozen=True)
class Slack:
    """How a gap may end early or stay empty.

    Args:
        fill_token_id: The token that is deleted from the answer.
        absent: Whether the gap may hold no value at all (only fill).
        absence: How many nats likelier that is than the model says.
    """

    fill_token_id: int
    absent: bool = False
    absence: float = 0.0


class GapGraph:
    """States, arcs and atoms of one gap.

    Nodes are numbered 0..n_nodes-1; node 0 is the start. With slack, `done` is the node after the
    value's end and `absent` the node of an empty gap (-1 where there is none).

    Args:
        tokens: The lifted automaton.
        states: Its states that the graph has, the gap's left edge first.
        length: Number of positions.
        slack: Fill behind the value, or None when the value takes exactly `length` tokens.
    """

    def __init__(
        self,
        tokens: TokenAutomaton,
        states: list[int],
        length: int,
        slack: Slack | None = None,
    ) -> None:
        self.tokens, self.states, self.length, self.slack = tokens, states, length, slack
        self.done = self.absent = -1
        self._connect()
        self._trellises: WeakValueDictionary[bytes, Trellis] = WeakValueDictionary()

    def _connect(self) -> None:
        """Lay the arcs of all states, then of the fill, and cut the vocabulary into atoms."""
        node = {state: i for i, state in enumerate(self.states)}
        edges: list[tuple[int, int, int]] = []  # (source node, target node, token set)
        for state, i in node.items():
            lifted = self.tokens.lift(state)
            pairs = zip(lifted.destinations.tolist(), lifted.sets.tolist(), strict=True)
            edges += [(i, node[dest], s) for dest, s in pairs if dest in node]
        accepting = [i for state, i in node.items() if self.tokens.is_accepting(state)]
        self.n_nodes = len(node)
        self.final = np.zeros(self.n_nodes + 3, dtype=bool)
        self.final[accepting] = True
        fill = None if self.slack is None else self.slack.fill_token_id
        sets = tuple(sorted({s for _, _, s in edges}))
        self.atoms = atoms_of(self.tokens.vocabulary, sets, fill)
        triples = [(a, b, atom) for a, b, s in edges for atom in self.atoms.of_set[s]]
        if self.slack is not None:
            triples += self._fill_arcs(self.slack, accepting)
        self.final = self.final[: self.n_nodes + 1]
        table = np.array(triples, dtype=np.int64).reshape(-1, 3)
        source, target, atom = table.T
        self.arcs = Arcs(source, target, atom, self.n_nodes, self.atoms.count)

    def trellis(self, committed: Ints) -> Trellis:
        """What is left of the gap once some tokens are committed; the same while somebody holds it.

        Args:
            committed: Token id per position, -1 where open; (length,).
        """
        key = committed.tobytes()
        found = self._trellises.get(key)
        if found is None:
            found = self._trellises[key] = self._trellis(committed)
        return found

    def _trellis(self, committed: Ints) -> Trellis:
        if (committed < 0).all():
            return self.untouched
        atom = np.where(committed < 0, -1, self.atoms.of_token[committed])
        atom[(committed >= 0) & (atom < 0)] = self.atoms.count
        return Trellis(self.arcs, self.final, self.atoms.sizes, atom)

    @cached_property
    def untouched(self) -> Trellis:
        """The whole gap, with every position open."""
        return Trellis(self.arcs, self.final, self.atoms.sizes, np.full(self.length, -1))

    def _fill_arcs(self, slack: Slack, accepting: list[int]) -> list[tuple[int, int, int]]:
        """Arcs that read fill: behind an accepted value, and over a whole absent one."""
        fill = self.atoms.count - 1
        self.done, self.n_nodes = self.n_nodes, self.n_nodes + 1
        self.final[self.done] = True
        arcs = [(i, self.done, fill) for i in accepting] + [(self.done, self.done, fill)]
        if slack.absent and 0 not in accepting:
            self.absent, self.n_nodes = self.n_nodes, self.n_nodes + 1
            self.final[self.absent] = True
            arcs += [(0, self.absent, fill), (self.absent, self.absent, fill)]
        return arcs


def reachable(tokens: TokenAutomaton, start: int, length: int, limit: int) -> list[int] | None:
    """States that at most `length` tokens reach, start first; None if more than `limit`."""
    seen, frontier, states = {start}, [start], [start]
    for _ in range(length):
        found: list[int] = []
        for state in frontier:
            new = [d for d in tokens.lift(state).destinations.tolist() if d not in seen]
            seen.update(new)
            found += new
            if len(seen) > limit:
                return None
        if not found:
            break
        states += found
        frontier = found
    return states
