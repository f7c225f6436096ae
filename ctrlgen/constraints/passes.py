"""Passes over the graphs of several gaps at once: sums of fillings, and the best one.

Gaps between known tokens are independent, so their graphs side by side are one graph. What a pass
costs is calls to numpy, one row of them a position, however many gaps take part. Gaps are laid by
falling length: at each position those that are still there are the first ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """

    forward: Floats
    backward: Floats
    through: Floats


def sums(problems: Sequence[Problem]) -> list[Sums]:
    """Log-sum-exp passes in both directions, and what goes through each atom."""
    if not problems:
        return []
    order = sorted(range(len(problems)), key=lambda i: -problems[i][0].length)
    graphs = [problems[i][0] for i in order]
    weights = [problems[i][1] for i in order]
    longest = graphs[0].length
    # Each gap twice: left to right, and right to left from its own end.
    both = [side for g in graphs for side in ((g.arcs, g), (g.backward, g))]
    rows = _laid(longest, [side for w in weights for side in (w, w[::-1])])
    join = _Join(both)
    mass = np.full((longest + 1, join.nodes), NEVER)
    for i, graph in enumerate(graphs):
        mass[0, join.node[2 * i]] = 0.0
        mass[0, join.node[2 * i + 1] + np.flatnonzero(graph.final)] = 0.0
    with np.errstate(divide="ignore"):
        for i in range(longest):
            join.log_step(i, mass[i], rows[i], mass[i + 1])
    ways = []
    for i, graph in enumerate(graphs):
        start, middle = join.node[2 * i : 2 * i + 2]
        ways.append(
            Sums(
                mass[: graph.length + 1, start:middle],
                mass[: graph.length + 1, middle : middle + graph.n_nodes][::-1],
                np.full((graph.length, graph.atoms.count), NEVER),
            )
        )
    _through(graphs, ways)
    return [ways[k] for k in np.argsort(order, kind="stable").tolist()]


def _through(graphs: list[GapGraph], ways: list[Sums]) -> None:
    """Fill in what goes through each atom, at each position."""
    join = _Join([(graph.by_atom, graph) for graph in graphs])
    longest = graphs[0].length
    before = _laid(longest, [w.forward[:-1] for w in ways])
    after = _laid(longest, [w.backward[1:] for w in ways])
    out = np.full((longest, join.atoms), NEVER)
    with np.errstate(divide="ignore"):
        for i in range(longest):
            arcs, runs = join.present(i)
            if runs:
                values = before[i, join.source[:arcs]] + after[i, join.target[:arcs]]
                sums = _log_sum(values, join.first[:runs], join.run[:arcs])
                out[i, join.reached[:runs]] = sums
    for start, graph, way in zip(join.atom_start, graphs, ways, strict=True):
        way.through[:] = out[: graph.length, start : start + graph.atoms.count]


def best(problems: Sequence[Problem]) -> list[Ints]:
    """Atoms of the best filling of each gap (max-plus Viterbi), (length,) each."""
    if not problems:
        return []
    order = sorted(range(len(problems)), key=lambda i: -problems[i][0].length)
    graphs = [problems[i][0] for i in order]
    longest = graphs[0].length
    rows = _laid(longest, [problems[i][1] for i in order])
    join = _Join([(graph.arcs, graph) for graph in graphs])
    score = np.full(join.nodes, NEVER)
    score[join.node] = 0.0
    into = np.full((longest, join.nodes), -1)  # the best arc into each node
    scores = [score]
    for i in range(longest):
        score = np.full(join.nodes, NEVER)
        arcs, runs = join.present(i)
        if runs:
            values = scores[-1][join.source[:arcs]] + rows[i, join.atom[:arcs]]
            peak = np.maximum.reduceat(values, join.first[:runs])
            hits = np.where(values == peak[join.run[:arcs]], np.arange(arcs), arcs)
            reached = join.reached[:runs]
            score[reached] = peak
            into[i, reached] = np.minimum.reduceat(hits, join.first[:runs])
        scores.append(score)
    ends = np.array([
        start + int(np.where(g.final, scores[g.length][start : start + g.n_nodes], NEVER).argmax())
        for start, g in zip(join.node, graphs, strict=True)
    ])  # fmt: skip
    found = join.back(ends, [graph.length for graph in graphs], into)
    return [found[k] for k in np.argsort(order, kind="stable").tolist()]


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
        self._arcs = _starts([len(a.source) for a in arcs])
        self._runs = _starts([len(a.first) for a in arcs])
        self.nodes, self.atoms = nodes[-1], atoms[-1]
        self.node, self.atom_start = nodes[:-1], atoms[:-1]
        summed = [n if a.over_nodes else t for a, n, t in zip(arcs, nodes, atoms, strict=False)]
        self.source = _shifted([a.source for a in arcs], nodes)
        self.target = _shifted([a.target for a in arcs], nodes)
        self.atom = _shifted([a.atom for a in arcs], atoms)
        self.first = _shifted([a.first for a in arcs], self._arcs)
        self.reached = _shifted([a.reached for a in arcs], summed)
        self.run = _shifted([a.run for a in arcs], self._runs)
        lengths = np.array([g.length for _, g in parts])
        positions = np.arange(lengths[0])
        # Lengths fall: what has a position comes before the first that is too short for it.
        self.parts = np.searchsorted(-lengths, -positions, side="left").tolist()

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


def _shifted(parts: Sequence[Ints], by: Sequence[int]) -> Ints:
    return np.concatenate([part + shift for part, shift in zip(parts, by, strict=False)])


def _log_sum(values: Floats, first: Ints, run: Ints) -> Floats:
    """Log-sum-exp over runs that begin at `first`; `run` numbers the run of each value."""
    peak = np.maximum.reduceat(values, first)
    shift = np.where(peak > NEVER, peak, 0.0)
    return np.asarray(np.log(np.add.reduceat(np.exp(values - shift[run]), first)) + shift)
