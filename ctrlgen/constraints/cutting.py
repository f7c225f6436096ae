"""Cuts stencils: reads a vocabulary from the state of a head."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.copies import UNKNOWN, LoopCopies, distinct
from ctrlgen.constraints.crossed_copies import CrossCopies
from ctrlgen.constraints.heads import Head
from ctrlgen.constraints.lifted_steps import LiftedSteps
from ctrlgen.constraints.stencils import Stencil
from ctrlgen.constraints.trie import Trie
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.constraints.walk import Walk, spread, tokens_of

Ints = npt.NDArray[np.int32]


def cut(
    automaton: ByteAutomaton,
    vocabulary: Vocabulary,
    head: Head,
    state: int,
    trie: Trie,
    node: int = 0,
) -> Stencil:
    """The stencil of a head; an ambiguous one if the copies in it cannot be counted.

    Args:
        automaton: An automaton that has the head.
        vocabulary: The tokens.
        head: The head.
        state: Its state with its delimiter, if it has one, and nothing after that.
        trie: The tokens, or ends of some of them.
        node: Where in the trie reading starts.
    """
    reached = Walk(automaton, trie)(state, node)
    copies = LoopCopies if head.item is None else CrossCopies
    counts = copies(automaton, head).count(trie, reached, node, state) or UNKNOWN
    steps = LiftedSteps(automaton, head)(trie, reached, node, state)
    inside = _rows(trie, counts.nodes, counts.copies, steps[counts.nodes] + counts.left)
    tokens, lengths, sources = _below(trie, counts.ends)
    leaving = np.stack([tokens, counts.at_ends[sources], steps[counts.ends[sources]]], axis=1)
    exits = _ends(vocabulary, tokens, lengths, np.arange(len(tokens), dtype=np.int32))
    closing = _rows(trie, counts.ends, counts.at_ends, steps[counts.ends])
    ambiguous = counts is UNKNOWN
    if head.copies is not None and head.item is None:
        # Stacks that others made superfluous would have told of other copies.
        ambiguous = not automaton.narrowed.isdisjoint(distinct(reached.states))
    return Stencil(vocabulary.n_words, inside, closing, leaving, exits, ambiguous)


def _rows(trie: Trie, nodes: Ints, *values: Ints) -> Ints:
    """The tokens at `nodes`, each with the values of its node, (tokens, 1 + values)."""
    counts = trie.first_token[nodes + 1] - trie.first_token[nodes]
    return np.stack([tokens_of(trie, nodes), *(np.repeat(v, counts) for v in values)], axis=1)


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
