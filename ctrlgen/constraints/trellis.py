"""A gap unrolled over its open positions: what is left to choose once some tokens are committed.

A committed token leads from node to node without a choice. So only open positions take a *layer* of
arcs, and runs of committed ones are contracted into the arcs before them; what the left edge does
not reach is left out. Of twelve positions with one still open, that leaves one layer, of what may
stand there. Nothing here depends on logits, and layers that are alike are the same.
"""

from __future__ import annotations

from itertools import pairwise
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from ctrlgen.constraints.atoms import NEVER, Floats, Ints

Bools = NDArray[np.bool_]


class Layer:
    """Arcs between the nodes that are reached before an open position, and those after it.

    Args:
        table: Source, target and atom of each arc; nodes are numbered among those reached;
            (3, arcs).
        nodes: What the nodes before it are in the automaton, (nodes before,).
        reached: What is reached behind it, nowhere last; (automaton's nodes + 1,).
        atoms: How many atoms there are.

    Attributes:
        by_target: The table, sorted; (3, arcs), as the following.
        by_source: The same, sorted by source.
        by_atom: The same, sorted by atom.
    """

    def __init__(self, table: Ints, nodes: Ints, reached: Bools, atoms: int) -> None:
        self.nodes, self.reached, self.atoms = nodes, reached, atoms
        self.after = int(np.count_nonzero(reached))
        self.by_source, self.by_target, self.by_atom = (
            table.take(row.argsort(kind="stable"), axis=1) for row in table
        )


class Arcs:
    """Arcs of an automaton; from a node, no two read the same.

    Args:
        source: Where each leads from, (arcs,).
        target: And to, (arcs,).
        atom: What each reads, (arcs,).
        nodes: How many nodes there are; node 0 is the start.
        atoms: How many atoms there are.
    """

    def __init__(self, source: Ints, target: Ints, atom: Ints, nodes: int, atoms: int) -> None:
        self.source, self.target, self.atom = source, target, atom
        self.nodes, self.atoms = nodes, atoms
        self._after: dict[int, Ints] = {}
        self._layers: WeakValueDictionary[tuple[bytes, bytes], Layer] = WeakValueDictionary()

    def jump(self, atoms: Ints) -> Ints:
        """Where a run of atoms leads from each node; `nodes` stands for nowhere; (nodes + 1,)."""
        place = np.arange(self.nodes + 1)
        for atom in atoms.tolist():
            place = self._leads(atom)[place]
        return place

    def _leads(self, atom: int) -> Ints:
        known = self._after.get(atom)
        if known is None:
            some = np.flatnonzero(self.atom == atom)
            known = self._after[atom] = np.full(self.nodes + 1, self.nodes)
            known[self.source[some]] = self.target[some]
        return known

    def layer(self, reached: Bools, run: Ints) -> Layer:
        """The layer of an open position, as long as somebody holds it.

        Args:
            reached: What is reached before it, nowhere last; (nodes + 1,).
            run: Atoms of the committed positions that follow.
        """
        key = reached.tobytes(), run.tobytes()
        found = self._layers.get(key)
        if found is None:
            found = self._layers[key] = self._layer(reached, run)
        return found

    def _layer(self, reached: Bools, run: Ints) -> Layer:
        (some,) = reached[self.source].nonzero()
        target = self.target[some]
        if len(run):
            target = self.jump(run)[target]
            goes_on = target < self.nodes
            some, target = some[goes_on], target[goes_on]
        behind = np.zeros(self.nodes + 1, dtype=bool)
        behind[target] = True
        number = reached.cumsum() - 1, behind.cumsum() - 1
        table = np.array([number[0][self.source[some]], number[1][target], self.atom[some]])
        return Layer(table, reached.nonzero()[0], behind, self.atoms)


class Trellis:
    """Layers of arcs; the left edge is the only node before the first.

    Args:
        arcs: Of the gap's automaton.
        final: At which of its nodes a filling may end; not nowhere; (nodes + 1,).
        sizes: Tokens of each atom, (atoms,).
        committed: Atom of each position, -1 where it is open, `atoms` where no arc reads the token;
            (length,).

    Attributes:
        length: How many positions there are.
        atoms: How many atoms there are.
        open: Open positions, (layers,).
        layers: One for each of them.
        widths: How many nodes there are before each, and behind the last; (layers + 1,).
        ends: 0 where a filling may end at a node behind the last, else -inf; (nodes there,).
        nodes: What these are in the automaton, (nodes there,).
        sizes: Tokens of each cell, which are numbered layer x atoms + atom; (cells,).
    """

    def __init__(self, arcs: Arcs, final: Bools, sizes: Ints, committed: Ints) -> None:
        self.length, self.atoms = len(committed), len(sizes)
        (self.open,) = (committed < 0).nonzero()
        edges = [-1, *self.open.tolist(), self.length]
        first, *runs = [committed[i + 1 : j] for i, j in pairwise(edges)]
        reached = np.zeros(arcs.nodes + 1, dtype=bool)
        reached[arcs.jump(first)[0] if len(first) else 0] = True  # nowhere, if that is where
        self.layers: list[Layer] = []
        for run in runs:
            self.layers.append(arcs.layer(reached, run))
            reached = self.layers[-1].reached
        self.widths = [len(layer.nodes) for layer in self.layers] + [int(np.count_nonzero(reached))]
        self.nodes = reached.nonzero()[0]
        self.ends: Floats = np.where(final[self.nodes], 0.0, NEVER)
        self.sizes = np.concatenate([sizes[:0]] + [sizes] * len(self.open))
