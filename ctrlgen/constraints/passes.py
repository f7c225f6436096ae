"""Passes over the trellises of several gaps at once: sums of fillings, and the best one.

Gaps between known tokens are independent, so their trellises side by side are one. What a pass
costs is calls to numpy, one row of them a layer, however many gaps take part. Gaps are laid by
falling number of layers: at each *level* those that are still there are the first ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from ctrlgen.constraints.atoms import NEVER, Floats, Ints
from ctrlgen.constraints.trellis import Layer, Trellis


class Ways(NamedTuple):
    """Log-sums of the ways to each node from the left, and from it to the end, level by level."""

    forward: list[Floats]
    backward: list[Floats]


class Sums(NamedTuple):
    """Log-sums over the fillings of one gap.

    Args:
        partition: Of all fillings; -inf: there is none.
        around: Of the fillings around an atom, its own weight left out, against `partition`;
            (layers, atoms).
        support: How many tokens can stand at each position, one where it is committed; (length,).
        ways: Of this gap and those beside it.
        joined: These gaps.
        number: Which one of them it is.
    """

    partition: float
    around: Floats
    support: Ints
    ways: Ways
    joined: Join
    number: int

    def forward(self, layer: int) -> Floats:
        """Of all prefixes that reach a node before a layer, or behind the last; (nodes,)."""
        return self.ways.forward[layer][self.joined.nodes(self.number, layer)]

    def backward(self, layer: int) -> Floats:
        """Of all suffixes that complete from it, (nodes,)."""
        return self.ways.backward[layer][self.joined.nodes(self.number, layer)]


def sums(joined: Join, weights: Sequence[Floats]) -> list[Sums]:
    """Log-sum-exp passes in both directions, and what goes through each atom.

    Args:
        joined: Trellises.
        weights: For each the log-weight of each atom at each open position, (layers, atoms).
    """
    flat = _flat(weights)
    around = np.full(len(flat), NEVER)
    with np.errstate(divide="ignore"):
        ways = _both_ways(joined, flat)
        for stretch in joined.stretches:
            arcs, start, stop = stretch.level.by_atom, stretch.start, stretch.start + stretch.times
            before = np.stack([mass[: stretch.level.before] for mass in ways.forward[start:stop]])
            after = np.stack(ways.backward[start + 1 : stop + 1])
            mass = arcs.log_sum(before[:, arcs.source] + after[:, arcs.target])
            around[stretch.cells[:, arcs.reached]] = mass
    tokens = np.concatenate([[0], ((around > NEVER) & (flat > NEVER)) * joined.sizes]).cumsum()
    support = np.ones(joined.length, dtype=np.int64)
    support[joined.open] = np.diff(tokens[joined.rows])
    whole = np.empty(len(joined.parts))
    whole[joined.order] = ways.backward[0]
    around -= np.repeat(np.where(whole > NEVER, whole, 0.0), np.diff(joined.cells))
    return [
        Sums(
            partition,
            around[part.cells].reshape(len(part.trellis.open), part.trellis.atoms),
            support[part.positions],
            ways,
            joined,
            number,
        )
        for number, (partition, part) in enumerate(zip(whole.tolist(), joined.parts, strict=True))
    ]


def _both_ways(joined: Join, flat: Floats) -> Ways:
    forward, backward = [np.zeros(len(joined.parts))], [joined.ends(joined.depth)]
    for stretch in joined.stretches:
        arcs = stretch.level.by_target
        for weights in flat[stretch.cells][:, arcs.cell]:
            forward.append(arcs.log_sum(forward[-1][arcs.source] + weights))
    for stretch in reversed(joined.stretches):
        arcs = stretch.level.by_source
        for i, weights in reversed([*enumerate(flat[stretch.cells][:, arcs.cell])]):
            mass = arcs.log_sum(backward[-1][arcs.target] + weights)
            if len(mass) < stretch.level.before:  # some nodes lead nowhere
                reached, mass = mass, np.full(stretch.level.before, NEVER)
                mass[arcs.reached] = reached
            if joined.some_end(stretch.start + i):
                mass = np.concatenate([mass, joined.ends(stretch.start + i)])
            backward.append(mass)
    return Ways(forward, backward[::-1])


def best(joined: Join, weights: Sequence[Floats]) -> Ints:
    """Cells of the best fillings (max-plus Viterbi), one for each open position; (layers,).

    Args:
        joined: Trellises, each with a filling.
        weights: As for `sums`.
    """
    flat, scores, into = _flat(weights), [np.zeros(len(joined.parts))], []
    for stretch in joined.stretches:
        arcs = stretch.level.by_target
        for row in flat[stretch.cells][:, arcs.cell]:
            score, arc = arcs.argmax(scores[-1][arcs.source] + row)
            scores.append(score)
            into.append(arc)
    at, chosen = np.zeros(0, dtype=np.int64), np.empty(len(joined.open), dtype=np.int64)
    for stretch in reversed(joined.stretches):
        arcs = stretch.level.by_target
        for i in reversed(range(stretch.times)):
            depth = stretch.start + i
            if joined.some_end(depth + 1):
                at = np.concatenate([at, joined.best_ends(depth + 1, scores[depth + 1])])
            arc = into[depth][at]
            chosen[joined.layer_at(depth)] = stretch.cells[i, arcs.cell[arc]]
            at = arcs.source[arc]
    return chosen


def _flat(tables: Sequence[Floats]) -> Floats:
    return np.concatenate([table.ravel() for table in tables])


class Part(NamedTuple):
    """What is one trellis' own in a join: its cells, layers and positions."""

    trellis: Trellis
    cells: slice
    layers: slice
    positions: slice


