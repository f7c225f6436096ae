"""Passes over the trellises of several gaps at once: sums of fillings, and the best one.

Gaps between known tokens are independent, so their trellises side by side are one. What a pass
costs is calls to numpy, one row of them a layer, however many gaps take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ctrlgen.constraints.atoms import NEVER, Floats, Ints
from ctrlgen.constraints.trellis import Trellis


class Sums(NamedTuple):
    """Log-sums over the fillings of one gap.

    Args:
        partition: Of all fillings; -inf: there is none.
        forward: Of all prefixes that reach a node of the trellis, (nodes,).
        backward: Of all suffixes that complete from it, (nodes,).
        around: Of the fillings around an atom, its own weight left out, against `partition`;
            (layers, atoms).
        support: How many tokens can stand at each position, one where it is committed; (length,).
    """

    partition: float
    forward: Floats
    backward: Floats
    around: Floats
    support: Ints


def sums(joined: Join, weights: Sequence[Floats]) -> list[Sums]:
    """Log-sum-exp passes in both directions, and what goes through each atom.

    Args:
        joined: Trellises.
        weights: For each the log-weight of each atom at each open position, (layers, atoms).
    """
    cells = _flat(weights)
    around = np.full(len(cells), NEVER)
    with np.errstate(divide="ignore"):
        forward = joined.forward.log_sums(joined.starts, cells)
        backward = joined.backward.log_sums(joined.ends, cells)
        source, target, runs = joined.through
        around[runs.reached] = runs.log_sum(forward[source] + backward[target])
    tokens = np.concatenate([[0], ((around > NEVER) & (cells > NEVER)) * joined.sizes]).cumsum()
    support = np.ones(joined.length, dtype=np.int64)
    support[joined.open] = np.diff(tokens[joined.rows])
    whole = backward[joined.starts]
    around -= np.repeat(np.where(whole > NEVER, whole, 0.0), np.diff(joined.cells))
    return [
        Sums(
            partition,
            forward[part.nodes],
            backward[part.nodes],
            around[part.cells].reshape(len(part.trellis.open), part.trellis.atoms),
            support[part.positions],
        )
        for partition, part in zip(whole.tolist(), joined.parts, strict=True)
    ]


def best(joined: Join, weights: Sequence[Floats]) -> Ints:
    """Cells of the best fillings (max-plus Viterbi), one for each open position; (layers,).

    Args:
        joined: Trellises, each with a filling.
        weights: As for `sums`.
    """
    score, into = joined.forward.maxima(joined.starts, _flat(weights))
    at = joined.starts + [
        part.trellis.ends[score[part.nodes][part.trellis.ends].argmax()] for part in joined.parts
    ]
    layers = np.diff(joined.layers)
    chosen = np.full((len(layers), layers.max()), -1)
    for layer in reversed(range(chosen.shape[1])):
        (there,) = (layers > layer).nonzero()
        arcs = into[at[there]]
        chosen[there, layer] = joined.forward.cell[arcs]
        at[there] = joined.forward.source[arcs]
    return np.asarray(chosen[chosen >= 0])


def _flat(tables: Sequence[Floats]) -> Floats:
    return np.concatenate([table.ravel() for table in tables])


@lru_cache(maxsize=8)
def join(*trellises: Trellis) -> Join:
    """Trellises side by side; sums and best fillings are asked for in turn."""
    return Join(trellises)


class Part(NamedTuple):
    """What is one trellis' own in a join: its nodes, cells, layers and positions."""

    trellis: Trellis
    nodes: slice
    cells: slice
    layers: slice
    positions: slice


