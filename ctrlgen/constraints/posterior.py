"""The exact posterior of a gap: (the model's factorised distribution) x (the constraint).

One dynamic programme over (position, automaton node) on token classes, in three semirings: boolean
(what may stand where), max-plus (the most probable filling; DINGO's Viterbi, arXiv:2505.23061, but
ending in an accepting state) and log-sum-exp (marginals, joint samples by forward sampling,
length posterior). Everything is exact for the graph it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ctrlgen.constraints.array_log_probs import ArrayLogProbs
from ctrlgen.constraints.atoms import NEVER, Atoms, Floats, Ints
from ctrlgen.constraints.gap import GapGraph
from ctrlgen.constraints.log_probs import Classes, LogProbs, Reals, reduce
from ctrlgen.constraints.passes import Sums, best, join, sums


class Posterior:
    """The distribution of fillings of one gap.

    Args:
        graph: The gap's automaton.
        log_probs: Of the model, (length, vocab), or logits as an array. Rows of committed positions
            are ignored.
        committed: Token id per position, -1 where open; (length,).

    Attributes:
        trellis: What these leave of the graph.
    """

    _best_cells: Ints  # known with `_best`

    def __init__(self, graph: GapGraph, log_probs: LogProbs | Reals, committed: Ints) -> None:
        self.graph, self.committed, self.trellis = graph, committed, graph.trellis(committed)
        self.log_probs: LogProbs
        self.log_probs = (
            ArrayLogProbs(log_probs) if isinstance(log_probs, np.ndarray) else log_probs
        )
        self._open = self.trellis.open

    @property
    def _part(self) -> tuple[LogProbs, Atoms, Ints]:
        return self.log_probs, self.graph.atoms, self._open

    @cached_property
    def _reduced(self) -> Classes:
        """The rows of open positions reduced to atoms."""
        return _reduced([self])[0]

    @property
    def _absence(self) -> float:
        """What fill at the first position is worth beyond its probability: the gap is absent."""
        slack = self.graph.slack
        return slack.absence if slack is not None and self.graph.absent >= 0 else 0.0

    def _weighed(self, found: Classes) -> Classes:
        if not self._absence or self.committed[0] >= 0:
            return found
        total, best = found.total.copy(), found.best.copy()
        for weights in (total, best):
            weights[0, -1] += self._absence  # fill is the last atom
        return Classes(total, best, found.tokens)

    @cached_property
    def _maxima(self) -> Classes:
        """The same, but sums may be missing where nobody has asked for them."""
        known: Classes | None = self.__dict__.get("_reduced")
        return known or _reduced([self], sums=False)[0]

    @cached_property
    def _sums(self) -> Sums:
        return sums(join(self.trellis), [self._reduced.total])[0]

    @cached_property
    def _whole_weights(self) -> Floats:
        """Log-sums of each atom's tokens at all positions, committed ones are certain."""
        weights = np.full((self.graph.length, self.graph.atoms.count), NEVER)
        weights[self._open] = self._reduced.total
        atom = self.graph.atoms.of_token[self.committed]
        known = ((self.committed >= 0) & (atom >= 0)).nonzero()[0]
        weights[known, atom[known]] = 0.0
        return weights

    @cached_property
    def _whole_sums(self) -> Sums:
        """Sums in which committed positions are layers too, of their one token."""
        return sums(join(self.graph.untouched), [self._whole_weights])[0]

    @property
    def log_partition(self) -> float:
        """Log-probability that the model alone would draw a valid filling; -inf: impossible."""
        return self._sums.partition

    @property
    def feasible(self) -> bool:
        """Whether any filling has positive probability."""
        return self.log_partition > NEVER

    @property
    def atom_log_weights(self) -> Floats:
        """Log of (marginal / model probability) of every atom, (open positions, atoms)."""
        if not self._absence or self.committed[0] >= 0:
            return self._sums.around
        out = self._sums.around.copy()
        out[0, -1] += self._absence
        return out

    @cached_property
    def log_marginals(self) -> Floats:
        """Exact constrained marginals, (length, vocab): log p(token at i | whole gap is valid)."""
        marginals = np.full(self.log_probs.shape, NEVER)
        known = (self.committed >= 0).nonzero()[0]
        marginals[known, self.committed[known]] = 0.0
        for i, weights in zip(self._open.tolist(), self.atom_log_weights, strict=True):
            marginals[i] = np.asarray(self.log_probs[i : i + 1])[0]
            marginals[i] += np.append(weights, NEVER)[self.graph.atoms.of_token]  # -1: the last
        return marginals

    def confidence(self, tokens: Ints) -> Floats:
        """Constrained marginal of one token per position, (length,)."""
        if tokens is self.__dict__.get("_best"):  # known, and on an accelerator a copy less
            return self._best_confidence
        out: Floats = (tokens == self.committed).astype(np.float64)
        open_ = self._open
        rows, atoms = np.arange(len(open_)), self.graph.atoms.of_token[tokens[open_]]
        logs = self.log_probs.at(open_, tokens[open_]) + self.atom_log_weights[rows, atoms]
        out[open_] = np.exp(np.minimum(logs, 0.0))
        return out

    def leave_one_out(self) -> Floats:
        """Constrained marginal of each committed token if it alone were open, (length,).

        Needs the model's rows at committed positions too, predicted without their own token. Open
        positions are summed over, and get 0.
        """
        out, atoms = np.zeros(self.graph.length), self.graph.atoms
        known = np.flatnonzero((self.committed >= 0) & (atoms.of_token[self.committed] >= 0))
        if not len(known):
            return out
        (reduced,) = reduce([(self.log_probs, atoms, known)])
        around = self._whole_sums.around[known]
        if known[0] == 0:
            around[0, -1] += self._absence
        mass = around + reduced.total
        peak = mass.max(axis=1, keepdims=True)
        shift = np.where(peak > NEVER, peak, 0.0)
        tokens, rows = self.committed[known], np.arange(len(known))
        weights = around[rows, atoms.of_token[tokens]]
        with np.errstate(divide="ignore", invalid="ignore"):
            total = np.log(np.exp(mass - shift).sum(axis=1)) + shift[:, 0]
            share = np.exp(np.minimum(self.log_probs.at(known, tokens) + weights - total, 0.0))
        out[known] = np.where(peak[rows, 0] > NEVER, share, 0.0)
        return out

    def top(self, k: int) -> tuple[Ints, Floats]:
        """The k most probable tokens of each constrained marginal and their logs, (length, k)."""
        k = min(k, self.log_probs.shape[1])
        tokens = np.tile(np.arange(k), (self.graph.length, 1))
        logs = np.full((self.graph.length, k), NEVER)
        for i in np.flatnonzero(self.committed >= 0).tolist():
            tokens[i, tokens[i] == self.committed[i]] = tokens[i, 0]  # no token twice
            tokens[i, 0], logs[i, 0] = self.committed[i], 0.0
        found = self.log_probs.top(self.graph.atoms, self._open, self.atom_log_weights, k)
        tokens[self._open], logs[self._open] = found
        return tokens, logs

    @cached_property
    def entropy(self) -> Floats:
        """Entropy of the constrained marginals in nats, (length,)."""
        out = np.zeros(self.graph.length)
        log_mass = np.minimum(self._sums.around + self._reduced.total, 0.0)
        mass = np.exp(log_mass)
        inside = self.log_probs.entropies(self.graph.atoms, self._open)
        out[self._open] = (mass * (inside - np.where(mass > 0, log_mass, 0.0))).sum(axis=1)
        return out

    @property
    def support(self) -> Ints:
        """Number of tokens that can stand at each position in some valid filling, (length,)."""
        return self._sums.support

    def closing_mass(self) -> float:
        """Share of the model's live prefixes that have ended by the right edge.

        Low when the value wants more room than the gap has: the signal to grow.
        """
        live = self._sums.forward(len(self._open))
        total = np.logaddexp.reduce(live)
        ended = np.logaddexp.reduce(live + self.trellis.ends)
        return float(np.exp(ended - total)) if np.isfinite(total) else 0.0

    def length_posterior(self) -> Floats:
        """Probability that the value takes exactly k tokens, (length + 1,); absence counts as 0."""
        graph, whole, sums = self.graph, self.graph.untouched, self._whole_sums
        out, beyond = np.zeros(graph.length + 1), [n for n in (graph.done, graph.absent) if n >= 0]
        last = sums.forward(graph.length) + whole.ends - sums.partition
        out[-1] = np.exp(last[~np.isin(whole.nodes, beyond)]).sum()
        for i, layer in enumerate(whole.layers if beyond else []):
            source, target, atom = layer.by_target
            # The first fill; what stands before it is a value.
            first = (atom == graph.atoms.count - 1) & (layer.nodes[source] < min(beyond))
            mass = sums.forward(i)[source[first]] + sums.backward(i + 1)[target[first]]
            out[i] = np.exp(mass + self._whole_weights[i, -1] - sums.partition).sum()
        return out

    def best(self) -> Ints:
        """The most probable valid filling (max-plus Viterbi), (length,), read-only."""
        return self._best

    @cached_property
    def _best(self) -> Ints:
        find_best([self])
        return self._best

    def _likeliest(self, cell: int) -> int:
        layer, atom = divmod(cell, self.graph.atoms.count)
        return self.log_probs.likeliest(int(self._open[layer]), self.graph.atoms.members(atom))

    @cached_property
    def _best_confidence(self) -> Floats:
        be_sure([self])
        return self._best_confidence

    def sample(self, rng: np.random.Generator, temperature: float = 1.0) -> Ints:
        """One exact joint draw; a temperature other than 1 flattens or sharpens the model first."""
        if temperature != 1.0:
            rows = self.log_probs.tempered(temperature, self._open)
            return Posterior(self.graph, rows, self.committed).sample(rng)
        tokens, node = self.committed.copy(), 0
        for k, (i, layer) in enumerate(zip(self._open.tolist(), self.trellis.layers, strict=True)):
            source, target, atom = layer.by_source
            out = np.flatnonzero(source == node)
            mass = self._reduced.total[k, atom[out]] + self._sums.backward(k + 1)[target[out]]
            arc = out[draw(mass, rng)]
            members = self.graph.atoms.members(int(atom[arc]))
            tokens[i] = members[draw(self.log_probs.at(np.array(i), members), rng)]
            node = int(target[arc])
        return tokens


