"""A gap unrolled over its open positions: what is left to choose once some tokens are committed.

A committed token leads from node to node without a choice. So only open positions take a *layer* of
arcs, and runs of committed ones are contracted into the arcs before them; what the left edge does
not reach is left out. Of twelve positions with one still open, that leaves one layer, of what may
stand there. Nothing here depends on logits.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ctrlgen.constraints.atoms import Ints


class Arcs:
    """Arcs of an automaton, sorted by target; from a node, no two read the same.

    Args:
        source: Where each leads from, (arcs,).
        target: And to, (arcs,).
        atom: What each reads, (arcs,).
        nodes: How many nodes there are; node 0 is the start.
    """

    def __init__(self, source: Ints, target: Ints, atom: Ints, nodes: int) -> None:
        order = np.argsort(target, kind="stable")
        self.source, self.target, self.atom = source[order], target[order], atom[order]
        self.nodes = nodes
        self._after: dict[int, Ints] = {}

    def jump(self, atoms: list[int]) -> Ints:
        """Where a run of atoms leads from each node; `nodes` stands for nowhere; (nodes + 1,)."""
        place = np.arange(self.nodes + 1)
        for atom in atoms:
            place = self._leads(atom)[place]
        return place

    def _leads(self, atom: int) -> Ints:
        known = self._after.get(atom)
        if known is None:
            some = np.flatnonzero(self.atom == atom)
            known = self._after[atom] = np.full(self.nodes + 1, self.nodes)
            known[self.source[some]] = self.target[some]
        return known


class Trellis:
    """Nodes by layers, and arcs between them. Node 0, the only one of the first, is the left edge.

    Args:
        arcs: Of the gap's automaton.
        final: At which of its nodes a filling may end; not nowhere; (nodes + 1,).
        sizes: Tokens of each atom, (atoms,).
        committed: Atom of each position, -1 where it is open, `atoms` where no arc reads the token;
            (length,).

    Attributes:
        length: How many positions there are.
        atoms: How many atoms there are.
        open: Open positions, one for each layer of arcs, (layers,).
        sizes: Tokens of each cell, (layers x atoms,).
        node: What each node is in the automaton, layer by layer; node 0 may be nowhere; (nodes,).
        last: The first node of the last layer.
        ends: Those of them at which a filling may end, (some,).
        forward: Source, target and cell (layer x atoms + atom) of the arcs, by target; (3, arcs).
        forward_steps: When a pass from the left takes each of them, (arcs,).
        backward: Target, source and cell of those on a way to the end, by falling source;
            (3, some).
        backward_steps: When a pass from the right takes each of them, (some,).
        through: Source, target and cell of the same arcs, by cell; (3, some).
    """

    def __init__(self, arcs: Arcs, final: NDArray[np.bool_], sizes: Ints, committed: Ints) -> None:
        self.length, self.atoms = len(committed), len(sizes)
        (self.open,) = (committed < 0).nonzero()
        self.sizes = np.concatenate([sizes[:0]] + [sizes] * len(self.open))
        edges = [-1, *self.open.tolist(), self.length]
        runs = [committed[i + 1 : j].tolist() for i, j in pairwise(edges)]
        counts = self._reach(arcs, [arcs.jump(run) if run else None for run in runs])
        self.ends = self.last + final[self.node[self.last :]].nonzero()[0]
        steps = np.arange(len(counts), dtype=np.int16)
        self.forward_steps = np.repeat(steps, counts)
        self.backward_steps = np.repeat(steps, self._return(counts))

    def _reach(self, arcs: Arcs, jumps: list[Ints | None]) -> list[int]:
        """Lay the arcs that the left edge leads to; returns how many there are in each layer."""
        none, width = np.zeros(0, dtype=np.int64), arcs.nodes + 1
        there = np.zeros((len(jumps), width), dtype=bool)
        there[0, 0 if jumps[0] is None else jumps[0][0]] = True
        chosen, targets = [none], [none]
        for i, jump in enumerate(jumps[1:]):
            (some,) = there[i, arcs.source].nonzero()
            target = arcs.target[some]
            if jump is not None:
                target = jump[target]
                goes_on = target < arcs.nodes
                some, target = some[goes_on], target[goes_on]
            there[i + 1, target] = True
            chosen.append(some)
            targets.append(target)
        counts = [len(some) for some in chosen[1:]]
        layer, some = np.repeat(np.arange(len(counts)), counts), np.concatenate(chosen)
        self.node = there.nonzero()[1]
        self.last = len(self.node) - int(np.count_nonzero(there[-1]))
        number = there.ravel().cumsum() - 1
        source = number[layer * width + arcs.source[some]]
        target = number[(layer + 1) * width + np.concatenate(targets)]
        laid = np.array([source, target, layer * self.atoms + arcs.atom[some]])
        self.forward = laid.take(target.argsort(kind="stable"), axis=1)
        return counts

    def _return(self, counts: list[int]) -> Ints:
        """Find the arcs from which the end is reached; returns how many, by layer from the last."""
        source, target, _ = self.forward
        alive = np.zeros(len(self.node), dtype=bool)
        alive[self.ends] = True
        end = len(source)
        for count in reversed(counts):
            layer = slice(end - count, end)
            alive[source[layer][alive[target[layer]]]] = True
            end -= count
        some = self.forward.compress(alive[target], axis=1)
        self.through = some.take(some[2].argsort(kind="stable"), axis=1)
        self.backward = some[[1, 0, 2]].take((-some[0]).argsort(kind="stable"), axis=1)
        return np.bincount(some[2] // max(self.atoms, 1), minlength=len(counts))[::-1]