class Join:
    """Trellises side by side: their nodes, cells, layers and positions are numbered through.

    Args:
        trellises: In any order; at least one.

    Attributes:
        starts: The node at the left edge of each, (trellises,).
        ends: All nodes at which a filling may end, (some,).
        gap: Which trellis each layer is of, (layers,).
        first_cell: Where the cells of that one begin, (layers,).
        rows: Where the cells of each layer begin, and the end; (layers + 1,).
        open: The position of each layer, (layers,).
        length: How many positions there are.
        sizes: Tokens of each cell, (cells,).
        parts: Each trellis with what is its own.
    """

    def __init__(self, trellises: tuple[Trellis, ...]) -> None:
        self.trellises = trellises
        counts = [(len(t.node), len(t.sizes), len(t.open), t.length) for t in trellises]
        bounds = np.concatenate([[(0, 0, 0, 0)], np.cumsum(counts, axis=0)]).T
        self.nodes, self.cells, self.layers, lengths = bounds
        spans = [map(slice, each, each[1:]) for each in bounds.tolist()]
        self.parts = list(map(Part._make, zip(trellises, *spans, strict=False)))
        self.starts, self.length = self.nodes[:-1], int(lengths[-1])
        self._shifts = bounds[[0, 0, 1], :-1]
        (self.ends,) = self._side_by_side([t.ends[None] for t in trellises], self._shifts[:1])
        self.gap = np.repeat(np.arange(len(trellises)), np.diff(self.layers))
        self.first_cell = self.cells[self.gap]
        self.open = np.concatenate([t.open for t in trellises]) + lengths[self.gap]
        self.rows = _starts(np.array([t.atoms for t in trellises])[self.gap])
        self.sizes = np.concatenate([t.sizes for t in trellises])

    @cached_property
    def forward(self) -> Sweep:
        """The arcs, for passes from the left."""
        return Sweep(
            self._arcs([t.forward for t in self.trellises]),
            np.concatenate([t.forward_steps for t in self.trellises]),
            int(self.nodes[-1]),
        )

    @cached_property
    def backward(self) -> Sweep:
        """Those on a way to an end, for passes from the right."""
        return Sweep(
            self._arcs([t.backward for t in self.trellises]),
            np.concatenate([t.backward_steps for t in self.trellises]),
            int(self.nodes[-1]),
        )

    @cached_property
    def through(self) -> tuple[Ints, Ints, Runs]:
        """Sources and targets of the same, in runs with the same cell."""
        source, target, cell = self._arcs([t.through for t in self.trellises])
        return source, target, Runs(cell)

    def _arcs(self, tables: Sequence[Ints]) -> Ints:
        """Tables of nodes, nodes and cells side by side, numbered through."""
        return self._side_by_side(tables, self._shifts)

    def _side_by_side(self, tables: Sequence[Ints], shifts: Ints) -> Ints:
        """A table of each, every row shifted by where its part begins in what it counts."""
        out: Ints = np.concatenate(tables, axis=1)
        out += shifts.repeat([table.shape[1] for table in tables], axis=1)
        return out


class Sweep:
    """Arcs in the order in which a pass takes them.

    Args:
        table: Where each begins, leads to, and its cell; in runs of the same target; (3, arcs).
        steps: When it is taken, (arcs,).
        nodes: How many nodes there are.
    """

    def __init__(self, table: Ints, steps: Ints, nodes: int) -> None:
        order = steps.argsort(kind="stable")
        self.source, target, self.cell = table.take(order, axis=1)
        layers = [slice(a, b) for a, b in pairwise(_starts(np.bincount(steps)).tolist())]
        self._layers = [(arcs, Runs(target[arcs])) for arcs in layers]
        self._nodes = nodes

    def log_sums(self, starts: Ints, weights: Floats) -> Floats:
        """Mass of the ways from the starts to each node, (nodes,)."""
        mass = np.full(self._nodes, NEVER)
        mass[starts] = 0.0
        weights = weights[self.cell]
        for arcs, runs in self._layers:
            mass[runs.reached] = runs.log_sum(mass[self.source[arcs]] + weights[arcs])
        return mass

    def maxima(self, starts: Ints, weights: Floats) -> tuple[Floats, Ints]:
        """Weight of the best way to each node, and the last arc of it; both (nodes,)."""
        score, into = np.full(self._nodes, NEVER), np.zeros(self._nodes, dtype=np.int64)
        score[starts] = 0.0
        weights = weights[self.cell]
        for arcs, runs in self._layers:
            peak, first = runs.argmax(score[self.source[arcs]] + weights[arcs])
            score[runs.reached], into[runs.reached] = peak, first + arcs.start
        return score, into


class Runs:
    """Stretches of equal keys.

    Args:
        keys: (items,).

    Attributes:
        reached: The key of each run, (runs,).
    """

    def __init__(self, keys: Ints) -> None:
        begins = np.ones(len(keys), dtype=bool)
        np.not_equal(keys[1:], keys[:-1], out=begins[1:])
        (self._first,) = begins.nonzero()
        self._run = begins.cumsum() - 1
        self.reached = keys[self._first]
        self._single = len(self._first) == len(keys)

    def log_sum(self, values: Floats) -> Floats:
        """Log-sum-exp over each run, (runs,). Overwrites the values, (items,)."""
        if self._single:
            return values
        peak = np.maximum.reduceat(values, self._first)
        shift = np.where(peak > NEVER, peak, 0.0)
        values -= shift[self._run]
        np.exp(values, out=values)
        return np.asarray(np.log(np.add.reduceat(values, self._first)) + shift)

    def argmax(self, values: Floats) -> tuple[Floats, Ints]:
        """The highest value of each run, and where it is first; both (runs,)."""
        if self._single:
            return values, self._first
        peak = np.maximum.reduceat(values, self._first)
        hits = np.where(values == peak[self._run], np.arange(len(values)), len(values))
        return peak, np.minimum.reduceat(hits, self._first)


def _starts(counts: Ints) -> Ints:
    """Where each part begins, and the end."""
    return np.concatenate([[0], np.cumsum(counts)])
