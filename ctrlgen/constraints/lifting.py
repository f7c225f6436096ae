"""From bytes to tokens: which state each token of the vocabulary leads to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.distances import Distances
from ctrlgen.constraints.fragments import Split, split
from ctrlgen.constraints.trie import Trie
from ctrlgen.constraints.vocabulary import TokenSets, Vocabulary
from ctrlgen.constraints.walk import Reached, Walk, tokens_by_state
from ctrlgen.errors import ConstraintError

Ints = npt.NDArray[np.int32]

_MASKS = 256  # masks kept; each is as long as the vocabulary


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
        inside: States of the head, with the id of the set of tokens that end there.
        exits: What tokens that read past the delimiter have left there.
    """

    inside: tuple[tuple[int, int], ...]
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
        self._fragments: dict[int, Fragment | None] = {}
        self._masks: OrderedDict[int, npt.NDArray[np.bool_]] = OrderedDict()
        self._completions: dict[int, list[int]] = {}
        self._distances = Distances(automaton, self, vocabulary.max_token_bytes)

    def lift(self, state: int) -> Lifted:
        """The partition of the vocabulary by the state that follows `state`."""
        lifted = self._lifted.get(state)
        if lifted is None:
            lifted = self._lifted[state] = self._compute(state)
        return lifted

    def _compute(self, state: int) -> Lifted:
        found = split(self.automaton, state, self.vocabulary.max_token_bytes)
        if found is not None and found.head != state:
            fragment = self._fragment(found.head)
            if fragment is not None:
                return self._compose(found, fragment)
        return self._walk(state)

    def _walk(self, state: int) -> Lifted:
        """Lifts without the help of fragments."""
        trie = self.vocabulary.trie
        groups = tokens_by_state(trie, Walk(self.automaton, trie)(state))
        return self._collect((after, self.token_sets.intern(tokens)) for after, tokens in groups)

    def _compose(self, found: Split, fragment: Fragment) -> Lifted:
        """Lifts a state whose head is lifted: only what tokens have left at the exits is read."""
        classes = [(found.restore(self.automaton, after), ids) for after, ids in fragment.inside]
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
        if head not in self._fragments:
            self._fragments[head] = self._make_fragment(head)
        return self._fragments[head]

    def _make_fragment(self, head: int) -> Fragment | None:
        automaton, trie = self.automaton, self.vocabulary.trie
        reached = Walk(automaton, trie, automaton.is_accepting)(head)
        finals = [s for s in set(reached.states.tolist()) if automaton.is_accepting(s)]
        if automaton.is_accepting(head) or any((automaton.row(s) >= 0).any() for s in finals):
            return None
        inside = tuple(
            (after, self.token_sets.intern(tokens))
            for after, tokens in tokens_by_state(trie, reached)
        )
        return Fragment(inside, self._exits(reached, finals))

    def _exits(self, reached: Reached, finals: list[int]) -> Trie:
        """What is left of each token that reads past the end of the head."""
        remainders: list[bytes] = []
        tokens: list[int] = []
        for node in reached.nodes[np.isin(reached.states, finals)].tolist():
            for length, longer in self.vocabulary.trie.tokens_below(node):
                for token in longer.tolist():
                    spelled = self.vocabulary.tokens[token]
                    assert spelled is not None
                    remainders.append(spelled[-length:])
                    tokens.append(token)
        return Trie(remainders, np.asarray(tokens, np.int32))

    def mask(self, state: int) -> npt.NDArray[np.bool_]:
        """Which tokens may come next, (vocabulary,), read-only."""
        mask = self._masks.get(state)
        if mask is None:
            mask = np.zeros(self.vocabulary.size, bool)
            for set_id in self.lift(state).sets.tolist():
                mask[self.token_sets[set_id]] = True
            mask.flags.writeable = False
            self._masks[state] = mask
            if len(self._masks) > _MASKS:
                self._masks.popitem(last=False)
        self._masks.move_to_end(state)
        return mask

    def next(self, state: int, token_id: int) -> int | None:
        """The state after a token, None if it leads nowhere."""
        if not 0 <= token_id < self.vocabulary.size or not self.vocabulary.tokens[token_id]:
            return None
        after = self.automaton.run(state, self.vocabulary.tokens[token_id] or b"")
        return None if after < 0 else after

    def is_accepting(self, state: int) -> bool:
        """Whether the text may end here."""
        return self.automaton.is_accepting(state)

    def accepts(self, data: bytes) -> bool:
        """Whether `data` is in the language."""
        return self.is_accepting(self.automaton.run(self.automaton.start, data))

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
