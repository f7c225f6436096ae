"""From bytes to tokens: which state each token of the vocabulary leads to."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import DEAD, ByteAutomaton
from ctrlgen.constraints.cutting import remainders
from ctrlgen.constraints.distances import Distances
from ctrlgen.constraints.fragments import Split, split
from ctrlgen.constraints.masks import Masks, Words
from ctrlgen.constraints.reading import Reader, Reading
from ctrlgen.constraints.trie import Trie
from ctrlgen.constraints.vocabulary import TokenSets, Vocabulary
from ctrlgen.constraints.walk import Walk, tokens_by_state
from ctrlgen.errors import ConstraintError

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Lifted:
    """The vocabulary, partitioned by the state that each token leads to.

    Tokens in none of the sets lead nowhere.

    Args:
        destinations: States, increasing, (classes,).
        sets: The id in `TokenSets` of the tokens that lead to each, (classes,).
    """

    destinations: Ints
    sets: Ints


@dataclass(frozen=True, slots=True)
class Fragment:
    """The lifting of a head: of all that is read up to a delimiter.

    Args:
        inside: The ids of the sets of tokens that lead to the same state of the head. One token of
            each set names the state, so that any automaton with that head can use them.
        exits: What tokens that read past the delimiter have left there.
    """

    inside: tuple[int, ...]
    exits: Trie


class TokenAutomaton:
    """The token by token view of a byte automaton; the states are the same.

    Args:
        automaton: The language.
        vocabulary: The tokens.

    Attributes:
        automaton: The language.
        vocabulary: The tokens.
        token_sets: The sets that `Lifted.sets` names, shared by all users of the vocabulary.
    """

    def __init__(self, automaton: ByteAutomaton, vocabulary: Vocabulary) -> None:
        self.automaton = automaton
        self.vocabulary = vocabulary
        self.token_sets: TokenSets = vocabulary.token_sets
        self._lifted: dict[int, Lifted] = {}
        self._fragments: dict[Hashable, Fragment | None] = {}
        self._inside: dict[int, list[int]] = {}
        self._reader = Reader(automaton.stacks, vocabulary.trie)
        self._masks = Masks(automaton, vocabulary, self._reader)
        self._next: dict[tuple[int, int], int] = {}
        self._completions: dict[int, list[int]] = {}
        self._distances = Distances(automaton, weakref.proxy(self), vocabulary.max_token_bytes)

    def lift(self, state: int) -> Lifted:
        """The partition of the vocabulary by the state that follows `state`."""
        lifted = self._lifted.get(state)
        if lifted is None:
            lifted = self._lifted[state] = self._compute(state)
        return lifted

    def _compute(self, state: int) -> Lifted:
        readings = [self._reader.read(stack) for stack in self.automaton.stacks_of(state)]
        if not any(reading.wide for reading in readings):
            return self._gather(readings)
        found = split(self.automaton, state, self.vocabulary.max_token_bytes)
        if found is not None and found.head != state:
            fragment = self._fragment(found.head)
            if fragment is not None:
                return self._compose(found, fragment)
        return self._walk(state)

    def _gather(self, readings: list[Reading]) -> Lifted:
        """Lifts a state whose stacks are read one by one."""
        threads: dict[int, set[int]] = defaultdict(set)
        for reading in readings:
            for node, stack, offset in reading.ends:
                threads[node].add(self._reader.resolve(stack, offset))
        tokens: dict[int, list[int]] = defaultdict(list)
        for node, stacks in threads.items():
            after = self.automaton.state_of_stacks(frozenset(stacks))
            tokens[after] += self.vocabulary.trie.tokens_at(node)
        return self._collect(
            (after, self.token_sets.intern(np.asarray(sorted(found), np.int32)))
            for after, found in tokens.items()
        )

    def _walk(self, state: int) -> Lifted:
        """Lifts without the help of fragments."""
        trie = self.vocabulary.trie
        groups = tokens_by_state(trie, Walk(self.automaton, trie)(state))
        return self._collect((after, self.token_sets.intern(tokens)) for after, tokens in groups)

    def _compose(self, found: Split, fragment: Fragment) -> Lifted:
        """Lifts a state whose head is lifted: only what tokens have left at the exits is read."""
        classes = [
            (found.restore(self.automaton, after), set_id)
            for after, set_id in zip(
                self._insides(found.head, fragment), fragment.inside, strict=True
            )
        ]
        tail = self.automaton.state_of_stacks(frozenset((found.tail,)))
        reached = Walk(self.automaton, fragment.exits)(tail)
        for after, tokens in tokens_by_state(fragment.exits, reached):
            classes.append((after, self.token_sets.intern(tokens)))
        return self._collect(classes)

    def _collect(self, classes: Iterable[tuple[int, int]]) -> Lifted:
        by_state: dict[int, int] = {}
        for after, set_id in classes:
            if after in by_state:
                set_id = self.token_sets.union(by_state[after], set_id)
            by_state[after] = set_id
        states = sorted(by_state)
        return Lifted(
            np.asarray(states, np.int32),
            np.asarray([by_state[after] for after in states], np.int32),
        )

    def _fragment(self, head: int) -> Fragment | None:
        """The lifting of `head`, None if it goes on after a delimiter that could have ended it."""
        key = self._masks.keys.of_state(head)
        fragments = self._fragments if key is None else self.vocabulary.fragments
        place = head if key is None else key
        if place not in fragments:
            fragments[place] = self._make_fragment(head)
        return fragments[place]

    def _make_fragment(self, head: int) -> Fragment | None:
        automaton, trie = self.automaton, self.vocabulary.trie
        reached = Walk(automaton, trie, automaton.is_accepting)(head)
        finals = [s for s in set(reached.states.tolist()) if automaton.is_accepting(s)]
        if automaton.is_accepting(head) or any((automaton.row(s) >= 0).any() for s in finals):
            return None
        groups = tokens_by_state(trie, reached)
        self._inside[head] = [after for after, _ in groups]
        exits = reached.nodes[np.isin(reached.states, finals)]
        inside = tuple(self.token_sets.intern(tokens) for _, tokens in groups)
        return Fragment(inside, remainders(self.vocabulary, exits))

    def _insides(self, head: int, fragment: Fragment) -> list[int]:
        """The states of this automaton that the sets of `fragment` lead to from `head`."""
        if head not in self._inside:
            firsts = (int(self.token_sets[set_id][0]) for set_id in fragment.inside)
            self._inside[head] = [
                self._read(head, self.vocabulary.tokens[t] or b"") for t in firsts
            ]
        return self._inside[head]

    def bits(self, state: int) -> Words:
        """Which tokens may come next, token t in bit t % 32 of word t // 32, read-only."""
        return self._masks.bits(state)

    def mask(self, state: int) -> npt.NDArray[np.bool_]:
        """Which tokens may come next, (vocabulary,)."""
        packed = self.bits(state).view(np.uint8)
        return np.unpackbits(packed, count=self.vocabulary.size, bitorder="little").view(np.bool_)

    def next(self, state: int, token_id: int) -> int | None:
        """The state after a token, None if it leads nowhere."""
        place = state, token_id
        after = self._next.get(place)
        if after is None and 0 <= token_id < self.vocabulary.size:
            token = self.vocabulary.tokens[token_id]
            after = self._next[place] = self._read(state, token) if token else DEAD
        return None if after is None or after == DEAD else after

    def _read(self, state: int, data: bytes) -> int:
        stacks = self._reader.after(self.automaton.stacks_of(state), data)
        return self.automaton.state_of_stacks(stacks)

    def is_accepting(self, state: int) -> bool:
        """Whether the text may end here."""
        return self.automaton.is_accepting(state)

    def accepts(self, data: bytes) -> bool:
        """Whether `data` is in the language."""
        return self.is_accepting(self._read(self.automaton.start, data))

    def distance(self, state: int) -> int:
        """The fewest tokens that complete the text; 0 where it may end.

        Raises:
            LimitError: Too many states had to be looked at, or no tokens spell a completion.
        """
        return self._distances[state]

    def completion(self, state: int) -> list[int]:
        """The tokens of a completion with the fewest bytes.

        Cheap where `shortest` has to search, and mostly as short: what a canvas starts from.

        Raises:
            LimitError: The vocabulary spells no completion.
        """
        if state not in self._completions:
            try:
                tokens = self.vocabulary.spell(self.automaton.shortest(state))
            except ConstraintError:  # other words may be spelled
                tokens = self.shortest(state)
            self._completions[state] = tokens
        return self._completions[state]

    def shortest(self, state: int) -> list[int]:
        """The tokens of one completion with the fewest tokens.

        Raises:
            LimitError: As `distance`.
        """
        found = []
        while self._distances[state]:
            set_id, state = self._distances.best(state)
            found.append(int(self.token_sets[set_id][0]))
        return found
