"""At how many bytes of a token loops whose bounds were lifted may begin a copy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.copies import distinct
from ctrlgen.constraints.heads import Head
from ctrlgen.constraints.stacks import END
from ctrlgen.constraints.terms import Cross, Loop
from ctrlgen.constraints.trie import Trie
from ctrlgen.constraints.walk import Reached, along

Ints = npt.NDArray[np.int32]


class LiftedSteps:
    """Counts the bytes before which such a loop is next.

    Args:
        automaton: An automaton that has the head.
        head: The head.
    """

    def __init__(self, automaton: ByteAutomaton, head: Head) -> None:
        self._automaton = automaton
        self._shapes = automaton.stacks.terms.shapes
        self._items = frozenset(head.lifted)

    def __call__(self, trie: Trie, reached: Reached, node: int, state: int) -> Ints:
        """The number on the way from `node`, where `state` starts, to each node, (nodes,)."""
        if not self._items:
            return np.zeros(len(trie.byte), np.int32)
        may = np.zeros(self._automaton.n_states, np.int32)
        for each in {state, *distinct(reached.states)}:
            may[each] = self._may_begin(each)
        return along(trie, reached, may, node, state)

    def _may_begin(self, state: int) -> bool:
        stacks = self._automaton.stacks
        for stack in self._automaton.stacks_of(state):
            while stack != END:
                term = stacks.top[stack]
                if self._is_lifted(term):
                    return True
                if stacks.terms.minimum[term]:
                    break
                stack = stacks.rest[stack]
        return False

    def _is_lifted(self, term: int) -> bool:
        shape = self._shapes[term]
        if isinstance(shape, Cross):
            return any(self._may_begin(state) for state in shape.included)
        return isinstance(shape, Loop) and shape.item in self._items
