"""Copies of a counted loop in an intersection, without a state for each number of them.

`pattern` and `maxLength` together are an intersection with a loop over characters. As a product it
has as many states as the pattern has, times the length. But the characters of a token are read off
its way through the product without the bound, and those that it needs yet off the state there: the
least of all ways to the end. A token may be read while both together are no more than are left.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.copies import Counts, distinct
from ctrlgen.constraints.heads import Head
from ctrlgen.constraints.stacks import END
from ctrlgen.constraints.terms import Cross, Loop
from ctrlgen.constraints.trie import Trie
from ctrlgen.constraints.walk import Reached, along

Ints = npt.NDArray[np.int32]

_MOST = 500  # states that are looked at for one head
_COPY = 1 << 20  # a copy outweighs any number of bytes
_FAR = 1 << 50


def counted_loop(automaton: ByteAutomaton, state: int) -> Loop | None:
    """The loop that all of `state` ends with, if its items take bytes."""
    stacks = automaton.stacks
    (stack, *others) = automaton.stacks_of(state)
    terms = stacks.terms_above(stack, END)
    loop = stacks.terms.shapes[terms[-1]] if terms and not others else None
    return loop if isinstance(loop, Loop) and stacks.terms.minimum[loop.item] else None


class CrossCopies:
    """Counts the copies that tokens take, and need yet, of one loop in a cross.

    Args:
        automaton: An automaton that has the head.
        head: The head, which consists of the cross.
    """

    def __init__(self, automaton: ByteAutomaton, head: Head) -> None:
        self._automaton = automaton
        self._item = head.item
        self._sealed = head.sealed != END
        self._left = _MOST
        self._places: dict[int, tuple[bool, int]] = {}
        self._least: dict[int, int] = {}

    def count(self, trie: Trie, reached: Reached, node: int, state: int) -> Counts | None:
        """The copies taken, and needed yet, by what reading from `state`, at `node`, has reached.

        None if there are several ways to count, or it takes too many states to tell.
        """
        states = distinct(reached.states)
        begins, needed, n_bytes = np.zeros((3, self._automaton.n_states), np.int32)
        going = np.zeros(len(begins), bool)
        try:
            for each in {state, *states}:
                begins[each] = self._place(each)[0]
            for each in filter(self._goes_on, states):
                going[each] = True
                needed[each], n_bytes[each] = divmod(self._needed(each), _COPY)
        except _Uncountable:
            return None
        before = along(trie, reached, begins, node, state)
        on = going[reached.states]
        nodes, at = reached.nodes[on], reached.states[on]
        closed = [s for s in states if self._sealed and self._automaton.is_accepting(s)]
        ends = reached.nodes[np.isin(reached.states, closed)]
        # The delimiter itself begins no copy.
        at_ends = before[trie.parent[ends]]
        return Counts(nodes, before[nodes] + needed[at], n_bytes[at], ends, at_ends)

    def _goes_on(self, state: int) -> bool:
        return not self._sealed or self._automaton.stacks_of(state) != {END}

    def _needed(self, start: int) -> int:
        """The least cost from a state to the end: copies, and among as many of them bytes.

        By A*; what it finds about the states on the way is kept.
        """
        if not self._sealed and self._automaton.is_accepting(start):
            return 0
        cost, came_from = {start: 0}, dict[int, int]()
        queue = [(self._bound(start), 0, start, False)]
        while queue:
            total, _, state, ended = heappop(queue)
            if ended:
                return self._kept(start, state, total, came_from)
            self._left -= 1
            if not self._left:
                break
            for _, after in self._automaton.arcs(state):
                accepts = self._automaton.is_accepting(after)
                if accepts and self._sealed:  # by the delimiter, which begins no copy
                    heappush(queue, (cost[state] + 1, 0, state, True))
                step = cost[state] + self._cost(state)
                if self._goes_on(after) and step < cost.get(after, _FAR):
                    cost[after], came_from[after] = step, state
                    left = 0 if accepts and not self._sealed else self._least.get(after)
                    bound = self._bound(after) if left is None else left
                    heappush(queue, (step + bound, -step, after, left is not None))
        raise _Uncountable

    def _kept(self, start: int, state: int, total: int, came_from: dict[int, int]) -> int:
        """Notes what is left at each state of a shortest way, which ends behind `state`."""
        way = [state]
        while way[-1] != start:
            way.append(came_from[way[-1]])
        left = total
        for each in reversed(way[1:]):
            self._least[each] = left
            left -= self._cost(each)
        return total

    def _cost(self, state: int) -> int:
        """Of the next byte."""
        return 1 + (_COPY if self._place(state)[0] else 0)

    def _bound(self, state: int) -> int:
        """At most the cost of ending: of the copies that the loop asks for, and of bytes."""
        return self._place(state)[1] * _COPY + self._automaton.min_bytes(state)

    def _place(self, state: int) -> tuple[bool, int]:
        """Whether the next byte begins a copy, and how many copies the loop still asks for.

        Raises:
            _Uncountable: It may or may not.
        """
        place = self._places.get(state)
        if place is None:
            found = [self._in_stack(s) for s in self._automaton.stacks_of(state) if s != END]
            if len(found) > 1:
                raise _Uncountable
            place = self._places[state] = found[0] if found else (False, 0)
        return place

    def _in_stack(self, stack: int) -> tuple[bool, int]:
        stacks = self._automaton.stacks
        terms = stacks.terms_above(stack, END)
        if self._sealed:
            terms.pop()
        cross = stacks.terms.shapes[terms[0]] if terms else None
        found = self._of_loop(terms)
        if isinstance(cross, Cross) and len(terms) == 1:
            below = (s for state in cross.included for s in self._automaton.stacks_of(state))
            found = [each for s in below for each in self._of_loop(stacks.terms_above(s, END))]
        if len(found) != 1:
            raise _Uncountable
        return found[0]

    def _of_loop(self, terms: list[int]) -> list[tuple[bool, int]]:
        """Where in the counted loop `terms` are, if they end with it."""
        loop = self._automaton.stacks.terms.shapes[terms[-1]] if terms else None
        if not isinstance(loop, Loop) or loop.item != self._item:
            return []
        return [(len(terms) == 1, loop.least)]


class _Uncountable(Exception):
    """Copies are taken in several ways, or too many states tell how many."""
