"""Masked diffusion language models of transformers as denoisers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from ctrlgen.constraints.atoms import Floats
from ctrlgen.denoisers.attention import attention_mask, padded, positions
from ctrlgen.denoisers.tokens import TokenizerDenoiser, first_token
from ctrlgen.errors import ModelError

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

    Raises:
        ModelError: If a token that is needed is unknown or has no embedding.
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
    ) -> None:
        super().__init__(tokenizer)
        self.model = model.eval()
        self.block_length, self.shift = block_length, shift
        self._given = {"mask": mask_token_id, "fill": fill_token_id}
        self._takes = inspect.signature(model.forward).parameters
        self._see_both_sides()
        config = model.config
        self._offset = _position_offset(model)
        sep = None if tokenizer is None else getattr(tokenizer, "sep_token_id", None)
        self._suffix = [sep] if sep is not None and _is_encoder(model) else []
        longest = int(getattr(config, "max_position_embeddings", 4096))
        self.max_length = longest - self._offset - len(self._suffix)
        if tokenizer is not None:
            rows = model.get_input_embeddings().weight.shape[0]
            self.check_embeddings(rows, self.mask_token_id, self.fill_token_id)

    def _see_both_sides(self) -> None:
        config = self.model.config
        if self.block_length and str(config._attn_implementation).startswith(_FLASH):
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

    def prompt(self, messages: Sequence[dict[str, str]], tools: Sequence[str]) -> list[int]:
        """The checkpoint's chat template, or plain text when it has none; `[CLS]` if it has one."""
        first = getattr(self.tokenizer, "cls_token_id", None) if self._suffix else None
        start = [] if first is None else [first]
        return start + super().prompt(messages, tools)

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        """One forward pass over all sequences, for the asked positions only."""
        ids, pads = padded([s + self._behind(len(s)) for s in sequences])
        sources = [
            torch.tensor([max(p - self.shift, 0) for p in asked], dtype=torch.long) + pad
            for asked, pad in zip(positions, pads, strict=True)
        ]
        keep = torch.unique(torch.cat(sources))
        logits = self._forward(ids, pads, keep)
        return [
            self.in_vocabulary(row[torch.searchsorted(keep, at).to(row.device)])
            for row, at in zip(logits, sources, strict=True)
        ]

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

    @torch.inference_mode()
    def _forward(self, ids: torch.Tensor, pads: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """The model's own logits at the columns `keep`."""
        width, device = ids.shape[1], self.model.device
        mask = attention_mask(pads, width, self.block_length)
        if mask.ndim == 4 and self.model.config._attn_implementation == "eager":
            smallest = torch.finfo(self.model.dtype).min  # eager attention adds its mask
            mask = torch.where(mask, 0.0, smallest).to(self.model.dtype)
        options = {"attention_mask": mask.to(device)}
        if "position_ids" in self._takes:
            options["position_ids"] = (positions(pads, width) + self._offset).to(device)
        if "logits_to_keep" in self._takes:
            options["logits_to_keep"] = keep.to(device)
        try:
            logits: torch.Tensor = self.model(input_ids=ids.to(device), **options).logits
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"out of memory in a forward pass over {len(ids)} × {width} tokens "
                f"in {self.model.dtype}",
                hint='a smaller batch or max_new_tokens, dtype="bfloat16", or device_map="auto"',
            ) from error
        return logits if "logits_to_keep" in self._takes else logits[:, keep.to(logits.device)]


def _is_encoder(model: Any) -> bool:
    return type(model).__name__.endswith("ForMaskedLM")


def _position_offset(model: Any) -> int:
    """Where positions start: RoBERTa and its kin number them from `padding_idx + 1`."""
    for name, module in model.named_modules():
        if name.endswith("embeddings.position_embeddings"):
            index = getattr(module, "padding_idx", None)
            return 0 if index is None else int(index) + 1
    return 0
