"""Shadows: predict tokens that are there as if they were not, in one forward pass (WINO).

Behind the sequence stands a second query for each such token. It has the token's position and a
mask for a token, sees all of the sequence but the token, and nothing sees it. What the others know
of the token, it learns from them: exact for one layer, an approximation for more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ctrlgen.denoisers.attention import attention_mask, padded, positions


@dataclass(frozen=True)
class Shadows:
    """A batch with its shadows.

    Args:
        ids: Tokens, shadows behind them, (batch, width).
        positions: (batch, width).
        mask: True where a query sees a key, (batch, 1, width, width).
        sources: For each sequence the columns that predict the asked positions.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    sources: list[torch.Tensor]


def shadows(
    sequences: Sequence[list[int]], asked: Sequence[list[int]], mask_token_id: int, *,
    shift: bool = False, block_length: int | None = None,
) -> Shadows:  # fmt: skip
    """Lay out sequences with a shadow for each asked position that holds a token.

    Args:
        sequences: Token ids.
        asked: Positions of each.
        mask_token_id: Marks open positions, which need no shadow.
        shift: Position i is predicted at i - 1; its shadow repeats the token there.
        block_length: As for `attention_mask`.
    """
    ids, pads = padded(sequences)
    width = ids.shape[1]
    hidden = [
        [p for p in row if sequence[p] != mask_token_id]
        for sequence, row in zip(sequences, asked, strict=True)
    ]
    total = width + max(map(len, hidden))
    tokens = torch.full((len(ids), total), mask_token_id)
    tokens[:, :width] = ids
    where = torch.zeros(len(ids), total, dtype=torch.long)
    where[:, :width] = positions(pads, width)
    base = attention_mask(pads, width, block_length)
    seen = torch.eye(total, dtype=torch.bool).repeat(len(ids), 1, 1)
    seen[:, :width, :width] = base[:, 0] if base.ndim == 4 else base[:, None]
    sources = []
    for i, row in enumerate(asked):
        pad = int(pads[i])
        columns = {p: pad + max(p - shift, 0) for p in row}
        for j, p in enumerate(hidden[i], start=width):
            source, columns[p] = columns[p], j
            where[i, j] = source - pad
            if shift:
                tokens[i, j] = ids[i, source]
            seen[i, j, :width] = seen[i, source, :width]
            seen[i, j, [pad + p, source]] = False
        sources.append(torch.tensor([columns[p] for p in row], dtype=torch.long))
    return Shadows(tokens, where, seen[:, None], sources)
