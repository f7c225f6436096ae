"""How many copies of the loop that ends a head the tokens take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.heads import Head
from ctrlgen.constraints.stacks import END
from ctrlgen.constraints.terms import Loop
from ctrlgen.constraints.trie import Trie
from ctrlgen.constraints.walk import Reached

_OUT = 1 << 30  # more copies than any token takes

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Counts:
    """Copies that the ways through a trie take.

    Args:
        nodes: Where the head goes on.
        copies: The fewest copies there.
        left: The fewest bytes that complete it from there.
        ends: Where the delimiter has been read, once for each number of copies.
        at_ends: These numbers.
    """

    nodes: Ints
    copies: Ints
    left: Ints
    ends: Ints
    at_ends: Ints


UNKNOWN = Counts(*[np.zeros(0, np.int32)] * 5)
"""Of what is reached in ways that take different numbers of copies."""


class LoopCopies:
    """Counts the copies of the loop at the end of a head, if its copies count.

    Args:
        automaton: An automaton that has the head.
        head: The head.
    """

    def __init__(self, automaton: ByteAutomaton, head: Head) -> None:
        self._automaton, self._stacks = automaton, automaton.stacks
        self._sealed = head.sealed != END
        self._loop: Loop | None = None
        if head.copies is not None:
            loop = self._stacks.terms.shapes[head.terms[-1]]
            assert isinstance(loop, Loop)
            self._loop = loop

    def count(self, trie: Trie, reached: Reached, node: int, state: int) -> Counts:
        """The copies taken by what reading from `state`, at `node` of `trie`, has reached."""
        taken = self._inside(reached.states)
        going = taken < _OUT
        left = self._to_the_end(reached.states[going])
        ends, copies = self._at_ends(trie, reached, node, state)
        return Counts(reached.nodes[going], taken[going], left, ends, copies)

    def _inside(self, states: Ints) -> Ints:
        """The fewest copies with which the head goes on in each state, `_OUT` where it does not."""
        fewest = np.full(int(states.max(initial=-1)) + 1, _OUT, np.int32)
        for state in distinct(states):
            fewest[state] = min(self._taken(self._automaton.stacks_of(state)), default=_OUT)
        return fewest[states]

    def _to_the_end(self, states: Ints) -> Ints:
        """The fewest bytes that complete the head, in whatever stack of a state it goes on."""
        left = np.zeros(int(states.max(initial=-1)) + 1, np.int32)
        for state in distinct(states):
            stacks = self._automaton.stacks_of(state)
            left[state] = max(self._stacks.minimum[stack] for stack in stacks)
        return left[states]

    def _at_ends(self, trie: Trie, reached: Reached, node: int, state: int) -> tuple[Ints, Ints]:
        """The nodes behind the delimiter, once for each number of copies, and these numbers."""
        accepting = [s for s in distinct(reached.states) if self._automaton.is_accepting(s)]
        nodes = reached.nodes[np.isin(reached.states, accepting if self._sealed else [])]
        states = np.full(len(trie.byte), -1, np.int32)
        states[reached.nodes] = reached.states
        states[node] = state
        # Behind the delimiter nothing is left to tell; the stacks before it do.
        edges = np.stack([states[trie.parent[nodes]], trie.byte[nodes]], axis=1)
        kinds, which = np.unique(edges, axis=0, return_inverse=True)
        found, copies = [nodes[:0]], [nodes[:0]]
        for kind, (before, byte) in enumerate(kinds.tolist()):
            for taken in self._taken(self._closing(before, byte)):
                found.append(nodes[which == kind])
                copies.append(np.full(len(found[-1]), taken, np.int32))
        return np.concatenate(found), np.concatenate(copies)

    def _closing(self, state: int, byte: int) -> list[int]:
        """The stacks of `state` that end with `byte`."""
        return [
            stack
            for stack in self._automaton.stacks_of(state)
            for members, after in self._stacks.arcs(stack)
            if after == END and members >> byte & 1
        ]

    def _taken(self, stacks: Iterable[int]) -> set[int]:
        """The numbers of copies after which these stacks are left; behind the end, none."""
        found = set()
        for stack in stacks:
            if self._loop is None:
                if stack != END or not self._sealed:
                    found.add(0)
                continue
            terms = self._stacks.terms_above(stack, END)[:-1]
            loop = self._stacks.terms.shapes[terms[-1]] if terms else None
            if isinstance(loop, Loop) and loop.item == self._loop.item:
                found.add((self._loop.most or 0) - (loop.most or 0))
        return found


def distinct(states: Ints) -> list[int]:
    """Each of `states` once, in order."""
    seen = np.zeros(int(states.max(initial=-1)) + 1, bool)
    seen[states] = True
    return np.flatnonzero(seen).tolist()
