"""Logits that stay on an accelerator, and their reduction to atoms there.

What crosses to the processor in a step is one tensor: a few numbers for each atom and position. It
runs on any device of torch, in float32, and is meant for those from which copying whole rows is
dear.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from ctrlgen.constraints.array_log_probs import ArrayLogProbs
from ctrlgen.constraints.atoms import NEVER, Atoms, Floats, Ints
from ctrlgen.constraints.log_probs import UNLIKELY, Classes, Group, LogProbs, Reals, checked

AT_ONCE = 1 << 26
"""Logits that are reduced together: bounds what a reduction takes of the device's memory."""

_Indices = tuple[Tensor, Tensor]
_INDICES: WeakKeyDictionary[Atoms, dict[torch.device, _Indices]] = WeakKeyDictionary()


class DeviceLogits:
    """Rows of logits on a device; `np.asarray` brings all of them over.

    Args:
        rows: (positions, vocab).
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    @property
    def shape(self) -> tuple[int, int]:
        """(positions, vocab)."""
        length, vocab = self.rows.shape
        return length, vocab

    def __len__(self) -> int:
        """How many positions there are."""
        return len(self.rows)

    def __getitem__(self, positions: slice) -> DeviceLogits:
        """Some of the rows."""
        return DeviceLogits(self.rows[positions])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Reals:
        """All rows, float32 unless asked otherwise, (positions, vocab)."""
        return np.array(self.rows.float().cpu().numpy(), dtype=dtype)

    def log_probs(self, never: int | None = None) -> DeviceLogProbs:
        """Their log-softmax, without a token that is no answer."""
        return DeviceLogProbs(self.rows, never)


def kept(rows: Tensor) -> Reals | DeviceLogits:
    """Rows of logits where they are: on an accelerator, or as an array; (positions, vocab)."""
    return rows.float().numpy() if rows.device.type == "cpu" else DeviceLogits(rows)


class DeviceLogProbs(LogProbs):
    """Log-probabilities of logits on a device.

    Masses are exact to about 1e-6 of their own size; accelerators add in no fixed order.

    Args:
        logits: (positions, vocab).
        never: A token that is no answer.
    """

    _logits: Tensor

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Reals:
        """All log-probabilities, (positions, vocab)."""
        rows = ArrayLogProbs(self._logits.float().cpu().numpy(), self._never)
        return np.asarray(rows, dtype=dtype)

    def tempered(self, temperature: float, positions: Ints) -> Self:
        """The logits of some rows divided by a temperature; the others are uniform."""
        rows = torch.zeros_like(self._logits, dtype=torch.float32)
        rows[self._on_device(positions)] = self._shifted(positions) / temperature
        return type(self)(rows, self._never)

    def shifted(self, position: int) -> Reals:
        """One row of logits, the highest at 0, (vocab,)."""
        row: Reals = self._shifted(np.array([position]))[0].cpu().numpy()
        checked(row.max())
        return row

    def likeliest(self, position: int, tokens: Ints) -> int:
        """The likeliest of some tokens."""
        return int(tokens[self._read(np.array(position), tokens).argmax()])

    def top(self, atoms: Atoms, positions: Ints, weights: Floats, k: int) -> tuple[Ints, Floats]:
        """The k tokens of the highest log-probability + log-weight of their atom."""
        padded = np.append(weights, np.full((len(weights), 1), NEVER), axis=1)  # -1: the last
        known = np.isfinite(padded).any(axis=1)
        offset = np.where(known, padded.max(axis=1), 0.0)  # float32 keeps what is near the top
        by_token = self._on_device(padded - offset[:, None]).float()
        sums = self._shifted(positions) + by_token[:, self._on_device(atoms.of_token)]
        values, tokens = sums.topk(k, dim=1)
        logs = values.double().cpu().numpy() + (offset - self._norm(positions)[:, 1])[:, None]
        return tokens.cpu().numpy(), logs

    def entropies(self, atoms: Atoms, positions: Ints) -> Floats:
        """Entropy in nats inside each atom, (rows, atoms)."""
        of_token = self._on_device(atoms.of_token + 1).expand(len(positions), -1)
        rows, shape = self._shifted(positions), (len(positions), atoms.count + 1)
        best = rows.new_full(shape, NEVER).scatter_reduce(1, of_token, rows, "amax")
        rows = (rows - _finite(best).gather(1, of_token)).clamp(min=-UNLIKELY)
        mass = rows.exp()
        total = mass.new_zeros(shape).scatter_add(1, of_token, mass)
        mean = mass.new_zeros(shape).scatter_add(1, of_token, mass * rows) / total
        inside = torch.where(best > NEVER, total.log() - mean, 0.0)
        return np.asarray(inside[:, 1:].double().cpu().numpy())

    def _read(self, positions: Ints, tokens: Ints) -> Floats:
        positions, tokens = np.broadcast_arrays(positions, tokens)
        found = self._logits[self._on_device(positions), self._on_device(tokens)]
        out: Floats = found.float().cpu().numpy().astype(np.float64)
        return out if self._never is None else np.where(tokens == self._never, NEVER, out)

    def _reduce(self, groups: Sequence[Group], sums: bool) -> list[tuple[Floats, Classes]]:
        rows = max(1, AT_ONCE // self.shape[1])
        packed = [
            self._packed(atoms, positions[start : start + rows])
            for atoms, positions in groups
            for start in range(0, len(positions) or 1, rows)
        ]
        numbers = torch.cat([each.flatten() for each in packed]).cpu().numpy()  # all that crosses
        out, end = [], 0
        for atoms, positions in groups:
            width = 3 * atoms.count + 4
            begin, end = end, end + len(positions) * width
            table = numbers[begin:end].reshape(len(positions), width)
            peak = checked(table[:, 0])
            total, best, tokens = np.split(table[:, 1:].copy(), 3, axis=1)
            out.append((peak, Classes(total, best, tokens.astype(np.int64))))
        return out

    def _packed(self, atoms: Atoms, positions: Ints) -> Tensor:
        """Highest logit, then sums, maxima and their tokens of all blocks; float64, (rows, n)."""
        blocks, (gathered, run) = atoms.blocks, _indices(atoms, self._logits.device)
        rows, shape = self._masked(positions), (len(positions), len(blocks.starts))
        inside, run = rows[:, gathered], run.expand(len(positions), -1)
        best = rows.new_full(shape, NEVER).scatter_reduce(1, run, inside, "amax")
        shifted = inside - _finite(best).gather(1, run)
        mass = rows.new_zeros(shape).scatter_add(1, run, shifted.exp())
        last = torch.full_like(best, self.shape[1], dtype=torch.long)
        hits = torch.where(shifted == 0, gathered, self.shape[1])
        rows[:, gathered] = NEVER
        high, top = rows.max(dim=1)
        rows = rows.sub_(_finite(high)[:, None]).exp_()
        out = rows.new_full((3, len(positions), atoms.count + 1), NEVER, dtype=torch.float64)
        numbers, largest = self._on_device(blocks.numbers), blocks.largest
        out[0, :, numbers], out[0, :, largest] = mass.double().log(), rows.sum(1).double().log()
        out[1, :, numbers], out[1, :, largest] = best.double(), high.double()
        out[2] = -1
        out[2, :, numbers] = last.scatter_reduce(1, run, hits, "amin").double()
        out[2, :, largest] = top.double()
        peak = out[1].amax(dim=1, keepdim=True)
        out[1] -= peak
        out[0] += out[1]
        return torch.cat([peak, *out], dim=1)

    def _masked(self, positions: Ints) -> Tensor:
        """A copy of rows, (rows, vocab)."""
        rows = self._logits[self._on_device(positions)].float()
        if self._never is not None:
            rows[:, self._never] = NEVER
        return rows

    def _shifted(self, positions: Ints) -> Tensor:
        """Rows of logits, the highest of each at 0, (rows, vocab)."""
        rows = self._masked(positions)
        rows -= rows.amax(dim=1, keepdim=True)
        return torch.where(rows > NEVER, rows.clamp(min=-UNLIKELY), NEVER)

    def _on_device(self, array: Floats | Ints) -> Tensor:
        return torch.tensor(array, device=self._logits.device)


def _indices(atoms: Atoms, device: torch.device) -> _Indices:
    """The gathered tokens of a partition and their runs, on a device."""
    known = _INDICES.setdefault(atoms, {})
    if device not in known:
        known[device] = (
            torch.from_numpy(atoms.blocks.gathered).to(device),
            torch.from_numpy(atoms.blocks.run).to(device),
        )
    return known[device]


def _finite(values: Tensor) -> Tensor:
    """What to subtract from logits: 0 where all of them are impossible."""
    return torch.where(values > NEVER, values, 0.0)
