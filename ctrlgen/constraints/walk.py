"""Reading all strings of a trie at once from one state of an automaton."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import DEAD, ByteAutomaton
from ctrlgen.constraints.trie import Trie

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Frontier:
    """Nodes of one depth, with the state that the automaton is in at each."""

    nodes: Ints
    states: Ints


def walk(
    automaton: ByteAutomaton, trie: Trie, state: int, stop: Callable[[int], bool] | None = None
) -> list[Frontier]:
    """The live nodes below the root, level by level.

    Args:
        automaton: What reads the strings.
        trie: The strings.
        state: Where it starts.
        stop: States for which this holds are not left.
    """
    levels = []
    frontier = Frontier(np.zeros(1, np.int32), np.full(1, state, np.int32))
    while len(frontier.nodes):
        frontier = _advance(automaton, trie, frontier, stop)
        levels.append(frontier)
    return levels


def _advance(
    automaton: ByteAutomaton, trie: Trie, frontier: Frontier, stop: Callable[[int], bool] | None
) -> Frontier:
    first = trie.first_child[frontier.nodes]
    counts = trie.first_child[frontier.nodes + 1] - first
    parents = counts > 0
    first, counts = first[parents], counts[parents]
    states, which = _distinct(frontier.states[parents], automaton.n_states)
    rows = [_row(automaton, state, stop) for state in states.tolist()]
    if not rows:
        return Frontier(first, first)
    table = np.concatenate(rows)
    # Edge e of parent p is child number e - (edges of the parents before p).
    shift = first - (np.cumsum(counts, dtype=np.int32) - counts)
    children = np.repeat(shift, counts) + np.arange(counts.sum(), dtype=np.int32)
    after = table[np.repeat(which * 256, counts) + trie.byte[children]]
    live = np.flatnonzero(after != DEAD)
    return Frontier(children[live], after[live])


def _row(automaton: ByteAutomaton, state: int, stop: Callable[[int], bool] | None) -> Ints:
    if stop is not None and stop(state):
        return np.full(256, DEAD, np.int32)
    return automaton.row(state)


def _distinct(states: Ints, n_states: int) -> tuple[Ints, Ints]:
    """The states that occur, and for each entry of `states` its index among them."""
    if len(states) < 64:
        found, which = np.unique(states, return_inverse=True)
        return found, which.astype(np.int32)
    seen = np.zeros(n_states, bool)
    seen[states] = True
    found = np.flatnonzero(seen).astype(np.int32)
    index = np.zeros(n_states, np.int32)
    index[found] = np.arange(len(found), dtype=np.int32)
    return found, index[states]


def tokens_by_state(trie: Trie, levels: list[Frontier]) -> list[tuple[int, Ints]]:
    """The sorted tokens that end at the nodes of `levels`, grouped by the state there."""
    nodes = np.concatenate([level.nodes for level in levels])
    states = np.concatenate([level.states for level in levels])
    first = trie.first_token[nodes]
    counts = trie.first_token[nodes + 1] - first
    if not counts.any():
        return []
    shift = first - (np.cumsum(counts, dtype=np.int32) - counts)
    places = np.repeat(shift, counts) + np.arange(counts.sum(), dtype=np.int32)
    # One sort of 64-bit keys: by state, then by token.
    keys = np.repeat(states.astype(np.int64) << 32, counts) | trie.tokens[places]
    keys.sort()
    groups = keys >> 32
    bounds = np.flatnonzero(np.diff(groups, prepend=-1))
    tokens = (keys & 0xFFFFFFFF).astype(np.int32)
    found = groups[bounds].tolist()
    return list(zip(found, np.split(tokens, bounds[1:]), strict=True))