class Stretch(NamedTuple):
    """Levels that follow each other and are the same.

    Args:
        level: What they are.
        start: The first of them.
        times: How many there are.
        cells: Which of all cells those of each level are, (times, cells of the level).
    """

    level: Level
    start: int
    times: int
    cells: Ints


@lru_cache(maxsize=8)
def join(*trellises: Trellis) -> Join:
    """Trellises side by side; sums and best fillings are asked for in turn."""
    return Join(trellises)


class Join:
    """Trellises side by side: their cells, layers and positions are numbered through.

    Args:
        trellises: In any order; at least one.

    Attributes:
        parts: Each trellis with what is its own.
        cells: Where the cells of each begin, and the end; (trellises + 1,).
        gap: Which trellis each layer is of, (layers,).
        first_cell: Where the cells of that one begin, (layers,).
        rows: Where the cells of each layer begin, and the end; (layers + 1,).
        open: The position of each layer, (layers,).
        length: How many positions there are.
        sizes: Tokens of each cell, (cells,).
        order: The trellises by falling number of layers.
        depth: How many levels there are.
        stretches: The levels.
    """

    def __init__(self, trellises: tuple[Trellis, ...]) -> None:
        counts = [(len(t.sizes), len(t.open), t.length) for t in trellises]
        bounds = np.concatenate([[(0, 0, 0)], np.cumsum(counts, axis=0)]).T
        self.cells, layers, lengths = bounds
        spans = [map(slice, each, each[1:]) for each in bounds.tolist()]
        self.parts = list(map(Part._make, zip(trellises, *spans, strict=False)))
        self.length, atoms = int(lengths[-1]), np.array([t.atoms for t in trellises])
        self.gap = np.repeat(np.arange(len(trellises)), np.diff(layers))
        self.first_cell = self.cells[self.gap]
        self.open = np.concatenate([t.open for t in trellises]) + lengths[self.gap]
        self.rows = _starts(atoms[self.gap])
        self.sizes = np.concatenate([t.sizes for t in trellises])
        self.order = np.argsort(-np.diff(layers), kind="stable")
        self._laid = [trellises[i] for i in self.order.tolist()]
        self._first_layer = layers[self.order]
        depths = np.diff(layers)[self.order]
        self.depth = int(depths[0])
        # How many trellises have a layer of each level, and then none.
        self._there = np.searchsorted(-depths, -np.arange(self.depth + 1), side="left").tolist()
        self.stretches = self._stretches(self.cells[self.order], atoms[self.order])

    def _stretches(self, cells: Ints, atoms: Ints) -> list[Stretch]:
        laid, there = self._laid, self._there
        levels = [level(*[t.layers[i] for t in laid[: there[i]]]) for i in range(self.depth)]
        out, start = [], 0
        for each, same in itertools.groupby(levels):
            count, some = len(list(same)), atoms[: there[start]]
            first = np.arange(each.cells) + np.repeat(
                cells[: len(some)] + start * some - (np.cumsum(some) - some), some
            )
            step = np.repeat(some, some)
            out.append(Stretch(each, start, count, first + np.arange(count)[:, None] * step))
            start += count
        return out

    def layer_at(self, depth: int) -> Ints:
        """The layers of a level, (trellises that are there,)."""
        return np.asarray(self._first_layer[: self._there[depth]] + depth)

    def some_end(self, depth: int) -> bool:
        """Whether there are trellises of just so many layers."""
        return depth == 0 or self._there[depth] < self._there[depth - 1]

    def ends(self, depth: int) -> Floats:
        """What ends adds at the last nodes of trellises with just so many layers, (nodes,)."""
        return np.concatenate([_NOTHING, *[t.ends for t in self._ending(depth)]])

    def best_ends(self, depth: int, score: Floats) -> Ints:
        """The node of the highest score among the ends of each of these trellises."""
        out, start = [], len(score) - sum(len(t.ends) for t in self._ending(depth))
        for t in self._ending(depth):
            stop = start + len(t.ends)
            out.append(start + int((score[start:stop] + t.ends).argmax()))
            start = stop
        return np.array(out, dtype=np.int64)

    def _ending(self, depth: int) -> list[Trellis]:
        """Trellises of just so many layers."""
        before = self._there[depth - 1] if depth else len(self._laid)
        return self._laid[self._there[depth] : before]

    def nodes(self, number: int, depth: int) -> slice:
        """Which nodes of a level, or behind it, are those of one trellis."""
        at = int((self.order == number).argmax())
        start = sum(t.widths[depth] for t in self._laid[:at])
        return slice(start, start + self._laid[at].widths[depth])


