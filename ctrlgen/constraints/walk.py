"""Reading all strings of a trie at once from one state of an automaton."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import DEAD, ByteAutomaton
from ctrlgen.constraints.trie import Trie

Ints = npt.NDArray[np.int32]

_DEAD_ROW = np.full(256, DEAD, np.int32)


@dataclass(frozen=True, slots=True)
class Reached:
    """Live nodes of a trie, with the state that the automaton is in at each."""

    nodes: Ints
    states: Ints


class Walk:
    """Reads every string of a trie.

    Args:
        automaton: What reads the strings.
        trie: The strings.
        stop: States for which this holds are not left.
    """

    def __init__(
        self, automaton: ByteAutomaton, trie: Trie, stop: Callable[[int], bool] | None = None
    ) -> None:
        self._automaton = automaton
        self._trie = trie
        self._stop = stop

    def __call__(self, state: int, node: int = 0) -> Reached:
        """The live nodes below `node` when reading starts there in `state`."""
        frontier = Reached(np.full(1, node, np.int32), np.full(1, state, np.int32))
        levels = [self._advance(frontier)]
        # Where a quarter of the first bytes live, most of the trie does.
        if not node and 4 * len(levels[0].nodes) > self._trie.first_child[1] - 1:
            return self._sweep(levels[0])
        while len(levels[-1].nodes):
            levels.append(self._advance(levels[-1]))
        return Reached(
            np.concatenate([level.nodes for level in levels]),
            np.concatenate([level.states for level in levels]),
        )

    def _advance(self, frontier: Reached) -> Reached:
        """The live children of a few nodes."""
        first = self._trie.first_child[frontier.nodes]
        counts = self._trie.first_child[frontier.nodes + 1] - first
        parents = np.flatnonzero(counts)
        if not len(parents):
            return Reached(parents.astype(np.int32), parents.astype(np.int32))
        first, counts = first[parents], counts[parents]
        states, which = np.unique(frontier.states[parents], return_inverse=True)
        table = np.concatenate([self._row(state) for state in states.tolist()])
        children = spread(first, counts)
        after = table[np.repeat(which * 256, counts) + self._trie.byte[children]]
        live = np.flatnonzero(after != DEAD)
        return Reached(children[live], after[live])

    def _sweep(self, first_level: Reached) -> Reached:
        """All live nodes, by passing over whole levels."""
        trie = self._trie
        states = np.full(len(trie.byte), DEAD, np.int32)
        states[first_level.nodes] = first_level.states
        for depth in range(2, trie.depth + 1):
            begin, end = int(trie.levels[depth]), int(trie.levels[depth + 1])
            if not self._sweep_level(states, begin, end):
                break
        nodes = np.flatnonzero(states != DEAD).astype(np.int32)
        return Reached(nodes, states[nodes])

    def _sweep_level(self, states: Ints, begin: int, end: int) -> bool:
        """Fills `states` between `begin` and `end`; whether any node there lives."""
        before = states.take(self._trie.parent[begin:end])
        seen = np.zeros(self._automaton.n_states + 1, bool)
        seen[before] = True  # DEAD is the last entry
        occurring = np.flatnonzero(seen[:-1])
        if not len(occurring):
            return False
        offset = np.zeros(len(seen), np.int32)
        offset[occurring] = np.arange(256, 256 * len(occurring) + 256, 256, dtype=np.int32)
        table = np.concatenate([_DEAD_ROW, *map(self._row, occurring.tolist())])
        edges = offset.take(before)
        edges += self._trie.byte[begin:end]
        states[begin:end] = table.take(edges)
        return True

    def _row(self, state: int) -> Ints:
        stopped = self._stop is not None and self._stop(state)
        return _DEAD_ROW if stopped else self._automaton.row(state)


def along(trie: Trie, reached: Reached, values: Ints, node: int, state: int) -> Ints:
    """The sum of the values of the states on the way to each node, its own left out, (nodes,).

    Args:
        trie: What was read.
        reached: What was reached from `node` in `state`.
        values: A value for each state.
        node: Where reading started.
        state: In which state.
    """
    own, sums = np.zeros((2, len(trie.byte)), np.int32)
    own[reached.nodes] = values[reached.states]
    own[node] = values[state]
    for nodes in np.split(reached.nodes, np.searchsorted(reached.nodes, trie.levels[1:-1])):
        parents = trie.parent[nodes]
        sums[nodes] = sums[parents] + own[parents]
    return sums


def spread(first: Ints, counts: Ints) -> Ints:
    """For each f, c of `first` and `counts`: f, f + 1, ..., f + c - 1."""
    shift = first - (np.cumsum(counts, dtype=np.int32) - counts)
    return np.repeat(shift, counts) + np.arange(counts.sum(), dtype=np.int32)


def tokens_of(trie: Trie, nodes: Ints) -> Ints:
    """The tokens that end at `nodes`, in their order."""
    first = trie.first_token[nodes]
    return trie.tokens[spread(first, trie.first_token[nodes + 1] - first)]


def tokens_by_state(trie: Trie, reached: Reached) -> list[tuple[int, Ints]]:
    """The sorted tokens that end at the reached nodes, grouped by the state there."""
    if 8 * len(reached.nodes) > len(trie.byte):
        tokens, states = _tokens_of_many(trie, reached)
    else:
        tokens, states = _tokens_of_few(trie, reached)
    if not len(tokens):
        return []
    bounds = np.flatnonzero(np.diff(states, prepend=DEAD))
    edges = [*bounds.tolist(), len(tokens)]
    pieces = [tokens[i:j] for i, j in pairwise(edges)]
    return list(zip(states[bounds].tolist(), pieces, strict=True))


def _tokens_of_few(trie: Trie, reached: Reached) -> tuple[Ints, Ints]:
    """Tokens with their states, sorted by state, then by token."""
    first = trie.first_token[reached.nodes]
    counts = trie.first_token[reached.nodes + 1] - first
    # One sort of 64-bit keys.
    keys = np.repeat(reached.states.astype(np.int64) << 32, counts)
    keys |= trie.tokens[spread(first, counts)]
    keys.sort()
    return (keys & 0xFFFFFFFF).astype(np.int32), (keys >> 32).astype(np.int32)


def _tokens_of_many(trie: Trie, reached: Reached) -> tuple[Ints, Ints]:
    """The same for much of the vocabulary: stable sorting of small ints is linear in numpy."""
    distinct = np.zeros(int(reached.states.max(initial=0)) + 1, bool)
    distinct[reached.states] = True
    found = np.flatnonzero(distinct).astype(np.int32)
    kind = np.uint16 if len(found) < 0xFFFF else np.uint32
    index = np.zeros(len(distinct), kind)
    index[found] = np.arange(len(found), dtype=kind)
    by_node = np.full(len(trie.byte), len(found), kind)
    by_node[reached.nodes] = index[reached.states]
    by_token = by_node.take(trie.node_by_id)
    order = np.argsort(by_token, kind="stable")
    order = order[: np.count_nonzero(by_token != len(found))]
    return trie.by_id[order], found[by_token[order]]
