"""A deterministic byte automaton over grammar nodes, made as far as it is looked at."""

from __future__ import annotations

import weakref
from functools import lru_cache
from math import inf

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.bounds import Bounds
from ctrlgen.constraints.lowering import Lowering
from ctrlgen.constraints.nodes import ALL_BYTES, Grammar, Node
from ctrlgen.constraints.product import Products
from ctrlgen.constraints.stacks import END, Stacks
from ctrlgen.constraints.subsumption import largest
from ctrlgen.constraints.terms import Cross, Letter, Outside, Terms
from ctrlgen.constraints.time_limit import check_time
from ctrlgen.errors import LimitError, UnsatisfiableError

DEAD = -1
_FEW = 3  # stacks that are not worth comparing


@lru_cache(maxsize=4096)
def _bytes_of(members: int) -> npt.NDArray[np.intp]:
    """The bytes in a 256-bit set."""
    packed = np.frombuffer(members.to_bytes(32, "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(packed, bitorder="little"))


class ByteAutomaton:
    """The language of a grammar, byte by byte.

    A state is a small int that stands for a set of stacks of terms. Every state can still reach
    acceptance; what cannot is `DEAD` (-1). Equal states of two automata have different ints.

    Args:
        grammar: What to accept.
        max_states: How many states may be made.
        seconds: How much computing it may take to decide whether one intersection is empty.

    Raises:
        UnsatisfiableError: The grammar accepts nothing.
        GrammarError: A rule is missing or left-recursive.
        LimitError: Deciding an intersection took too long.

    Attributes:
        narrowed: States with fewer stacks than were found, because others say all that these do.
    """

    def __init__(
        self, grammar: Grammar, *, max_states: int = 200_000, seconds: float = 10.0
    ) -> None:
        terms = Terms()
        # Nothing refers to itself, so that states are freed as soon as they are not needed.
        self.products = Products(terms, weakref.proxy(self), max_states, seconds)
        self.stacks = Stacks(terms, self.products.steps)
        self._lowering = Lowering(terms, grammar.rules)
        self._max_states = max_states
        self._states: list[frozenset[int]] = []
        self._ids: dict[frozenset[int], int] = {}
        self._arcs: list[tuple[tuple[int, int], ...] | None] = []
        self._rows: list[npt.NDArray[np.int32] | None] = []
        self._min_bytes: list[float] = []
        self.narrowed: set[int] = set()
        self._bounds = Bounds(weakref.proxy(self))
        self._universal = self._universal_stacks()
        self.start = self.state_of(grammar.root)

    def _measure(self, term: int) -> float:
        """The fewest bytes of a word of a term that its parts alone do not tell."""
        shape = self.stacks.terms.shapes[term]
        if isinstance(shape, Outside):
            return self.stacks.outsides.measure(shape.item, shape.words)
        return self.products.measure(term)

    @property
    def n_states(self) -> int:
        """How many states exist so far."""
        return len(self._states)

    def state_of(self, node: Node) -> int:
        """The start state of `node` alone, with nothing after it.

        Raises:
            UnsatisfiableError: No byte string matches `node`.
        """
        state = self.state_of_term(self._lowering.lower(node, self._measure))
        if state == DEAD:
            raise UnsatisfiableError("no text at all satisfies the constraint")
        return state

    def state_of_term(self, term: int) -> int:
        """The start state of a lowered node, `DEAD` if nothing matches it."""
        return self.state_of_stacks(frozenset((self.stacks.push((term,), END),)))

    def state_of_stacks(self, stacks: frozenset[int]) -> int:
        """The state in which one of `stacks` is left to read."""
        state = self._ids.get(stacks)
        if state is None:
            state = self._make(stacks)
        return state

    def stacks_of(self, state: int) -> frozenset[int]:
        """The stacks of which one is left to read."""
        return self._states[state]

    def _make(self, stacks: frozenset[int]) -> int:
        minimum = self.stacks.minimum
        live = frozenset(stack for stack in stacks if minimum[stack] < inf)
        if not live:
            return DEAD
        kept = live if len(live) <= _FEW else largest(self.stacks, live)
        state = self._id_of(kept)
        self._ids[stacks] = state
        if len(kept) < len(live):
            self.narrowed.add(state)
        return state

    def _id_of(self, live: frozenset[int]) -> int:
        state = self._ids.get(live)
        if state is None:
            if len(self._states) >= self._max_states:
                raise LimitError(
                    f"the automaton has more than {self._max_states} states",
                    hint="simplify the schema or grammar",
                )
            state = self._ids[live] = len(self._states)
            self._states.append(live)
            self._arcs.append(None)
            self._rows.append(None)
            self._min_bytes.append(min(self.stacks.minimum[stack] for stack in live))
        return state

    def arcs(self, state: int) -> tuple[tuple[int, int], ...]:
        """Each state that may be next, with the 256-bit set of the bytes that lead there."""
        arcs = self._arcs[state]
        if arcs is None:
            arcs = self._arcs[state] = self._compute_arcs(state)
        return arcs

    def _compute_arcs(self, state: int) -> tuple[tuple[int, int], ...]:
        check_time()
        by_members: dict[int, set[int]] = {}
        for stack in self._states[state]:
            for members, after in self.stacks.arcs(stack):
                by_members.setdefault(members, set()).add(after)
        found: dict[int, int] = {}
        for members, stacks in _disjoint(by_members):
            after = self.state_of_stacks(frozenset(stacks))
            if after != DEAD:
                found[after] = found.get(after, 0) | members
        return tuple((members, after) for after, members in found.items())

    def row(self, state: int) -> npt.NDArray[np.int32]:
        """The next state for each of the 256 bytes, read-only."""
        row = self._rows[state]
        if row is None:
            row = np.full(256, DEAD, np.int32)
            for members, after in self.arcs(state):
                row[_bytes_of(members)] = after
            row.flags.writeable = False
            self._rows[state] = row
        return row

    def step(self, state: int, byte: int) -> int:
        """The state after one byte."""
        return int(self.row(state)[byte]) if state != DEAD else DEAD

    def run(self, state: int, data: bytes) -> int:
        """The state after `data`."""
        for byte in data:
            if state == DEAD:
                break
            state = int(self.row(state)[byte])
        return state

    def is_accepting(self, state: int) -> bool:
        """Whether the text may end here."""
        return state != DEAD and not self._min_bytes[state]

    def is_universal(self, state: int) -> bool:
        """Whether every text is accepted from here; false if that takes a search."""
        return not self._universal.isdisjoint(self._states[state])

    def _universal_stacks(self) -> frozenset[int]:
        terms = self.stacks.terms
        anything = terms.loop(terms.intern(Letter(ALL_BYTES)), 0, None)
        nothing_asked = self.products.measured(Cross(frozenset(), frozenset()))
        return frozenset(self.stacks.push((term,), END) for term in (anything, nothing_asked))

    def min_bytes(self, state: int) -> int:
        """The fewest bytes to acceptance, marks not counted."""
        return int(self._min_bytes[state])

    def residual(self, state: int) -> tuple[int, ...] | None:
        """The terms that are left to read, None if there are several ways to go on."""
        stacks = self._states[state]
        return tuple(self.stacks.terms_above(next(iter(stacks)), END)) if len(stacks) == 1 else None

    def unbounded(self, state: int) -> tuple[int, float]:
        """The state without upper bounds of loops, and how many copies these allow."""
        found = self._bounds.state(state, None)
        return found.number, found.most

    def shortest(self, state: int) -> bytes:
        """A shortest completion."""
        found = bytearray()
        while left := self._min_bytes[state]:
            row = self.row(state)
            for after in dict.fromkeys(row.tolist()):
                if after != DEAD and self._min_bytes[after] == left - 1:
                    found.append(int(np.argmax(row == after)))
                    state = after
                    break
        return bytes(found)


def _disjoint(by_members: dict[int, set[int]]) -> list[tuple[int, set[int]]]:
    """Splits overlapping byte sets, so that each byte is in one of them."""
    union = 0
    for members in by_members:
        if union & members:
            return _split(by_members)
        union |= members
    return list(by_members.items())


def _split(by_members: dict[int, set[int]]) -> list[tuple[int, set[int]]]:
    keys = list(by_members)
    atoms: list[tuple[int, tuple[int, ...]]] = []  # bytes, and the keys that hold them all
    union = 0
    for key in keys:
        finer = [(atom & ~key, held) for atom, held in atoms if atom & ~key]
        finer += [(atom & key, (*held, key)) for atom, held in atoms if atom & key]
        if key & ~union:
            finer.append((key & ~union, (key,)))
        union |= key
        atoms = finer
    return [(atom, set().union(*(by_members[key] for key in held))) for atom, held in atoms]
