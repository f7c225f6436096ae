"""Who sees whom: masks and positions of a batch that is padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


def padded(sequences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences of different lengths as one (batch, length) tensor, and their padding.

    Padding goes to the left, so that the ends of the rows line up; it is never seen, and any token
    will do.
    """
    width = max(map(len, sequences))
    pads = [width - len(s) for s in sequences]
    ids = [[0] * n + list(s) for n, s in zip(pads, sequences, strict=True)]
    return torch.tensor(ids), torch.tensor(pads)


def positions(pads: torch.Tensor, width: int) -> torch.Tensor:
    """Positions from 0 at each row's first token, (batch, length); those of padding are 0."""
    return (torch.arange(width) - pads[:, None]).clamp(min=0)


def attention_mask(pads: torch.Tensor, width: int, block_length: int | None) -> torch.Tensor:
    """What each position sees; true where it does.

    Args:
        pads: Padding of each row, (batch,).
        width: Length of the rows with their padding.
        block_length: Blocks of so many tokens are counted from each row's first token, as they
            were in training; a position sees its own block and all before. None: everything.

    Returns:
        (batch, length) if all real tokens are seen, else (batch, 1, query, key).
    """
    real = torch.arange(width) >= pads[:, None]
    if block_length is None:
        return real
    block = positions(pads, width) // block_length
    seen = (block[:, :, None] >= block[:, None, :]) & real[:, None, :]
    seen |= torch.eye(width, dtype=torch.bool)  # padding sees itself, lest it become NaN
    return seen[:, None]


def as_added(mask: torch.Tensor, model: Any) -> torch.Tensor:
    """A mask of (batch, 1, query, key) in the form that the model's attention takes."""
    if mask.ndim == 4 and model.config._attn_implementation == "eager":  # adds its mask
        mask = torch.where(mask, 0.0, torch.finfo(model.dtype).min).to(model.dtype)
    return mask.to(input_device(model))


@dataclass(frozen=True)
class Seen:
    """What chosen positions see of sequences whose columns are their positions.

    Args:
        model: Who attends.
        lengths: Of the sequences, (batch,).
        width: Columns.
        block_length: Of a block-causal model.
    """

    model: Any
    lengths: torch.Tensor
    width: int
    block_length: int | None

    def __call__(self, positions: torch.Tensor) -> torch.Tensor | None:
        """A mask for queries at (batch, queries); None: everything is seen."""
        columns = torch.arange(self.width)
        seen = (columns < self.lengths[:, None])[:, None].expand(-1, positions.shape[1], -1)
        if self.block_length:
            blocks = positions.cpu() // self.block_length
            seen = seen & (blocks[..., None] >= columns // self.block_length)
        return None if seen.all() else as_added(seen[:, None], self.model)


def input_device(model: Any) -> torch.device:
    """Where a model takes its input: its first weights may lie elsewhere until they are needed."""
    hook = getattr(model.get_input_embeddings(), "_hf_hook", None)  # accelerate's, of a device map
    device = getattr(hook, "execution_device", None)
    return torch.device(model.device if device is None else device)
