"""Masked diffusion language models of transformers as denoisers."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from threading import Lock
from typing import Any

import torch

from ctrlgen.denoisers.attention import as_added, attention_mask, input_device, padded, positions
from ctrlgen.denoisers.base import Logits
from ctrlgen.denoisers.caches import CachedForward, Policy
from ctrlgen.denoisers.caches.choice import check_cacheable, named
from ctrlgen.denoisers.declared import Lengths, absence_of, closing_of, commits_of, declared
from ctrlgen.denoisers.shadow import shadows
from ctrlgen.denoisers.tokens import TokenizerDenoiser, first_token
from ctrlgen.errors import ModelError

_PROMPTS = 256  # that are known to a cache
_FLASH = ("flash_attention", "kernels-community")


class TransformersDenoiser(TokenizerDenoiser):
    """A transformers model that predicts what stands under masks.

    Args:
        model: Its forward returns `logits`, (batch, length, vocab).
        tokenizer: Its fast tokenizer; without one only `logits` works.
        mask_token_id: Overrides what model and tokenizer say.
        fill_token_id: Likewise; a model without a trained filler uses its padding token.
        block_length: Positions see their own block of so many tokens, counted from the first token
            of the prompt, and all blocks before; None: all positions see all.
        shift: Position i is predicted by the model's logits at i - 1.
        cache: Which positions are computed again in a step: "prefix", "dual", "frozen", "delayed",
            "greedy", "interval", "block" or an object of `ctrlgen.denoisers.caches`, see
            docs/caches.md; None: all of them.
        lengths: How slots are to find their length, see docs/lengths.md: "slack", "open" or
            "several"; None: what the config says under `lengths`, else "slack" where a filler was
            trained and "open" where not.

    Raises:
        ModelError: If a token that is needed is unknown or has no embedding, or the model cannot
            have this cache.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        mask_token_id: int | None = None,
        fill_token_id: int | None = None,
        block_length: int | None = None,
        shift: bool = False,
        cache: str | Policy | None = None,
        lengths: Lengths | None = None,
    ) -> None:
        super().__init__(tokenizer)
        self.model = model.eval()
        self.block_length, self.shift = block_length, shift
        self._given = {"mask": mask_token_id, "fill": fill_token_id}
        self.lengths, self.closing = declared(lengths, model.config), closing_of(model.config)
        self.absence = absence_of(model.config)
        self.commits = commits_of(model.config)
        self._takes = inspect.signature(model.forward).parameters
        self._lock, self._prompts = Lock(), OrderedDict[tuple[int, ...], None]()
        self._see_both_sides()
        config = model.config
        self._offset = _position_offset(model)
        sep = None if tokenizer is None else getattr(tokenizer, "sep_token_id", None)
        self._suffix = [sep] if sep is not None and _is_encoder(model) else []
        longest = int(getattr(config, "max_position_embeddings", 4096))
        self.max_length = longest - self._offset - len(self._suffix)
        rows = model.get_input_embeddings().weight.shape[0]
        if tokenizer is None:
            self.check_embeddings(rows, *(i for i in self._given.values() if i is not None))
        else:
            self.check_embeddings(rows, self.mask_token_id, self.fill_token_id)
        self._cached = None if cache is None else self._cached_forward(cache)

    def _cached_forward(self, cache: str | Policy) -> CachedForward:
        policy = named(cache, self.block_length)
        check_cacheable(self.model, policy, self._takes, _is_flash(self.model))
        return CachedForward(self.model, policy, self.mask_token_id, self.block_length, self.shift)

    def _see_both_sides(self) -> None:
        config = self.model.config
        if self.block_length and _is_flash(self.model):
            raise ModelError(
                f"{config._attn_implementation} cannot run block-causal attention",
                hint='load with attn_implementation="sdpa" or "eager"',
            )
        config.is_causal, config.use_cache = False, False
        for module in self.model.modules():
            if hasattr(module, "is_causal"):  # flash attention asks the layer, not the config
                module.is_causal = False

    @cached_property
    def mask_token_id(self) -> int:
        """What open positions hold."""
        sources = (self.model.config, self.tokenizer)
        found = (getattr(source, "mask_token_id", None) for source in sources)
        return first_token("mask", self.model, self._given["mask"], *found)

    @cached_property
    def fill_token_id(self) -> int:
        """What stands behind the end of a value."""
        config = self.model.config
        return first_token(
            "fill", self.model, self._given["fill"], getattr(config, "fill_token_id", None),
            getattr(self.tokenizer, "pad_token_id", None), getattr(config, "pad_token_id", None),
            getattr(config, "eos_token_id", None),
        )  # fmt: skip

    @property
    def extracts(self) -> bool:
        """Whether its answers are made of the prompt's words: models trained with a filler are."""
        return getattr(self.model.config, "fill_token_id", None) is not None

    @property
    def describes(self) -> bool:
        """Not where a filler was trained: that model reads the scaffold."""
        return super().describes and not self.extracts

    def prompt(self, messages: Sequence[dict[str, str]], tools: Sequence[str]) -> list[int]:
        """The checkpoint's chat template, or plain text when it has none; `[CLS]` if it has one."""
        first = getattr(self.tokenizer, "cls_token_id", None) if self._suffix else None
        ids = ([] if first is None else [first]) + super().prompt(messages, tools)
        if self._cached is not None:
            self._prompts[tuple(ids)] = None
            if len(self._prompts) > _PROMPTS:
                self._prompts.popitem(last=False)
        return ids

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Logits]:
        """One forward pass over all sequences, for the asked positions only."""
        sequences = [s + self._behind(len(s)) for s in sequences]
        if self._cached is not None:
            with self._lock, _told_out_of_memory(self.model, sequences):
                found = self._cached(sequences, positions, self._prompt_length)
            return [self.in_vocabulary(rows) for rows in found]
        ids, pads = padded(sequences)
        sources = [
            torch.tensor([max(p - self.shift, 0) for p in asked], dtype=torch.long) + pad
            for asked, pad in zip(positions, pads, strict=True)
        ]
        keep = torch.unique(torch.cat(sources))
        logits = self._forward(ids, pads, keep)
        return self._asked(logits, keep, sources)

    def leave_one_out(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Logits]:
        """One forward pass in which tokens at asked positions are hidden from themselves.

        Computed without the cache: every column sees the others as they are now.
        """
        sequences = [s + self._behind(len(s)) for s in sequences]
        laid = shadows(
            sequences, positions, self.mask_token_id, shift=self.shift,
            block_length=self.block_length,
        )  # fmt: skip
        keep = torch.unique(torch.cat(laid.sources))
        logits = self._attend(laid.ids, laid.mask, laid.positions, keep)
        return self._asked(logits, keep, laid.sources)

    def _asked(
        self, logits: torch.Tensor, keep: torch.Tensor, sources: Sequence[torch.Tensor]
    ) -> list[Logits]:
        """Rows at the columns `sources` of each sequence, given those at all of `keep`."""
        return [
            self.in_vocabulary(
                row if torch.equal(at, keep) else row[torch.searchsorted(keep, at).to(row.device)]
            )
            for row, at in zip(logits, sources, strict=True)
        ]

    def _prompt_length(self, sequence: Sequence[int]) -> int | None:
        """Tokens of the prompt that a sequence begins with, None if it is none of ours."""
        lengths = (len(p) for p in list(self._prompts) if tuple(sequence[: len(p)]) == p)
        return max(lengths, default=None)

    def _behind(self, length: int) -> list[int]:
        """What the model expects after the canvas: masks up to the end of the block, `[SEP]`."""
        missing = -length % self.block_length if self.block_length else 0
        return [self.mask_token_id] * min(missing, self.max_length - length) + self._suffix

    def logits(self, ids: Any) -> torch.Tensor:
        """Logits of whole sequences of one length, without padding.

        Args:
            ids: (batch, length).

        Returns:
            (batch, length, vocab); row i predicts position i.
        """
        ids = torch.as_tensor(ids)
        width = ids.shape[1]
        out = self._forward(ids, torch.zeros(len(ids), dtype=torch.long), torch.arange(width))
        return torch.cat([out[:, :1], out[:, :-1]], dim=1) if self.shift else out

    def _forward(self, ids: torch.Tensor, pads: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """The model's own logits at the columns `keep`."""
        width = ids.shape[1]
        mask = attention_mask(pads, width, self.block_length)
        return self._attend(ids, mask, positions(pads, width), keep)

    @torch.inference_mode()
    def _attend(
        self, ids: torch.Tensor, mask: torch.Tensor, where: torch.Tensor, keep: torch.Tensor
    ) -> torch.Tensor:
        """Logits at the columns `keep`, given who sees whom and the positions, (batch, length)."""
        device = input_device(self.model)
        options = {"attention_mask": as_added(mask, self.model)}
        if "position_ids" in self._takes:
            options["position_ids"] = (where + self._offset).to(device)
        if "logits_to_keep" in self._takes:
            options["logits_to_keep"] = keep.to(device)
        with _told_out_of_memory(self.model, ids):
            logits: torch.Tensor = self.model(input_ids=ids.to(device), **options).logits
        return logits if "logits_to_keep" in self._takes else logits[:, keep.to(logits.device)]


@contextmanager
def _told_out_of_memory(model: Any, sequences: Any) -> Iterator[None]:
    """Say what did not fit, and what would.

    Raises:
        ModelError: If a forward pass over the sequences runs out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        batch, width = len(sequences), max(map(len, sequences))
        raise ModelError(
            f"out of memory in a forward pass over {batch} × {width} tokens in {model.dtype}",
            hint=_what_fits(batch, width, model.dtype),
        ) from error


def _what_fits(batch: int, width: int, dtype: torch.dtype) -> str:
    """Half of it, by whatever can be halved: memory grows with each of them."""
    ways = [f"prompts in batches of {batch // 2}"] if batch > 1 else []
    ways += [f"prompt and max_new_tokens of {width // 2} tokens together"]
    ways += ['dtype="bfloat16"'] if dtype == torch.float32 else []
    return f'half would be {", or ".join(ways)}; more memory: device_map="auto"'


def _is_flash(model: Any) -> bool:
    return str(model.config._attn_implementation).startswith(_FLASH)


def _is_encoder(model: Any) -> bool:
    return type(model).__name__.endswith("ForMaskedLM")


def _position_offset(model: Any) -> int:
    """Where positions start: RoBERTa and its kin number them from `padding_idx + 1`."""
    for name, module in model.named_modules():
        if name.endswith("embeddings.position_embeddings"):
            index = getattr(module, "padding_idx", None)
            return 0 if index is None else int(index) + 1
    return 0
