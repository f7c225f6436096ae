"""Log-probabilities of logits in an array, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import DTypeLike

from ctrlgen.constraints.atoms import NEVER, Atoms, Blocks, Floats, Ints
from ctrlgen.constraints.log_probs import UNLIKELY, Classes, Group, LogProbs, Reals, checked

IN_CACHE = 1 << 18
"""Logits that are looked at together: what stays in the processor's cache."""

UNDERFLOW = {np.dtype(np.float32): -70.0, np.dtype(np.float64): -600.0}
"""Atoms whose likeliest token is below this, against that of the row, are added up by themselves.
"""


class ArrayLogProbs(LogProbs):
    """Log-probabilities of logits in an array.

    Computed in the array's precision, results in double. In float32, masses are exact to about
    1e-6 of their own size.

    Args:
        logits: (positions, vocab); other than float32 and float64 they are taken as float64.
        never: A token that is no answer.
    """

    def __init__(self, logits: Reals, never: int | None = None) -> None:
        super().__init__(logits if logits.dtype in UNDERFLOW else logits.astype(np.float64), never)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Reals:
        """All log-probabilities, (positions, vocab)."""
        every = np.arange(self.shape[0])[:, None], np.arange(self.shape[1])
        return np.asarray(self.at(*every), dtype=dtype)

    def tempered(self, temperature: float, positions: Ints) -> Self:
        """The logits of some rows divided by a temperature; the others are uniform."""
        rows = np.zeros_like(self._logits)
        for i in positions.tolist():
            np.divide(self.shifted(i), temperature, out=rows[i])
        return type(self)(rows, self._never)

    def shifted(self, position: int) -> Reals:
        """One row of logits, the highest at 0, (vocab,)."""
        row: Reals = self._shifted(np.array([position]))[0]
        return row

    def likeliest(self, position: int, tokens: Ints) -> int:
        """The likeliest of some tokens."""
        found = self._logits[position, tokens]
        if self._never is not None:
            found[tokens == self._never] = NEVER
        return int(tokens[found.argmax()])

    def top(self, atoms: Atoms, positions: Ints, weights: Floats, k: int) -> tuple[Ints, Floats]:
        """The k tokens of the highest log-probability + log-weight of their atom."""
        tokens, values = np.empty((len(weights), k), dtype=np.int64), np.empty((len(weights), k))
        every = np.arange(self.shape[1])
        for row, i in enumerate(positions):
            sums = self.at(i, every) + np.append(weights[row], NEVER)[atoms.of_token]  # -1: last
            found = np.argpartition(-sums, k - 1)[:k]
            tokens[row] = found[np.argsort(-sums[found], kind="stable")]
            values[row] = sums[tokens[row]]
        return tokens, values

    def entropies(self, atoms: Atoms, positions: Ints) -> Floats:
        """Entropy in nats inside each atom, (rows, atoms)."""
        blocks, rows = atoms.blocks, max(1, IN_CACHE // self.shape[1])
        out = np.zeros((len(positions), atoms.count + 1))
        for start in range(0, len(positions), rows):
            some = slice(start, start + rows)
            buffer = self._shifted(positions[some])
            gathered = _taken_out(buffer, blocks)
            if len(blocks.starts):
                best = np.maximum.reduceat(gathered, blocks.starts, axis=1)
                gathered -= _finite(best)[:, blocks.run]
                add = partial(np.add.reduceat, indices=blocks.starts, axis=1)
                out[some, blocks.numbers] = _entropy(gathered, add)
            if blocks.largest < atoms.count:
                buffer -= _finite(buffer.max(axis=1, keepdims=True))
                out[some, blocks.largest] = _entropy(buffer, partial(np.sum, axis=1))
        return out[:, :-1]

    def _shifted(self, positions: Ints) -> Reals:
        """A copy of rows, the highest logit of each at 0, (rows, vocab)."""
        rows = self._rows(positions)
        rows -= checked(rows.max(axis=1, keepdims=True))
        low = rows < -UNLIKELY
        if np.count_nonzero(low) > np.count_nonzero(rows == NEVER):  # hardly ever
            np.maximum(rows, -UNLIKELY, out=rows, where=rows > NEVER)
        return rows

    def _rows(self, positions: Ints) -> Reals:
        """A copy of rows, (rows, vocab)."""
        rows: Reals = self._logits[positions]
        if self._never is not None:
            rows[:, self._never] = NEVER
        return rows

    def _read(self, positions: Ints, tokens: Ints) -> Floats:
        out = np.array(self._logits[positions, tokens], dtype=np.float64)
        if self._never is not None:
            out[np.broadcast_to(tokens == self._never, out.shape)] = NEVER
        return out

    def _reduce(self, groups: Sequence[Group], sums: bool) -> list[tuple[Floats, Classes]]:
        out, rows = [], max(1, IN_CACHE // self.shape[1])
        for atoms, positions in groups:
            shape = (len(positions), atoms.count + 1)
            tokens = np.broadcast_to(atoms.blocks.only, shape).copy()
            found = Classes(np.full(shape, NEVER), np.full(shape, NEVER), tokens)
            peak = np.empty(len(positions))
            for start in range(0, len(positions), rows):
                some = slice(start, start + rows)
                buffer = self._rows(positions[some])
                peak[some] = _reduced(buffer, atoms.blocks, found.rows(some), sums)
            out.append((peak, found))
        return out


def _reduced(buffer: Reals, blocks: Blocks, out: Classes, sums: bool) -> Floats:
    """Reduce logits to blocks, against the highest of each row, which is returned; (rows,).

    Args:
        buffer: Logits, (rows, vocab); overwritten.
        blocks: What to reduce them to.
        out: Filled in, (rows, blocks).
        sums: Whether `total` is, too.
    """
    gathered = _taken_out(buffer, blocks)
    top = buffer.argmax(axis=1)
    high = buffer[np.arange(len(buffer)), top]
    out.best[:, blocks.largest], out.tokens[:, blocks.largest] = high, top
    if len(blocks.starts):
        out.best[:, blocks.numbers] = np.maximum.reduceat(gathered, blocks.starts, axis=1)
    peak: Floats = checked(out.best.max(axis=1))
    out.best[:] -= peak[:, None]
    if not sums:
        return peak
    shift = np.where(high > NEVER, high, 0)
    with np.errstate(divide="ignore", over="ignore"):
        buffer -= shift[:, None]
        np.exp(buffer, out=buffer)
        out.total[:, blocks.largest] = np.log(buffer.sum(axis=1)) + (shift - peak)
        if len(blocks.starts):
            gathered -= peak.astype(buffer.dtype)[:, None]
            total = _sums(gathered, out.best[:, blocks.numbers], blocks)
            out.total[:, blocks.numbers] = total
    return peak


def _taken_out(buffer: Reals, blocks: Blocks) -> Reals:
    """All logits but those of the largest block, which alone stay possible in the buffer."""
    gathered = np.empty((len(buffer), len(blocks.gathered)), dtype=buffer.dtype)
    for row, into in zip(buffer, gathered, strict=True):
        np.take(row, blocks.gathered, out=into, mode="clip")  # unchecked, and so much faster
        row[blocks.gathered] = NEVER
    return gathered


def _finite(best: Reals) -> Reals:
    """What to subtract from logits: 0 where all of them are impossible."""
    return np.where(best > NEVER, best, best.dtype.type(0))


def _entropy(logits: Reals, add: Callable[[Reals], Reals]) -> Floats:
    """Entropy of what `add` adds up, given logits against the highest of it, which are lost."""
    mass = np.exp(logits)
    np.maximum(logits, -UNLIKELY, out=logits)  # 0 log 0 = 0
    logits *= mass
    total, mean = add(mass).astype(np.float64), add(logits).astype(np.float64)
    total = np.where(total > 0, total, 1.0)  # nothing possible: an entropy of 0
    return np.log(total) - mean / total


def _sums(gathered: Reals, best: Floats, blocks: Blocks) -> Floats:
    """Log-sums of runs of logits against the highest of the row, as `best` is; (rows, runs)."""
    finite = best > NEVER
    shift = np.zeros_like(best)
    if (best[finite] < UNDERFLOW[gathered.dtype]).any():
        shift = np.where(finite, best, 0.0)
        gathered -= shift.astype(gathered.dtype)[:, blocks.run]
    np.exp(gathered, out=gathered)
    return np.asarray(np.log(np.add.reduceat(gathered, blocks.starts, axis=1)) + shift)
