"""Byte strings as a trie in arrays, numbered level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

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
        parent: The parent of each node, that of the root being itself, (nodes,).
        levels: Where the nodes of each depth begin, (depth + 2,).
        below: How many tokens end at each node or below it, (nodes,).
    """

    byte: npt.NDArray[np.uint8]
    first_child: Ints
    first_token: Ints
    tokens: Ints
    parent: Ints
    levels: Ints
    below: Ints

    STORED = ("byte", "first_child", "first_token", "tokens", "parent", "levels", "below")
    """The arrays from which `of_arrays` makes the trie again."""

    def __init__(self, strings: Sequence[bytes], token_ids: Ints) -> None:
        order = sorted(range(len(strings)), key=strings.__getitem__)
        buffer = np.frombuffer(b"".join(strings[index] for index in order), np.uint8)
        lengths = np.fromiter((len(strings[index]) for index in order), np.int64, len(order))
        ends_at = self._number_nodes(buffer, lengths)
        by_node = np.argsort(ends_at, kind="stable")
        self.tokens = token_ids[np.asarray(order, np.intp)].astype(np.int32)[by_node]
        self.first_token = _starts(np.bincount(ends_at, minlength=len(self.byte)))
        self.below = self._count_below()

    def _count_below(self) -> Ints:
        counts = np.diff(self.first_token)
        for depth in range(self.depth, 0, -1):
            above, begin, end = self.levels[depth - 1 : depth + 2].tolist()
            sums = np.bincount(self.parent[begin:end] - above, counts[begin:end], begin - above)
            counts[above:begin] += sums.astype(np.int32)
        return counts

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Trie:
        """The trie with these `STORED` arrays."""
        trie = cls.__new__(cls)
        for name in cls.STORED:
            setattr(trie, name, arrays[name])
        return trie

    def _number_nodes(self, buffer: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> Ints:
        """Fills `byte` and `first_child`; returns the node at which each sorted string ends."""
        starts = np.cumsum(lengths) - lengths
        at = np.zeros(len(lengths), np.int32)  # the node that each string has reached
        alive = np.arange(len(lengths))
        letters, parents = [np.zeros(1, np.uint8)], [np.zeros(1, np.int32)]
        n_nodes = 1
        for depth in range(int(lengths.max(initial=0))):
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

    @property
    def depth(self) -> int:
        """Bytes of the longest string."""
        return len(self.levels) - 2

    def depth_of(self, node: int) -> int:
        """How many bytes lead to `node`."""
        return int(np.searchsorted(self.levels, node, "right")) - 1

    @cached_property
    def depths(self) -> Ints:
        """How many bytes lead to each node, (nodes,)."""
        return np.repeat(np.arange(len(self.levels) - 1, dtype=np.int32), np.diff(self.levels))

    @cached_property
    def by_id(self) -> Ints:
        """The token ids in increasing order, (strings,)."""
        return self.tokens[self._order]

    @cached_property
    def node_by_id(self) -> Ints:
        """The node of each of `by_id`, (strings,)."""
        counts = np.diff(self.first_token)
        nodes = np.repeat(np.arange(len(self.byte), dtype=np.int32), counts)
        return nodes[self._order]

    @cached_property
    def _order(self) -> npt.NDArray[np.intp]:
        return np.argsort(self.tokens, kind="stable")

    # Single steps are taken in plain Python: bytes and memoryviews index several times as fast as
    # arrays do.

    @cached_property
    def _letters(self) -> bytes:
        return self.byte.tobytes()

    @cached_property
    def _first_child(self) -> memoryview:
        return self.first_child.data

    @cached_property
    def _first_token(self) -> memoryview:
        return self.first_token.data

    @cached_property
    def _tokens(self) -> memoryview:
        return self.tokens.data

    @cached_property
    def _below(self) -> memoryview:
        return self.below.data

    def child(self, node: int, byte: int) -> int:
        """The child of `node` along `byte`, -1 if there is none."""
        children = self._first_child
        return self._letters.find(byte, children[node], children[node + 1])

    def descend(self, node: int, data: bytes) -> int:
        """The node that `data` leads to from `node`, -1 if there is none."""
        for byte in data:
            node = self.child(node, byte)
            if node < 0:
                break
        return node

    def children(self, node: int) -> list[tuple[int, int]]:
        """The bytes that lead on from `node`, each with the child."""
        first, last = self._first_child[node], self._first_child[node + 1]
        return list(zip(self._letters[first:last], range(first, last), strict=True))

    def n_children(self, node: int) -> int:
        """How many children `node` has."""
        return self._first_child[node + 1] - self._first_child[node]

    def n_below(self, node: int) -> int:
        """How many tokens end at `node` or below it."""
        return self._below[node]

    def has_tokens(self, node: int) -> bool:
        """Whether a token ends at `node`."""
        return self._first_token[node] != self._first_token[node + 1]

    def tokens_at(self, node: int) -> list[int]:
        """The tokens that end at `node`."""
        return self._tokens[self._first_token[node] : self._first_token[node + 1]].tolist()

    def tokens_below(self, node: int) -> Ints:
        """The tokens that end at `node` or below it, read-only."""
        found = self._tokens_below.get(node)
        if found is None:
            # The nodes below one are consecutive on every level.
            parts, first, last = [], node, node + 1
            while first < last:
                parts.append(self.tokens[self._first_token[first] : self._first_token[last]])
                first, last = self._first_child[first], self._first_child[last]
            found = self._tokens_below[node] = np.concatenate(parts)
        return found

    @cached_property
    def _tokens_below(self) -> dict[int, Ints]:
        return {}


def _starts(counts: npt.NDArray[np.intp]) -> Ints:
    starts = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=starts[1:])
    return starts
