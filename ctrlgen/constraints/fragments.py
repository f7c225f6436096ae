"""What a state has in common with states of other contexts: all it reads up to a delimiter.

After the opening quote of a string, every state reads a string body and a quote first, and then
whatever its own context wants. The first part, the head, is a state of its own that all those
contexts share; so is the lifting of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.stacks import END, Stacks
from ctrlgen.constraints.terms import Letter, Loop

_DEEPEST = 12  # terms above a delimiter that is looked for


@dataclass(frozen=True, slots=True)
class Counter:
    """What was taken off the counters of the loop that ends the head.

    A loop that one token cannot exhaust behaves like any other such loop, whatever is left of it.
    """

    item: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Split:
    """A state as a head and the context after it.

    Args:
        head: The state that reads up to the delimiter, and nothing more.
        sealed: The stack from the delimiter on.
        tail: The stack after it.
        counter: What to add to the counters that the head has left.
    """

    head: int
    sealed: int
    tail: int
    counter: Counter | None

    def restore(self, automaton: ByteAutomaton, inner: int) -> int:
        """The state of the context for a state that the head has moved to."""
        stacks = automaton.stacks
        return automaton.state_of_stacks(
            frozenset(self._restore(stacks, stack) for stack in automaton.stacks_of(inner))
        )

    def _restore(self, stacks: Stacks, stack: int) -> int:
        if stack == END:
            return self.tail
        above = stacks.terms_above(stack, END)[:-1]
        if self.counter and above:
            above[-1] = _add(stacks, above[-1], self.counter)
        return stacks.push(tuple(above), self.sealed)


def split(automaton: ByteAutomaton, state: int, reach: int) -> Split | None:
    """The split of `state` at the first delimiter that all its stacks share, if there is one.

    Args:
        automaton: The automaton of the state.
        state: What to split.
        reach: Bytes of the longest token.
    """
    stacks = automaton.stacks
    state_stacks = sorted(automaton.stacks_of(state))
    if all(_forced_byte(stacks, stack) is not None for stack in state_stacks):
        return None
    common = _delimiters(stacks, state_stacks[0])
    for stack in state_stacks[1:]:
        others = set(_delimiters(stacks, stack))
        common = [sealed for sealed in common if sealed in others]
    if not common:
        return None
    sealed = common[0]
    heads = [stacks.terms_above(stack, sealed) for stack in state_stacks]
    counter = _shorten(stacks, heads, reach)
    delimiter = stacks.push((stacks.terms.intern(Letter(stacks.arcs(sealed)[0][0])),), END)
    head = frozenset(stacks.push(tuple(terms), delimiter) for terms in heads)
    tail = stacks.arcs(sealed)[0][1]
    return Split(automaton.state_of_stacks(head), sealed, tail, counter)


def _delimiters(stacks: Stacks, stack: int) -> list[int]:
    """The stacks below the top of `stack` that begin with a forced byte."""
    found = []
    for _ in range(_DEEPEST):
        stack = stacks.rest[stack] if stack != END else END
        if stack == END:
            break
        if _forced_byte(stacks, stack) is not None:
            found.append(stack)
    return found


def _forced_byte(stacks: Stacks, stack: int) -> int | None:
    """The only byte that may come next, as a 256-bit set; None if there are several."""
    if not stacks.minimum[stack]:
        return None
    arcs = stacks.arcs(stack)
    return arcs[0][0] if len(arcs) == 1 and arcs[0][0].bit_count() == 1 else None


def _shorten(stacks: Stacks, heads: list[list[int]], reach: int) -> Counter | None:
    """Lowers the counters of the loop that ends all `heads` to what one token can notice."""
    loops = {terms[-1] for terms in heads}
    loop = stacks.terms.shapes[loops.pop()]
    cap = reach + 2
    if loops or not isinstance(loop, Loop) or not stacks.terms.minimum[loop.item]:
        return None
    least = max(loop.least - cap, 0)
    most = 0 if loop.most is None else max(loop.most - cap, 0)
    if not least and not most:
        return None
    counter = Counter(loop.item, -least, -most)
    for terms in heads:
        terms[-1] = _add(stacks, terms[-1], counter)
    return Counter(loop.item, least, most)


def _add(stacks: Stacks, term: int, counter: Counter) -> int:
    loop = stacks.terms.shapes[term]
    if not isinstance(loop, Loop) or loop.item != counter.item:
        return term
    most = None if loop.most is None else loop.most + counter.most
    return stacks.terms.loop(loop.item, loop.least + counter.least, most)