def reduce_together(posteriors: Sequence[Posterior]) -> None:
    """Reduce the rows of several posteriors to atoms together."""
    for posterior, found in zip(posteriors, _reduced(posteriors), strict=True):
        posterior._reduced = found


def _reduced(posteriors: Sequence[Posterior], *, sums: bool = True) -> list[Classes]:
    """Rows of open positions reduced to atoms, absence for what it is worth beyond them."""
    found = reduce([p._part for p in posteriors], sums=sums)
    return [p._weighed(classes) for p, classes in zip(posteriors, found, strict=True)]


def add_up(posteriors: Sequence[Posterior]) -> None:
    """Compute the sums of several posteriors together: the same as one by one, and faster."""
    reduce_together(posteriors)
    if not posteriors:
        return
    joined = join(*[p.trellis for p in posteriors])
    found = sums(joined, [p._reduced.total for p in posteriors])
    for posterior, own in zip(posteriors, found, strict=True):
        posterior._sums = own


def find_best(posteriors: Sequence[Posterior]) -> None:
    """Find the best fillings of several posteriors together."""
    if not posteriors:
        return
    maxima, joined = [p._maxima for p in posteriors], join(*[p.trellis for p in posteriors])
    cells = best(joined, [found.best for found in maxima])
    tokens = np.concatenate([found.tokens.ravel() for found in maxima])[cells]
    for k in (tokens < 0).nonzero()[0].tolist():
        tokens[k] = posteriors[joined.gap[k]]._likeliest(cells[k] - joined.first_cell[k])
    filling = np.concatenate([p.committed for p in posteriors])
    filling[joined.open] = tokens
    filling.flags.writeable = False
    for posterior, part in zip(posteriors, joined.parts, strict=True):
        posterior._best = filling[part.positions]
        posterior._best_cells = cells[part.layers] - part.cells.start


def be_sure(posteriors: Sequence[Posterior]) -> None:
    """Compute the confidences of several best fillings together."""
    if not posteriors:
        return
    joined = join(*[p.trellis for p in posteriors])
    cells = np.concatenate([p._best_cells for p in posteriors]) + joined.first_cell
    logs = np.concatenate([p._reduced.best.ravel() for p in posteriors])[cells]
    logs += np.concatenate([p._sums.around.ravel() for p in posteriors])[cells]
    sure = np.ones(joined.length)
    sure[joined.open] = np.exp(np.minimum(logs, 0.0))
    for posterior, part in zip(posteriors, joined.parts, strict=True):
        posterior._best_confidence = sure[part.positions]


def draw(log_mass: Floats, rng: np.random.Generator) -> int:
    """An index drawn with probability proportional to exp(log_mass)."""
    weights = np.exp(log_mass - log_mass.max())
    return int(rng.choice(len(weights), p=weights / weights.sum()))
