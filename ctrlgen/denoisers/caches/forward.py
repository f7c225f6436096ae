"""Forward passes that compute only what a cache says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ctrlgen.constraints.atoms import Ints
from ctrlgen.denoisers.attention import Seen, input_device
from ctrlgen.denoisers.caches.base import Batch, Mask, Policy, Step
from ctrlgen.denoisers.caches.memory import Memory
from ctrlgen.denoisers.caches.store import ScatterCache

PromptLength = Callable[[Sequence[int]], int | None]


class CachedForward:
    """Keys, values and logits of the sequences of the last call, and what of them to compute again.

    Sequences are known by their tokens: a sequence goes on from the one of the last call that it
    agrees with the longest, if that is beyond the prompt. Columns are positions, without padding.

    Args:
        model: A decoder of transformers that takes `past_key_values`.
        policy: Which positions are computed again.
        mask_token_id: What open positions hold.
        block_length: Of a block-causal model.
        shift: Position i is predicted by the logits at i - 1.
    """

    def __init__(
        self, model: Any, policy: Policy, mask_token_id: int, block_length: int | None, shift: bool
    ) -> None:
        self.model, self.policy, self.mask = model, policy, mask_token_id
        self.block_length, self.shift = block_length, shift
        self._selects = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._store, self._memories = ScatterCache(), list[Memory]()

    @torch.inference_mode()
    def __call__(
        self, sequences: list[list[int]], asked: list[list[int]], prompt: PromptLength
    ) -> list[torch.Tensor]:
        """Logits at the asked positions of each sequence, some of them from earlier passes.

        Args:
            sequences: Tokens.
            asked: Positions.
            prompt: How many tokens of a new sequence are its prompt, None: all before the first
                asked position. Sequences with less than that in common are different ones.
        """
        ids = [np.array(s, dtype=np.int64) for s in sequences]
        where = [np.array(a, dtype=np.int64) for a in asked]
        memories = self._match(ids, where, prompt)
        self._memories = []  # a pass that fails leaves nothing behind
        width = max(map(len, ids))
        self._store.arrange([memory.row for memory in memories], width)
        sources = [np.unique(np.maximum(w - self.shift, 0)) for w in where]
        wanted = [
            self._plan(memory, memory.see(i), w, s)
            for memory, i, w, s in zip(memories, ids, where, sources, strict=True)
        ]
        logits = self._compute(memories, ids, wanted, sources, width)
        for row, memory in enumerate(memories):
            memory.row = row
        self._memories = memories
        return [
            rows[torch.from_numpy(np.searchsorted(s, np.maximum(w - self.shift, 0)))]
            for rows, s, w in zip(logits, sources, where, strict=True)
        ]

    def _match(self, ids: list[Ints], asked: list[Ints], prompt: PromptLength) -> list[Memory]:
        """The memory of each sequence: an earlier one's, or a new one."""
        free, found = self._memories, []
        for tokens, where in zip(ids, asked, strict=True):
            best = max(free, key=lambda memory: memory.agreement(tokens), default=None)
            if best is not None and best.agreement(tokens) >= best.prompt:
                free.remove(best)
            else:
                known = prompt(tokens.tolist())
                first = int(where.min(initial=len(tokens)))
                best = Memory(self.policy.fresh(), self.mask, first if known is None else known)
            found.append(best)
        return found

    def _plan(self, memory: Memory, step: Step, asked: Ints, sources: Ints) -> Mask:
        wanted = memory.policy.plan(step) | step.changed
        fresh = asked[wanted[asked] & step.open[asked]]
        wanted[np.maximum(fresh - self.shift, 0)] = True
        wanted[memory.unknown(sources)] = True
        return wanted

    def _compute(
        self, memories: list[Memory], ids: list[Ints], wanted: list[Mask], sources: list[Ints],
        width: int,
    ) -> list[torch.Tensor]:  # fmt: skip
        """Logits at the sources of each sequence."""
        fresh = [w[s] for w, s in zip(wanted, sources, strict=True)]
        if not any(w.any() for w in wanted):
            empty = torch.empty(0, 0)
            return [m.recall(s, f, empty) for m, s, f in zip(memories, sources, fresh, strict=True)]
        batch = self._batch(ids, wanted, width)
        queries = [
            np.searchsorted(np.flatnonzero(w), s[f])
            for w, s, f in zip(wanted, sources, fresh, strict=True)
        ]
        keep = np.unique(np.concatenate(queries))
        logits = self._forward(ids, batch, keep, [memory.policy for memory in memories])
        for memory, mask in zip(memories, wanted, strict=True):
            memory.computed(mask)
        return [
            memory.recall(s, f, row[torch.from_numpy(np.searchsorted(keep, q))])
            for memory, s, f, row, q in zip(memories, sources, fresh, logits, queries, strict=True)
        ]

    def _batch(self, ids: list[Ints], wanted: list[Mask], width: int) -> Batch:
        chosen = [np.flatnonzero(mask) for mask in wanted]
        table = np.full((len(chosen), max(map(len, chosen))), width)
        for row, where in zip(table, chosen, strict=True):
            row[: len(where)] = where
        lengths = torch.tensor([len(i) for i in ids])
        seen = Seen(self.model, lengths, width, self.block_length)
        return Batch(lengths, width, torch.from_numpy(table), wanted, seen)

    def _forward(
        self, ids: list[Ints], batch: Batch, keep: Ints, rules: list[Policy]
    ) -> torch.Tensor:
        """Logits of the queries `keep`, (batch, keep, vocab)."""
        table = np.zeros((len(ids), batch.width + 1), dtype=np.int64)
        for row, each in zip(table, ids, strict=True):
            row[: len(each)] = each
        device, where = input_device(self.model), batch.positions
        tokens = torch.from_numpy(table).gather(1, where).to(device)
        columns = torch.from_numpy(keep).to(device)
        options = {"logits_to_keep": columns} if self._selects else {}
        self._store.at(where.to(device))
        with rules[0].steering(self.model, self._store, batch, rules):
            logits: torch.Tensor = self.model(
                input_ids=tokens, attention_mask=batch.seen(where), past_key_values=self._store,
                position_ids=where.clamp(max=batch.width - 1).to(device), **options,
            ).logits  # fmt: skip
        return logits if self._selects else logits[:, columns]
