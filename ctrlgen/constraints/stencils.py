"""Stencils: the masks of heads (`heads.py`), cut once for all automata of a vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.heads import Head
from ctrlgen.constraints.stacks import END
from ctrlgen.constraints.terms import Loop
from ctrlgen.constraints.trie import Trie
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.constraints.walk import Reached, Walk, spread, tokens_of

_SMALL = 200
_FEW = 2_000  # tokens that are taken out of a mask faster than it is made
_OUT = 1 << 30  # more copies than any token takes

Words = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int32]


class Stencil:
    """What a head can read of a vocabulary.

    A head that ends in a counted loop is read without its bounds, and each token noted with the
    copies that it takes: the same stencil then serves all bounds.

    Args:
        n_words: Length of a mask.
        inside: Tokens after which the head goes on, each with the fewest copies that it takes,
            (tokens, 2).
        closing: Tokens that end with the delimiter, and copies that they may take, (rows, 2).
        leaving: Tokens that go on behind it, likewise.
        exits: What these have left there, by row.
        ambiguous: Whether only the fewest copies are noted where a text may take more or fewer.

    Attributes:
        is_small: Whether the tokens inside are so few that a mask is not worth its memory.
    """

    def __init__(
        self, n_words: int, inside: Ints, closing: Ints, leaving: Ints, exits: Trie, ambiguous: bool
    ) -> None:
        self.exits = exits
        self.ambiguous = ambiguous
        self._closing, self._leaving = closing, leaving
        self._n_words = n_words
        self._words: dict[float, Words] = {}
        self._inside = inside[np.argsort(inside[:, 1], kind="stable")]
        self._most = int(np.concatenate([inside, closing, leaving])[:, 1].max(initial=0))
        self.is_small = len(inside) <= _SMALL
        if not self._most and not self.is_small:
            self.words(0)
            self._inside = inside[:0]  # as many bytes as 64 masks have

    def clip(self, copies: tuple[int, float] | None) -> tuple[float, float]:
        """Bounds that allow the same tokens, out of few."""
        least, most = copies or (0, inf)
        return min(least, self._most + 1), min(most, self._most)

    def inside(self, most: float) -> Ints:
        """The tokens inside, where there may be so many copies."""
        end = int(np.searchsorted(self._inside[:, 1], most, "right"))
        tokens: Ints = self._inside[:end, 0]
        return tokens

    def words(self, most: float) -> Words:
        """The same as a mask."""
        words = self._words.get(most)
        if words is None:
            tokens = self.inside(most)
            others = self._inside[len(tokens) :, 0]
            if 0 < len(others) <= _FEW:
                words = without(self.words(self._most), others)
            else:
                words = pack(tokens, self._n_words)
            self._words[most] = words
        return words

    def beyond(self, other: Stencil) -> Ints:
        """The tokens that may be read in a way in which `other`, which reads less, does not."""
        n_tokens = 32 * self._n_words
        risky = self._copies_inside() != other._copies_inside()
        for mine, others in ((self._closing, other._closing), (self._leaving, other._leaving)):
            counts = (np.bincount(rows[:, 0], minlength=n_tokens) for rows in (mine, others))
            risky |= np.not_equal(*counts)
        return np.flatnonzero(risky).astype(np.int32)

    def leaves(self, tokens: Ints) -> npt.NDArray[np.bool_]:
        """Which of `tokens` may go on behind the delimiter."""
        return np.isin(tokens, self._leaving[:, 0])

    def _copies_inside(self) -> Ints:
        """The fewest copies for each token after which the head goes on, (tokens,)."""
        copies = np.full(32 * self._n_words, _OUT, np.int32)
        if 0 in self._words and not len(self._inside):
            bits = np.unpackbits(self._words[0].view(np.uint8), bitorder="little")
            copies[bits.view(np.bool_)] = 0
        copies[self._inside[:, 0]] = self._inside[:, 1]
        return copies

    def tokens(self, rows: Ints, least: float, most: float) -> list[int]:
        """The tokens that close the head, or leave it by these exits."""
        found = np.concatenate([self._closing, self._leaving[rows]])
        tokens: list[int] = found[(found[:, 1] >= least) & (found[:, 1] <= most), 0].tolist()
        return tokens


def without(words: Words, tokens: Ints) -> Words:
    """A mask in which these tokens are not allowed."""
    left, ids = words.copy(), tokens.astype(np.uint32)
    np.bitwise_and.at(left, ids >> np.uint32(5), ~(np.uint32(1) << (ids & np.uint32(31))))
    return left


def pack(tokens: Ints, n_words: int) -> Words:
    """Token ids as a bit each."""
    bits = np.zeros(32 * n_words, bool)
    bits[tokens] = True
    return np.packbits(bits, bitorder="little").view(np.uint32)


def cut(
    automaton: ByteAutomaton, vocabulary: Vocabulary, node: int, state: int, head: Head
) -> Stencil:
    """The stencil of a head.

    Args:
        automaton: An automaton that has the head.
        vocabulary: The tokens.
        node: Where in the trie reading starts.
        state: The state of the head with its delimiter, if it has one, and nothing after that.
        head: The head.
    """
    trie = vocabulary.trie
    reached = Walk(automaton, trie)(state, node)
    count = _Copies(automaton, head)
    taken = count.inside(reached.states)
    going = taken < _OUT
    inside = _rows(trie, reached.nodes[going], taken[going])
    ends, copies = count.at_ends(trie, reached, node, state)
    tokens, lengths, sources = _below(trie, ends)
    leaving = np.stack([tokens, copies[sources]], axis=1)
    exits = _ends(vocabulary, tokens, lengths, np.arange(len(tokens), dtype=np.int32))
    closing = _rows(trie, ends, copies)
    ambiguous = not automaton.narrowed.isdisjoint(_distinct(reached.states))
    return Stencil(vocabulary.n_words, inside, closing, leaving, exits, ambiguous)


def _rows(trie: Trie, nodes: Ints, values: Ints) -> Ints:
    """The tokens at `nodes`, each with the value of its node, (tokens, 2)."""
    counts = trie.first_token[nodes + 1] - trie.first_token[nodes]
    return np.stack([tokens_of(trie, nodes), np.repeat(values, counts)], axis=1)


def _distinct(states: Ints) -> list[int]:
    seen = np.zeros(int(states.max(initial=-1)) + 1, bool)
    seen[states] = True
    return np.flatnonzero(seen).tolist()


class _Copies:
    """How many copies of the loop at the end of a head are taken at each node.

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

    def inside(self, states: Ints) -> Ints:
        """The fewest copies with which the head goes on in each state, `_OUT` where it does not."""
        fewest = np.full(int(states.max(initial=-1)) + 1, _OUT, np.int32)
        for state in _distinct(states):
            fewest[state] = min(self._taken(self._automaton.stacks_of(state)), default=_OUT)
        return fewest[states]

    def at_ends(self, trie: Trie, reached: Reached, node: int, state: int) -> tuple[Ints, Ints]:
        """The nodes behind the delimiter, once for each number of copies, and these numbers.

        Args:
            trie: What was read.
            reached: What was reached from
            node: this node in
            state: this state.
        """
        accepting = [s for s in _distinct(reached.states) if self._automaton.is_accepting(s)]
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


