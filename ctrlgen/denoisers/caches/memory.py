"""What is known of one sequence between two forward passes."""

from __future__ import annotations

import numpy as np
import torch

from ctrlgen.constraints.atoms import Ints
from ctrlgen.denoisers.caches.base import Mask, Policy, Step

_NONE = -1


class Memory:
    """Tokens whose keys and values are stored, and the last logits of asked positions.

    Args:
        policy: Follows this sequence.
        mask_token_id: What open positions hold.
        prompt: Tokens that do not change.
    """

    def __init__(self, policy: Policy, mask_token_id: int, prompt: int) -> None:
        self.policy, self.mask, self.prompt = policy, mask_token_id, prompt
        self.row = -1  # where its keys and values are stored; nowhere yet
        self.ids = np.empty(0, dtype=np.int64)
        self._stored, self._changed = self.ids.copy(), np.empty(0, dtype=bool)
        self._asked, self._logits = self.ids.copy(), torch.empty(0, 0)

    def agreement(self, ids: Ints) -> int:
        """How many tokens from the left stand where they stood.

        A mask may have become a token, and a token a mask again; but where another token stands,
        or one has become a mask while the length changed, text was inserted, removed or replaced,
        and what follows has moved.
        """
        common = min(len(ids), len(self.ids))
        old, new = self.ids[:common], ids[:common]
        moved = (old != new) & (old != self.mask)
        if len(ids) == len(self.ids):
            moved &= new != self.mask
        return int(moved.argmax()) if moved.any() else common

    def see(self, ids: Ints) -> Step:
        """Take over the tokens of the next pass, (length,)."""
        kept = self.agreement(ids)
        stored = np.full(len(ids), _NONE)
        stored[:kept] = self._stored[:kept]
        before = np.zeros(len(ids), dtype=bool)
        before[:kept] = self._changed[:kept]
        self.ids, self._stored, self._changed = ids, stored, stored != ids
        known = self._asked < kept
        if not known.all():
            self._asked, self._logits = self._asked[known], self._logits[torch.from_numpy(known)]
        return Step(ids, ids == self.mask, self._changed, stored == _NONE, before)

    def unknown(self, sources: Ints) -> Ints:
        """Positions whose logits were never computed."""
        return np.setdiff1d(sources, self._asked)

    def computed(self, wanted: Mask) -> None:
        """The keys and values of these positions are now those of their tokens."""
        self._stored = np.where(wanted, self.ids, self._stored)

    def recall(self, sources: Ints, fresh: Mask, rows: torch.Tensor) -> torch.Tensor:
        """Logits at asked positions, remembered where they were not computed.

        Args:
            sources: Sorted positions.
            fresh: Which of them were computed, (sources,).
            rows: Their logits, in order.

        Returns:
            (sources, vocab).
        """
        if fresh.all():
            self._asked, self._logits = sources, rows
            return rows
        if not np.array_equal(sources, self._asked):
            known = np.searchsorted(self._asked, sources[~fresh])
            table = self._logits.new_empty(len(sources), self._logits.shape[1])
            table[torch.from_numpy(~fresh)] = self._logits[torch.from_numpy(known)]
            self._asked, self._logits = sources, table
        if fresh.any():
            self._logits[torch.from_numpy(fresh)] = rows.to(self._logits.dtype)
        return self._logits
