"""Log-probabilities of tokens at the positions of a canvas, reduced to atoms where they are kept.

A posterior asks for sums and maxima over atoms, and for single tokens; whole rows of
log-probabilities are written down only when somebody wants to see them. Logits may be an array
(`array_log_probs.py`) or live on an accelerator (`denoisers/device_logits.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ctrlgen.constraints.atoms import NEVER, Atoms, Floats, Ints
from ctrlgen.errors import NonFiniteLogitsError

Reals = NDArray[np.floating[Any]]

UNLIKELY = 1e4
"""No possible token counts as less likely than exp(-UNLIKELY) times the likeliest one: sums of
huge logits would drown all differences."""


class Classes(NamedTuple):
    """Rows reduced to atoms.

    Args:
        total: Log-sum of each atom's tokens, (rows, atoms).
        best: Log-probability of its likeliest token, (rows, atoms).
        tokens: That token, -1 where it was not looked for; (rows, atoms).
    """

    total: Floats
    best: Floats
    tokens: Ints

    def rows(self, some: slice) -> Classes:
        """Views of some rows."""
        return Classes(self.total[some], self.best[some], self.tokens[some])


class Group(NamedTuple):
    """Rows that are reduced to the same atoms, (rows,)."""

    atoms: Atoms
    positions: Ints


class LogProbs(ABC):
    """Log-softmax of rows of logits; each row sums to one. `np.asarray` writes all of it down.

    Args:
        logits: (positions, vocab).
        never: A token that is no answer.
    """

    def __init__(self, logits: Any, never: int | None = None) -> None:
        self._logits, self._never = logits, never
        self._whole, self._start, self._stop = self, 0, len(logits)  # what it is a part of
        # Highest logit and logarithm of the sum of exp(logit - highest), NaN: not computed yet.
        self._norms = np.full((len(logits), 2), np.nan)

    @cached_property
    def _logits(self) -> Any:
        return self._whole._logits[self._start : self._stop]

    @cached_property
    def _norms(self) -> Floats:
        return self._whole._norms[self._start : self._stop]

    @property
    def shape(self) -> tuple[int, int]:
        """(positions, vocab)."""
        length, vocab = self._logits.shape
        return length, vocab

    def __getitem__(self, positions: slice) -> Self:
        """Some of the rows; what is found out about them is shared."""
        part, (start, stop, _) = object.__new__(type(self)), positions.indices(len(self))
        part._never, part._whole = self._never, self._whole
        part._start, part._stop = self._start + start, self._start + max(start, stop)
        return part

    def __len__(self) -> int:
        """How many positions there are."""
        return self._stop - self._start

    def at(self, positions: Ints, tokens: Ints) -> Floats:
        """Log-probabilities of single tokens; the arguments broadcast."""
        norms = self._norm(positions)
        out = self._read(positions, tokens) - norms[..., 0]
        np.maximum(out, -UNLIKELY, out=out, where=out > NEVER)
        out -= norms[..., 1]
        return out

    @abstractmethod
    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Reals:
        """All log-probabilities, float64, (positions, vocab)."""

    @abstractmethod
    def tempered(self, temperature: float, positions: Ints) -> Self:
        """The logits of some rows divided by a temperature; the others are uniform."""

    @abstractmethod
    def shifted(self, position: int) -> Reals:
        """One row of logits, the highest at 0, (vocab,)."""

    @abstractmethod
    def likeliest(self, position: int, tokens: Ints) -> int:
        """The likeliest of some tokens."""

    @abstractmethod
    def top(self, atoms: Atoms, positions: Ints, weights: Floats, k: int) -> tuple[Ints, Floats]:
        """The k tokens of the highest log-probability + log-weight of their atom, and these sums.

        Args:
            atoms: A partition of the vocabulary.
            positions: Which rows.
            weights: (rows, atoms).
            k: At most the size of the vocabulary.

        Returns:
            Both (rows, k), highest first.
        """

    @abstractmethod
    def entropies(self, atoms: Atoms, positions: Ints) -> Floats:
        """Entropy in nats inside each atom, (rows, atoms)."""

    @abstractmethod
    def _read(self, positions: Ints, tokens: Ints) -> Floats:
        """Single logits in double precision; the arguments broadcast."""

    @abstractmethod
    def _reduce(self, groups: Sequence[Group], sums: bool) -> list[tuple[Floats, Classes]]:
        """Reduce rows of logits; without sums, which cost most, `total` may be left out.

        Returns:
            For each group the highest logit of each row, and the classes against it; one column
            more than there are atoms, the last for the tokens in none.
        """

    def _norm(self, positions: Ints) -> Floats:
        """Peaks and normalisers of rows, computed where they are unknown; (..., 2)."""
        unknown = np.unique(positions[np.isnan(self._norms[positions, 0])])
        if len(unknown):
            reduce([(self, no_atoms(self.shape[1]), unknown)])
        return self._norms[positions]

    def _classes(self, groups: Sequence[Group], sums: bool) -> list[Classes]:
        """Reduce rows, and note their peaks and normalisers."""
        peaks, found = zip(*self._reduce(groups, sums), strict=True)
        # All groups as one run of cells: a few calls of numpy, not a few for each.
        total, best = (_flat([each[k] for each in found]) for k in range(2))
        for table in (total, best):
            np.maximum(table, -UNLIKELY, out=table, where=table > NEVER)
        if sums:
            widths = np.concatenate([np.full(len(p), atoms.count + 1) for atoms, p in groups])
            starts = np.cumsum(widths) - widths
            norm = checked(np.log(np.add.reduceat(np.exp(total), starts)))
            at = np.concatenate([positions for _, positions in groups])
            self._norms[at] = np.stack([np.concatenate(peaks), norm], axis=1)
            norms = np.repeat(norm, widths)
            total -= norms
            best -= norms
        out, end = [], 0
        for _, _, tokens in found:
            begin, end = end, end + tokens.size
            tables = (total[begin:end], best[begin:end], tokens)
            out.append(Classes(*(table.reshape(tokens.shape)[:, :-1] for table in tables)))
        return out


def _flat(tables: Sequence[Floats]) -> Floats:
    return np.concatenate([table.ravel() for table in tables])


def reduce(parts: Sequence[tuple[LogProbs, Atoms, Ints]], *, sums: bool = True) -> list[Classes]:
    """Reduce several gaps together: those of one canvas with the same atoms are as one.

    Args:
        parts: Log-probabilities, the partition of the vocabulary, and which positions.
        sums: Whether `total` is wanted; if not, `best` is up to a constant for each row.

    Raises:
        NonFiniteLogitsError: If a row holds NaN, an infinite logit or nothing finite.
    """
    out: dict[int, Classes] = {}
    for whole in {id(rows._whole): rows._whole for rows, _, _ in parts}.values():
        members: dict[int, list[int]] = {}
        for i, (rows, atoms, _) in enumerate(parts):
            if rows._whole is whole:
                members.setdefault(id(atoms), []).append(i)
        where = [[parts[i][0]._start + parts[i][2] for i in some] for some in members.values()]
        groups = [
            Group(parts[some[0]][1], np.concatenate(positions))
            for some, positions in zip(members.values(), where, strict=True)
        ]
        for some, positions, found in zip(
            members.values(), where, whole._classes(groups, sums), strict=True
        ):
            ends = np.cumsum([len(each) for each in positions]).tolist()
            for i, each, end in zip(some, positions, ends, strict=True):
                out[i] = found.rows(slice(end - len(each), end))
    return [out[i] for i in range(len(parts))]


@lru_cache(maxsize=8)
def no_atoms(vocab: int) -> Atoms:
    """A partition without atoms: reducing to it only finds normalisers."""
    none = np.zeros(0, dtype=np.int64)
    return Atoms(np.full(vocab, -1), none, np.zeros(1, dtype=np.int64), {})


def checked(peak: Any) -> Any:
    """The highest logits of rows.

    Raises:
        NonFiniteLogitsError: If one is NaN, infinite or minus infinity.
    """
    if not np.isfinite(peak).all():
        raise NonFiniteLogitsError(
            "the denoiser returned NaN, infinite or no finite logits at an open position",
            hint="check the checkpoint's dtype and weights",
        )
    return peak
