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
from ctrlgen.constraints.passes import Sums, best, sums


class Posterior:
    """The distribution of fillings of one gap.

    Args:
        graph: The gap's automaton.
        log_probs: Of the model, (length, vocab), or logits as an array. Rows of committed positions
            are ignored.
        committed: Token id per position, -1 where open; (length,).
    """

    def __init__(self, graph: GapGraph, log_probs: LogProbs | Reals, committed: Ints) -> None:
        self.graph, self.committed = graph, committed
        self.log_probs: LogProbs
        self.log_probs = (
            ArrayLogProbs(log_probs) if isinstance(log_probs, np.ndarray) else log_probs
        )
        self._open = (committed < 0).nonzero()[0]
        self._rows = np.arange(len(self._open))

    @property
    def _part(self) -> tuple[LogProbs, Atoms, Ints]:
        return self.log_probs, self.graph.atoms, self._open

    @cached_property
    def _reduced(self) -> Classes:
        """The rows of open positions reduced to atoms."""
        return reduce([self._part])[0]

    @cached_property
    def _maxima(self) -> Classes:
        """The same, but sums may be missing where nobody has asked for them."""
        known: Classes | None = self.__dict__.get("_reduced")
        return known or reduce([self._part], sums=False)[0]

    @cached_property
    def _classes(self) -> tuple[Floats, Floats]:
        """Log-sum and maximum of each atom's tokens per position, both (length, atoms)."""
        return self._laid(self._reduced)

    def _laid(self, found: Classes) -> tuple[Floats, Floats]:
        """Log-sums and maxima at all positions: those of committed ones are certain."""
        if len(self._open) == self.graph.length:
            return found.total, found.best
        out = np.full((2, self.graph.length, found.total.shape[1]), NEVER)
        out[:, self._open] = found.total, found.best
        atom = self.graph.atoms.of_token[self.committed]
        known = ((self.committed >= 0) & (atom >= 0)).nonzero()[0]
        out[:, known, atom[known]] = 0.0
        return out[0], out[1]

    @property
    def _bests(self) -> Floats:
        known = "_reduced" in self.__dict__
        return self._classes[1] if known else self._laid(self._maxima)[1]

    @cached_property
    def _sums(self) -> Sums:
        return sums([(self.graph, self._classes[0])])[0]

    @property
    def _forward(self) -> Floats:
        """Log-mass of all prefixes that reach a node, (length + 1, nodes)."""
        return self._sums.forward

    @property
    def _backward(self) -> Floats:
        """Log-mass of all suffixes that complete from a node, (length + 1, nodes)."""
        return self._sums.backward

    @cached_property
    def _best_atoms(self) -> Ints:
        return best([(self.graph, self._bests)])[0]

    @property
    def log_partition(self) -> float:
        """Log-probability that the model alone would draw a valid filling; -inf: impossible."""
        return float(self._backward[0, 0])

    @property
    def feasible(self) -> bool:
        """Whether any filling has positive probability."""
        return self.log_partition > NEVER

    @cached_property
    def atom_log_weights(self) -> Floats:
        """Log of (marginal / model probability) of every atom, (length, atoms)."""
        return self._sums.through - self.log_partition

    @cached_property
    def log_marginals(self) -> Floats:
        """Exact constrained marginals, (length, vocab): log p(token at i | whole gap is valid)."""
        marginals = np.full(self.log_probs.shape, NEVER)
        for i, token in enumerate(self.committed.tolist()):
            if token >= 0:
                marginals[i, token] = 0.0
            else:
                weights = np.append(self.atom_log_weights[i], NEVER)  # atom -1 reads the last one
                marginals[i] = np.asarray(self.log_probs[i : i + 1])[0]
                marginals[i] += weights[self.graph.atoms.of_token]
        return marginals

    def confidence(self, tokens: Ints) -> Floats:
        """Constrained marginal of one token per position, (length,)."""
        out, open_ = (tokens == self.committed).astype(np.float64), self._open
        atoms = self.graph.atoms.of_token[tokens[open_]]
        if tokens is self.__dict__.get("_best"):  # known, and on an accelerator a copy less
            logs = self._reduced.best[self._rows, atoms]
        else:
            logs = self.log_probs.at(open_, tokens[open_])
        out[open_] = np.exp(np.minimum(logs + self.atom_log_weights[open_, atoms], 0.0))
        return np.asarray(out)

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
        mass = self.atom_log_weights[known] + reduced.total
        peak = mass.max(axis=1, keepdims=True)
        shift = np.where(peak > NEVER, peak, 0.0)
        tokens, rows = self.committed[known], np.arange(len(known))
        weights = self.atom_log_weights[known, atoms.of_token[tokens]]
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
        weights = self.atom_log_weights[self._open]
        found = self.log_probs.top(self.graph.atoms, self._open, weights, k)
        tokens[self._open], logs[self._open] = found
        return tokens, logs

    @cached_property
    def entropy(self) -> Floats:
        """Entropy of the constrained marginals in nats, (length,)."""
        log_mass = np.minimum(self.atom_log_weights + self._classes[0], 0.0)
        mass = np.exp(log_mass)
        out = -(np.where(mass > 0, log_mass, 0.0) * mass).sum(axis=1)
        inside = self.log_probs.entropies(self.graph.atoms, self._open)
        out[self._open] += (mass[self._open] * inside).sum(axis=1)
        return np.asarray(out)

    @cached_property
    def support(self) -> Ints:
        """Number of tokens that can stand at each position in some valid filling, (length,)."""
        return np.where(self.committed < 0, self._sums.support, 1)

    def closing_mass(self) -> float:
        """Share of the model's live prefixes that have ended by the right edge.

        Low when the value wants more room than the gap has: the signal to grow.
        """
        last = self._forward[-1]
        total = np.logaddexp.reduce(last)
        ended = np.logaddexp.reduce(last[self.graph.final])
        return float(np.exp(ended - total)) if np.isfinite(total) else 0.0

    def length_posterior(self) -> Floats:
        """Probability that the value takes exactly k tokens, (length + 1,); absence counts as 0."""
        graph, out = self.graph, np.zeros(self.graph.length + 1)
        ends = graph.final.copy()
        if graph.done >= 0:
            fill = graph.atoms.count - 1
            chosen = graph.arcs.atom == fill
            chosen &= graph.arcs.source < min(n for n in (graph.done, graph.absent) if n >= 0)
            source, target = graph.arcs.source[chosen], graph.arcs.target[chosen]
            mass = self._forward[:-1, source] + self._backward[1:, target]
            mass = mass + self._classes[0][:, fill, None] - self.log_partition
            out[:-1] = np.exp(mass).sum(axis=1)
            ends[[n for n in (graph.done, graph.absent) if n >= 0]] = False
        out[-1] = np.exp(self._forward[-1, ends] - self.log_partition).sum()
        return out

    def best(self) -> Ints:
        """The most probable valid filling (max-plus Viterbi), (length,), read-only."""
        return self._best

    @cached_property
    def _best(self) -> Ints:
        out, atoms = self.committed.copy(), self._best_atoms[self._open]
        found = self._maxima.tokens[self._rows, atoms]
        for i in (found < 0).nonzero()[0].tolist():
            members = self.graph.atoms.members(int(atoms[i]))
            found[i] = self.log_probs.likeliest(int(self._open[i]), members)
        out[self._open] = found
        out.flags.writeable = False
        return out

    def sample(self, rng: np.random.Generator, temperature: float = 1.0) -> Ints:
        """One exact joint draw; a temperature other than 1 flattens or sharpens the model first."""
        if temperature != 1.0:
            rows = self.log_probs.tempered(temperature, self._open)
            return Posterior(self.graph, rows, self.committed).sample(rng)
        arcs, node = self.graph.arcs, 0
        tokens = np.empty(self.graph.length, dtype=np.int64)
        for i in range(self.graph.length):
            out = np.flatnonzero(arcs.source == node)
            mass = self._classes[0][i, arcs.atom[out]] + self._backward[i + 1, arcs.target[out]]
            arc = out[draw(mass, rng)]
            tokens[i] = self._token(i, int(arcs.atom[arc]), rng)
            node = int(arcs.target[arc])
        return tokens

    def _token(self, position: int, atom: int, rng: np.random.Generator) -> int:
        """A token of an atom at a position, drawn."""
        if self.committed[position] >= 0:
            return int(self.committed[position])
        members = self.graph.atoms.members(atom)
        return int(members[draw(self.log_probs.at(np.array(position), members), rng)])


def reduce_together(posteriors: Sequence[Posterior]) -> None:
    """Reduce the rows of several posteriors to atoms together."""
    for posterior, found in zip(posteriors, reduce([p._part for p in posteriors]), strict=True):
        posterior._reduced = found


def add_up(posteriors: Sequence[Posterior]) -> None:
    """Compute the sums of several posteriors together: the same as one by one, and faster."""
    reduce_together(posteriors)
    problems = [(p.graph, p._classes[0]) for p in posteriors]
    for posterior, found in zip(posteriors, sums(problems), strict=True):
        posterior._sums = found


def find_best(posteriors: Sequence[Posterior]) -> None:
    """Find the best fillings of several posteriors together."""
    problems = [(p.graph, p._bests) for p in posteriors]
    for posterior, found in zip(posteriors, best(problems), strict=True):
        posterior._best_atoms = found


def draw(log_mass: Floats, rng: np.random.Generator) -> int:
    """An index drawn with probability proportional to exp(log_mass)."""
    weights = np.exp(log_mass - log_mass.max())
    return int(rng.choice(len(weights), p=weights / weights.sum()))
