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
        by_id: The same token ids in increasing order, (strings,).
        node_by_id: The node of each of them, (strings,).
        parent: The parent of each node, that of the root being itself, (nodes,).
        levels: Where the nodes of each depth begin, (depth + 2,).
        depth: Bytes of the longest string.
    """

    def __init__(self, strings: Sequence[bytes], token_ids: Ints) -> None:
        order = sorted(range(len(strings)), key=strings.__getitem__)
        buffer = np.frombuffer(b"".join(strings[index] for index in order), np.uint8)
        lengths = np.fromiter((len(strings[index]) for index in order), np.int64, len(order))
        self.depth = int(lengths.max(initial=0))
        ends_at = self._number_nodes(buffer, lengths)
        by_node = np.argsort(ends_at, kind="stable")
        sorted_ids = token_ids[np.asarray(order, np.intp)].astype(np.int32)
        self.tokens = sorted_ids[by_node]
        by_id = np.argsort(sorted_ids, kind="stable")
        self.by_id, self.node_by_id = sorted_ids[by_id], ends_at[by_id]
        counts = np.bincount(ends_at, minlength=len(self.byte))
        self.first_token = _starts(counts)

    def _number_nodes(self, buffer: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> Ints:
        """Fills `byte` and `first_child`; returns the node at which each sorted string ends."""
        starts = np.cumsum(lengths) - lengths
        at = np.zeros(len(lengths), np.int32)  # the node that each string has reached
        alive = np.arange(len(lengths))
        letters, parents = [np.zeros(1, np.uint8)], [np.zeros(1, np.int32)]
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
        self.parent = np.concatenate(parents)
        self.levels = _starts(np.asarray([len(level) for level in letters]))
        counts = np.bincount(self.parent[1:], minlength=n_nodes)
        self.first_child = _starts(counts) + np.int32(1)
        return at

    def tokens_below(self, node: int) -> list[tuple[int, Ints]]:
        """For each number of bytes below `node`, the tokens that many bytes longer."""
        found = []
        first, last = int(self.first_child[node]), int(self.first_child[node + 1])
        length = 1
        while first < last:
            found.append((length, self.tokens[self.first_token[first] : self.first_token[last]]))
            first, last = int(self.first_child[first]), int(self.first_child[last])
            length += 1
        return found


def _starts(counts: npt.NDArray[np.intp]) -> Ints:
    starts = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=starts[1:])
    return starts
