"""Keys and values of whole sequences, some of which are computed again in each forward pass."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache


class ScatterCache(Cache):
    """Writes what a forward pass computes over what is stored; attention gets all of it.

    Keys are rotated already, so a column is a position, whatever was computed in the same pass.
    The last column takes what rows compute only to be as long as others, and is never seen.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.stored: list[dict[str, torch.Tensor]] = []
        self.width = 0
        self._positions = torch.empty(0)

    def arrange(self, rows: list[int], width: int) -> None:
        """Make room for the sequences of the next pass.

        Args:
            rows: Which row each of them had before; -1: a new one.
            width: The longest of them.
        """
        if not self.stored or (rows == list(range(self._count())) and width == self.width):
            self.width = width
            return
        kept = [(new, old) for new, old in enumerate(rows) if old >= 0]
        common = min(self.width, width)
        for layer in self.stored:
            for name, old in layer.items():
                table = old.new_zeros(len(rows), *old.shape[1:2], width + 1, *old.shape[3:])
                for to, origin in kept:
                    table[to, :, :common] = old[origin, :, :common]
                layer[name] = table
        self.width = width

    def _count(self) -> int:
        return len(self.stored[0]["keys"])

    def at(self, positions: torch.Tensor) -> None:
        """Say where what is computed next belongs; (batch, queries)."""
        self._positions = positions

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store (batch, heads, queries, head); returns all columns, (batch, heads, width, head)."""
        self.write("keys", key_states, layer_idx)
        self.write("values", value_states, layer_idx)
        layer = self.stored[layer_idx]
        return layer["keys"][:, :, : self.width], layer["values"][:, :, : self.width]

    def write(self, name: str, states: torch.Tensor, layer_idx: int) -> None:
        """Put (batch, heads, queries, size) where `at` said."""
        while len(self.stored) <= layer_idx:
            self.stored.append({})
        layer = self.stored[layer_idx]
        if name not in layer:
            batch, heads, _, size = states.shape
            layer[name] = states.new_zeros(batch, heads, self.width + 1, size)
        where = self._positions.to(states.device)
        if len(where) == 1:
            layer[name].index_copy_(2, where[0], states)
        else:
            rows = torch.arange(len(where), device=states.device)[:, None]
            layer[name][rows, :, where] = states.transpose(1, 2)

    def read(self, name: str, layer_idx: int) -> torch.Tensor:
        """All columns of what was written, (batch, heads, width, size)."""
        return self.stored[layer_idx][name][:, :, : self.width]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Nothing precedes: positions are always given."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Likewise."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Columns, and where the first one is."""
        return self.width, 0