_NOTHING = np.zeros(0)


@lru_cache(maxsize=256)
def level(*layers: Layer) -> Level:
    """Layers side by side; from one step to the next most are the same."""
    return Level(layers)


class Level:
    """Layers side by side: their nodes and cells are numbered through.

    Args:
        layers: At least one.

    Attributes:
        before: How many nodes there are before them.
        cells: How many cells they have.
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self._layers = layers
        counts = np.array([(len(layer.nodes), layer.after, layer.atoms) for layer in layers])
        self._shifts: Ints = (np.cumsum(counts, axis=0) - counts).T
        self.before, _, self.cells = counts.sum(axis=0).tolist()

    @cached_property
    def by_target(self) -> Bundle:
        """Arcs in runs to the same node."""
        return Bundle([layer.by_target for layer in self._layers], self._shifts, 1)

    @cached_property
    def by_source(self) -> Bundle:
        """Arcs in runs from the same node."""
        return Bundle([layer.by_source for layer in self._layers], self._shifts, 0)

    @cached_property
    def by_atom(self) -> Bundle:
        """Arcs in runs with the same cell."""
        return Bundle([layer.by_atom for layer in self._layers], self._shifts, 2)


class Bundle:
    """Arcs of several layers, in runs of the same source, target or cell.

    Args:
        tables: Source, target and atom of the arcs of each layer, sorted by one of them.
        shifts: Where each layer begins in each of the three, (3, layers).
        key: Which one it is.

    Attributes:
        source: Where each arc leads from, (arcs,).
        target: And to, (arcs,).
        cell: What it reads, (arcs,).
        reached: What each run has in common, (runs,).
    """

    def __init__(self, tables: Sequence[Ints], shifts: Ints, key: int) -> None:
        table = tables[0]
        if len(tables) > 1:
            table = np.concatenate(tables, axis=1)
            table += shifts.repeat([each.shape[1] for each in tables], axis=1)
        self.source, self.target, self.cell = table
        begins = np.ones(table.shape[1], dtype=bool)
        np.not_equal(table[key, 1:], table[key, :-1], out=begins[1:])
        (self._first,) = begins.nonzero()
        self._run = begins.cumsum() - 1
        self.reached = table[key, self._first]
        self._single = len(self._first) == len(begins)

    def log_sum(self, values: Floats) -> Floats:
        """Log-sum-exp over each run, (..., runs). Overwrites the values, (..., arcs)."""
        if self._single:
            return values
        peak = np.maximum.reduceat(values, self._first, axis=-1)
        shift = np.where(peak > NEVER, peak, 0.0)
        values -= shift[..., self._run]
        np.exp(values, out=values)
        return np.asarray(np.log(np.add.reduceat(values, self._first, axis=-1)) + shift)

    def argmax(self, values: Floats) -> tuple[Floats, Ints]:
        """The highest value of each run, and the first arc that has it; both (runs,)."""
        if self._single:
            return values, self._first
        peak = np.maximum.reduceat(values, self._first)
        hits = np.where(values == peak[self._run], np.arange(len(values)), len(values))
        return peak, np.minimum.reduceat(hits, self._first)


def _starts(counts: Ints) -> Ints:
    """Where each part begins, and the end."""
    return np.concatenate([[0], np.cumsum(counts)])
