"""Passes over the graphs of several gaps at once: sums of fillings, and the best one.

Gaps between known tokens are independent, so their graphs side by side are one graph. What a pass
costs is calls to numpy, one row of them a position, however many gaps take part. Gaps are laid by
falling length: at each position those that are still there are the first ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

from ctrlgen.constraints.atoms import NEVER, Floats, Ints
from ctrlgen.constraints.gap import Arcs, GapGraph

Problem = tuple[GapGraph, Floats]
"""A graph and the log-weight of each atom at each position, (length, atoms)."""


@dataclass(frozen=True)
class Sums:
    """Log-sums over the fillings of one gap.

    Args:
        forward: Mass of all prefixes that reach a node, (length + 1, nodes).
        backward: Mass of all suffixes that complete from a node, (length + 1, nodes).
        through: Mass of the fillings around an atom, its own left out, (length, atoms).
        support: How many tokens can stand at a position, (length,).
    """

    forward: Floats
    backward: Floats
    through: Floats
    support: Ints


def sums(problems: Sequence[Problem]) -> list[Sums]:
    """Log-sum-exp passes in both directions, and what goes through each atom."""
    if not problems:
        return []
    order = sorted(range(len(problems)), key=lambda i: -problems[i][0].length)
    graphs = [problems[i][0] for i in order]
    weights = [problems[i][1] for i in order]
    longest = graphs[0].length
    rows = _laid(longest, [side for w in weights for side in (w, w[::-1])])
    joined = join("both ways", *graphs)
    mass = np.full((longest + 1, joined.nodes), NEVER)
    for i, graph in enumerate(graphs):
        mass[0, joined.node[2 * i]] = 0.0
        mass[0, joined.node[2 * i + 1] + np.flatnonzero(graph.final)] = 0.0
    with np.errstate(divide="ignore"):
        for i in range(longest):
            joined.log_step(i, mass[i], rows[i], mass[i + 1])
    ways = []
    for i, graph in enumerate(graphs):
        start, middle = joined.node[2 * i : 2 * i + 2]
        ways.append(
            Sums(
                mass[: graph.length + 1, start:middle],
                mass[: graph.length + 1, middle : middle + graph.n_nodes][::-1],
                np.full((graph.length, graph.atoms.count), NEVER),
                np.zeros(graph.length, dtype=np.int64),
            )
        )
    _through(graphs, weights, ways)
    return [ways[k] for k in np.argsort(order, kind="stable").tolist()]


def _through(graphs: list[GapGraph], weights: list[Floats], ways: list[Sums]) -> None:
    """Fill in what goes through each atom, at each position."""
    joined = join("by atom", *graphs)
    longest = graphs[0].length
    before = _laid(longest, [w.forward[:-1] for w in ways])
    after = _laid(longest, [w.backward[1:] for w in ways])
    out = np.full((longest, joined.atoms), NEVER)
    with np.errstate(divide="ignore"):
        for some in joined.alike():
            arcs, runs = joined.present(some.start)
            if runs:
                values = before[some, joined.source[:arcs]] + after[some, joined.target[:arcs]]
                sums = _log_sum(values, joined.first[:runs], joined.run[:arcs])
                out[some, joined.reached[:runs]] = sums
    possible = (out > NEVER) & (_laid(longest, weights) > NEVER)
    tokens = possible * np.concatenate([graph.atoms.sizes for graph in graphs])
    upto = np.cumsum(np.pad(tokens, ((0, 0), (1, 0))), axis=1)
    for start, graph, way in zip(joined.atom_start, graphs, ways, strict=True):
        end, length = start + graph.atoms.count, graph.length
        way.through[:] = out[:length, start:end]
        way.support[:] = upto[:length, end] - upto[:length, start]


def best(problems: Sequence[Problem]) -> list[Ints]:
    """Atoms of the best filling of each gap (max-plus Viterbi), (length,) each."""
    if not problems:
        return []
    order = sorted(range(len(problems)), key=lambda i: -problems[i][0].length)
    graphs = [problems[i][0] for i in order]
    longest = graphs[0].length
    rows = _laid(longest, [problems[i][1] for i in order])
    joined = join("forward", *graphs)
    score = np.full(joined.nodes, NEVER)
    score[joined.node] = 0.0
    into = np.full((longest, joined.nodes), -1)  # the best arc into each node
    scores = [score]
    for i in range(longest):
        score = np.full(joined.nodes, NEVER)
        arcs, runs = joined.present(i)
        if runs:
            values = scores[-1][joined.source[:arcs]] + rows[i, joined.atom[:arcs]]
            peak = np.maximum.reduceat(values, joined.first[:runs])
            hits = np.where(values == peak[joined.run[:arcs]], np.arange(arcs), arcs)
            reached = joined.reached[:runs]
            score[reached] = peak
            into[i, reached] = np.minimum.reduceat(hits, joined.first[:runs])
        scores.append(score)
    ends = np.array([
        start + int(np.where(g.final, scores[g.length][start : start + g.n_nodes], NEVER).argmax())
        for start, g in zip(joined.node, graphs, strict=True)
    ])  # fmt: skip
    found = joined.back(ends, [graph.length for graph in graphs], into)
    return [found[k] for k in np.argsort(order, kind="stable").tolist()]


@lru_cache(maxsize=24)
def join(kind: Literal["forward", "both ways", "by atom"], *graphs: GapGraph) -> _Join:
    """Graphs by falling length; from one step to the next they are often the same."""
    if kind == "by atom":
        return _Join([(g.by_atom, g) for g in graphs])
    if kind == "forward":
        return _Join([(g.arcs, g) for g in graphs])
    # Each gap twice: left to right, and right to left from its own end.
    return _Join([side for g in graphs for side in ((g.arcs, g), (g.backward, g))])


def _laid(longest: int, tables: Sequence[Floats]) -> Floats:
    """Tables side by side, each from the first row on; NEVER below."""
    out = np.full((longest, sum(t.shape[1] for t in tables)), NEVER)
    start = 0
    for table in tables:
        out[: len(table), start : start + table.shape[1]] = table
        start += table.shape[1]
    return out


class _Join:
    """Arcs of several graphs side by side; numbers of nodes, atoms and runs are shifted.

    Args:
        parts: Arcs, sorted by what they are summed over, with their graphs, by falling length.
    """

    def __init__(self, parts: Sequence[tuple[Arcs, GapGraph]]) -> None:
        arcs = [a for a, _ in parts]
        nodes = _starts([g.n_nodes for _, g in parts])
        atoms = _starts([g.atoms.count for _, g in parts])
        self._arcs = _starts([a.table.shape[1] for a in arcs])
        self._runs = _starts([a.runs.shape[1] for a in arcs])
        self.nodes, self.atoms = nodes[-1], atoms[-1]
        self.node, self.atom_start = nodes[:-1], atoms[:-1]
        self.source, self.target, self.atom, self.run = _shifted(
            [a.table for a in arcs], self._arcs, [nodes, nodes, atoms, self._runs]
        )
        summed = nodes if arcs[0].over_nodes else atoms
        self.first, self.reached = _shifted(
            [a.runs for a in arcs], self._runs, [self._arcs, summed]
        )
        lengths = np.array([g.length for _, g in parts])
        positions = np.arange(lengths[0])
        # Lengths fall: what has a position comes before the first that is too short for it.
        self.parts = np.searchsorted(-lengths, -positions, side="left").tolist()

    def alike(self) -> Iterator[slice]:
        """Stretches of positions that the same gaps have."""
        ends = [i for i, parts in enumerate(self.parts) if i and parts != self.parts[i - 1]]
        for start, end in pairwise([0, *ends, len(self.parts)]):
            yield slice(start, end)

    def present(self, position: int) -> tuple[int, int]:
        """How many arcs and runs the gaps that have this position take."""
        parts = self.parts[position]
        return self._arcs[parts], self._runs[parts]

    def log_step(self, position: int, mass: Floats, weights: Floats, out: Floats) -> None:
        """out[target] = log-sum over arcs of mass[source] + weights[atom]."""
        arcs, runs = self.present(position)
        if runs:
            values = mass[self.source[:arcs]] + weights[self.atom[:arcs]]
            sums = _log_sum(values, self.first[:runs], self.run[:arcs])
            out[self.reached[:runs]] = sums

    def back(self, ends: Ints, lengths: list[int], into: Ints) -> list[Ints]:
        """Atoms on the best way to each end."""
        atoms = np.zeros((len(ends), len(into)), dtype=np.int64)
        for i in reversed(range(len(into))):
            there = self.parts[i]
            arcs = into[i, ends[:there]]
            atoms[:there, i] = self.atom[arcs]
            ends[:there] = self.source[arcs]
        return [
            row[:n] - start for row, n, start in zip(atoms, lengths, self.atom_start, strict=True)
        ]


def _starts(counts: list[int]) -> list[int]:
    """Where each part begins, and the end."""
    return [0, *np.cumsum(counts).tolist()]


def _shifted(tables: Sequence[Ints], starts: list[int], by: Sequence[list[int]]) -> Ints:
    """Tables side by side, each row of each shifted by what stands before its part."""
    shifts = np.array(by)[:, :-1]
    out: Ints = np.concatenate(tables, axis=1)
    out += np.repeat(shifts, np.diff(starts), axis=1)
    return out


def _log_sum(values: Floats, first: Ints, run: Ints) -> Floats:
    """Log-sum-exp over runs of (..., values); they begin at `first`, `run` numbers them.

    Overwrites the values.
    """
    peak = np.maximum.reduceat(values, first, axis=-1)
    shift = np.where(peak > NEVER, peak, 0.0)
    values -= shift[..., run]
    np.exp(values, out=values)
    return np.asarray(np.log(np.add.reduceat(values, first, axis=-1)) + shift)
