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

from ctrlgen.constraints.atoms import NEVER, Floats, Ints
from ctrlgen.constraints.gap import GapGraph
from ctrlgen.constraints.passes import Sums, best, sums


class Posterior:
    """The distribution of fillings of one gap.

    Args:
        graph: The gap's automaton.
        log_probs: Model log-probabilities, (length, vocab); each row sums to one. Rows of committed
            positions are ignored.
        committed: Token id per position, -1 where open; (length,).
    """

    def __init__(self, graph: GapGraph, log_probs: Floats, committed: Ints) -> None:
        self.graph, self.log_probs, self.committed = graph, log_probs, committed

    @cached_property
    def _classes(self) -> tuple[Floats, Floats]:
        """Log-sum and maximum of each atom's tokens per position, both (length, atoms)."""
        atoms = self.graph.atoms
        total = np.full((self.graph.length, atoms.count), NEVER)
        best = total.copy()
        for i, token in enumerate(self.committed.tolist()):
            if token < 0:
                total[i], best[i] = atoms.reduce(self.log_probs[i])
            elif atoms.of_token[token] >= 0:
                total[i, atoms.of_token[token]] = best[i, atoms.of_token[token]] = 0.0
        return total, best

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
        return best([(self.graph, self._classes[1])])[0]

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
        # Atom -1 reads the last column.
        never = np.full((self.graph.length, 1), NEVER)
        weights = np.concatenate([self.atom_log_weights, never], axis=1)
        marginals = self.log_probs + weights[:, self.graph.atoms.of_token]
        for i in np.flatnonzero(self.committed >= 0):
            marginals[i] = NEVER
            marginals[i, self.committed[i]] = 0.0
        return np.asarray(marginals)

    def confidence(self, tokens: Ints) -> Floats:
        """Constrained marginal of one token per position, (length,)."""
        rows, open_ = np.arange(self.graph.length), self.committed < 0
        weights = self.atom_log_weights[rows, self.graph.atoms.of_token[tokens]]
        log_marginal = np.minimum(self.log_probs[rows, tokens] + weights, 0.0)
        return np.where(open_, np.exp(log_marginal), 1.0 * (tokens == self.committed))

    def leave_one_out(self) -> Floats:
        """Constrained marginal of each committed token if it alone were open, (length,).

        Needs the model's rows at committed positions too, predicted without their own token. Open
        positions are summed over, and get 0.
        """
        out = np.zeros(self.graph.length)
        weights, atoms = self.atom_log_weights, self.graph.atoms
        for i in np.flatnonzero(self.committed >= 0):
            mass = weights[i] + atoms.reduce(self.log_probs[i])[0]
            peak = mass.max(initial=NEVER)
            token = self.committed[i]
            if np.isfinite(peak) and (atom := atoms.of_token[token]) >= 0:
                total = peak + np.log(np.exp(mass - peak).sum())
                out[i] = np.exp(min(self.log_probs[i, token] + weights[i, atom] - total, 0.0))
        return out

    def top(self, k: int) -> tuple[Ints, Floats]:
        """The k most probable tokens of each constrained marginal and their logs, (length, k)."""
        marginals = self.log_marginals
        k = min(k, marginals.shape[1])
        found = np.argpartition(-marginals, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(marginals, found, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        return np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)

    @cached_property
    def entropy(self) -> Floats:
        """Entropy of the constrained marginals in nats, (length,)."""
        log_mass = np.minimum(self.atom_log_weights + self._classes[0], 0.0)
        mass = np.exp(log_mass)
        out = -(np.where(mass > 0, log_mass, 0.0) * mass).sum(axis=1)
        for i in np.flatnonzero(self.committed < 0):
            out[i] += (mass[i] * self.graph.atoms.entropies(self.log_probs[i])).sum()
        return np.asarray(out)

    @cached_property
    def support(self) -> Ints:
        """Number of tokens that can stand at each position in some valid filling, (length,)."""
        possible = np.isfinite(self.atom_log_weights + self._classes[0])
        tokens = (possible * self.graph.atoms.sizes).sum(axis=1)
        return np.where(self.committed < 0, tokens, 1)

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
        """The most probable valid filling (max-plus Viterbi), (length,)."""
        return np.array([self._token(i, atom) for i, atom in enumerate(self._best_atoms.tolist())])

    def sample(self, rng: np.random.Generator, temperature: float = 1.0) -> Ints:
        """One exact joint draw; a temperature other than 1 flattens or sharpens the model first."""
        if temperature != 1.0:
            return Posterior(
                self.graph, tempered(self.log_probs, temperature), self.committed
            ).sample(rng)
        arcs, node = self.graph.arcs, 0
        tokens = np.empty(self.graph.length, dtype=np.int64)
        for i in range(self.graph.length):
            out = np.flatnonzero(arcs.source == node)
            mass = self._classes[0][i, arcs.atom[out]] + self._backward[i + 1, arcs.target[out]]
            arc = out[draw(mass, rng)]
            tokens[i] = self._token(i, int(arcs.atom[arc]), rng)
            node = int(arcs.target[arc])
        return tokens

    def _token(self, position: int, atom: int, rng: np.random.Generator | None = None) -> int:
        """The best token of an atom at a position, or one drawn by `rng`."""
        if self.committed[position] >= 0:
            return int(self.committed[position])
        row = self.log_probs[position]
        if rng is None:
            return self.graph.atoms.best_token(atom, row)
        members = self.graph.atoms.members(atom)
        return int(members[draw(row[members], rng)])


def add_up(posteriors: Sequence[Posterior]) -> None:
    """Compute the sums of several posteriors together: the same as one by one, and faster."""
    problems = [(p.graph, p._classes[0]) for p in posteriors]
    for posterior, found in zip(posteriors, sums(problems), strict=True):
        posterior._sums = found


def find_best(posteriors: Sequence[Posterior]) -> None:
    """Find the best fillings of several posteriors together."""
    problems = [(p.graph, p._classes[1]) for p in posteriors]
    for posterior, found in zip(posteriors, best(problems), strict=True):
        posterior._best_atoms = found


def tempered(log_probs: Floats, temperature: float) -> Floats:
    """Rows divided by the temperature and normalised again."""
    scaled = log_probs / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))


def draw(log_mass: Floats, rng: np.random.Generator) -> int:
    """An index drawn with probability proportional to exp(log_mass)."""
    weights = np.exp(log_mass - log_mass.max())
    return int(rng.choice(len(weights), p=weights / weights.sum()))
