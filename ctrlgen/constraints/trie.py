"""Byte strings as a trie in arrays, numbered level by level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]


class Trie:
    """A trie of strings with the token ids that each of them stands for.

    Node 0 is the root. Nodes of one depth are consecutive, and so are the children of a node, in
    order of their bytes: those of `n` are `first_child[n]` up to `first_child[n + 1]`.

    Args:
        strings: Non-empty byte strings; equal ones share a node.
        token_ids: The token id of each string.

    Attributes:
        byte: The byte that leads to each node, (nodes,).
        first_child: Where the children of each node begin, (nodes + 1,).
        first_token: Where the tokens that end at each node begin in `tokens`, (nodes + 1,).
        tokens: Token ids by node, (strings,).
        depth: Bytes of the longest string.
    """

    def __init__(self, strings: Sequence[bytes], token_ids: Ints) -> None:
        order = sorted(range(len(strings)), key=strings.__getitem__)
        buffer = np.frombuffer(b"".join(strings[index] for index in order), np.uint8)
        lengths = np.fromiter((len(strings[index]) for index in order), np.int64, len(order))
        self.depth = int(lengths.max(initial=0))
        ends_at = self._number_nodes(buffer, lengths)
        by_node = np.argsort(ends_at, kind="stable")
        self.tokens = token_ids[np.asarray(order, np.intp)[by_node]].astype(np.int32)
        counts = np.bincount(ends_at, minlength=len(self.byte))
        self.first_token = _starts(counts)

    def _number_nodes(self, buffer: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> Ints:
        """Fills `byte` and `first_child`; returns the node at which each sorted string ends."""
        starts = np.cumsum(lengths) - lengths
        at = np.zeros(len(lengths), np.int32)  # the node that each string has reached
        alive = np.arange(len(lengths))
        letters, parents = [np.zeros(1, np.uint8)], []
        n_nodes = 1
        for depth in range(self.depth):
            alive = alive[lengths[alive] > depth]
            letter, parent = buffer[starts[alive] + depth], at[alive]
            new = np.ones(len(alive), bool)
            new[1:] = (letter[1:] != letter[:-1]) | (parent[1:] != parent[:-1])
            at[alive] = n_nodes - 1 + np.cumsum(new, dtype=np.int32)
            letters.append(letter[new])
            parents.append(parent[new])
            n_nodes += len(letters[-1])
        self.byte = np.concatenate(letters)
        counts = np.bincount(np.concatenate([np.zeros(0, np.int32), *parents]), minlength=n_nodes)
        self.first_child = _starts(counts) + np.int32(1)
        return at


def _starts(counts: npt.NDArray[np.intp]) -> Ints:
    starts = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=starts[1:])
    return starts