def remainders(vocabulary: Vocabulary, nodes: Ints) -> Trie:
    """What is left, behind `nodes`, of the tokens that go on there."""
    tokens, lengths, _ = _below(vocabulary.trie, nodes)
    return _ends(vocabulary, tokens, lengths, tokens)


def _ends(vocabulary: Vocabulary, tokens: Ints, lengths: Ints, names: Ints) -> Trie:
    """The last bytes of tokens as a trie."""
    spelled = (vocabulary.tokens[token] or b"" for token in tokens.tolist())
    ends = [token[-length:] for token, length in zip(spelled, lengths.tolist(), strict=True)]
    return Trie(ends, names)


def _below(trie: Trie, nodes: Ints) -> tuple[Ints, Ints, Ints]:
    """The tokens below `nodes`, how much longer each is, and the index of its node."""
    empty = np.zeros(0, np.int32)
    found, lengths, sources = [empty], [empty], [empty]
    source = np.arange(len(nodes), dtype=np.int32)
    while len(nodes):
        first = trie.first_child[nodes]
        counts = trie.first_child[nodes + 1] - first
        nodes, source = spread(first, counts), np.repeat(source, counts)
        ending = trie.first_token[nodes + 1] - trie.first_token[nodes]
        found.append(tokens_of(trie, nodes))
        lengths.append(np.full(len(found[-1]), len(lengths), np.int32))
        sources.append(np.repeat(source, ending))
    return np.concatenate(found), np.concatenate(lengths), np.concatenate(sources)
