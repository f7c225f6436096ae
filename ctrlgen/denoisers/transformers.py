"""Any bidirectional masked language model of transformers as a denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ctrlgen.constraints.posterior import Floats
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import ModelError

EMBEDDED = Path(__file__).parent / "weights"


class TransformersDenoiser:
    """A transformers model whose attention is bidirectional (`config.is_causal = False`).

    Args:
        model: The model; its forward returns `logits`, (batch, length, vocab).
        tokenizer: Its fast tokenizer.
        mask_token_id: Overrides what model and tokenizer say.
        fill_token_id: Likewise; a model without a trained filler uses its padding token.

    Raises:
        ModelError: If no mask token is known.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        mask_token_id: int | None = None,
        fill_token_id: int | None = None,
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        config = model.config
        config.is_causal = False
        self.mask_token_id = _first(
            mask_token_id, getattr(config, "mask_token_id", None), tokenizer.mask_token_id
        )
        self.fill_token_id = _first(
            fill_token_id, getattr(config, "fill_token_id", None), tokenizer.pad_token_id
        )
        self.max_length = int(getattr(config, "max_position_embeddings", 4096))
        self.vocabulary = Vocabulary.from_tokenizer(tokenizer)
        self._pieces: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Tokens of a piece of text; remembered, since a canvas repeats its pinned text."""
        if text not in self._pieces:
            if len(self._pieces) > 10_000:
                self._pieces.clear()
            self._pieces[text] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._pieces[text]

    def prompt(self, messages: Sequence[dict[str, str]], tools: Sequence[str]) -> list[int]:
        """The checkpoint's chat template, or plain text when it has none."""
        if self.tokenizer.chat_template is None:
            return self.encode("\n".join(m["content"] for m in messages) + "\n")
        offered = [{"name": name} for name in tools] or None
        text = self.tokenizer.apply_chat_template(
            list(messages), tools=offered, tokenize=False, add_generation_prompt=True
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @torch.inference_mode()
    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        """One forward pass over all sequences, padded on the left so that RoPE distances hold."""
        width = max(map(len, sequences))
        pad = self.tokenizer.pad_token_id or 0
        device = self.model.device
        shifts = [width - len(s) for s in sequences]
        ids = torch.tensor([[pad] * n + s for n, s in zip(shifts, sequences, strict=True)])
        mask = torch.ones_like(ids)
        for row, n in enumerate(shifts):
            mask[row, :n] = 0
        logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        out = []
        for row, (n, where) in enumerate(zip(shifts, positions, strict=True)):
            picked = logits[row, torch.tensor(where, dtype=torch.long, device=device) + n]
            out.append(self._in_vocabulary(picked.double().cpu().numpy()))
        return out

    def _in_vocabulary(self, logits: Floats) -> Floats:
        """Rows as wide as the vocabulary; embeddings are often padded beyond it."""
        size = self.vocabulary.size
        if logits.shape[1] >= size:
            return logits[:, :size]
        missing = np.full((len(logits), size - logits.shape[1]), -np.inf)
        return np.concatenate([logits, missing], axis=1)


def _first(*candidates: int | None) -> int:
    found = next((c for c in candidates if c is not None), None)
    if found is None:
        raise ModelError(
            "the model has no mask or padding token",
            hint="pass mask_token_id= and fill_token_id=, or use a masked diffusion model",
        )
    return int(found)


def load(path_or_id: str | Path | None = None) -> TransformersDenoiser:
    """Load a checkpoint; the embedded one, offline, when nothing is named.

    Raises:
        ModelError: If the checkpoint cannot be read.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    source = str(path_or_id or EMBEDDED)
    quiet = path_or_id is None and logging.is_progress_bar_enabled()
    if quiet:  # a bar for a tenth of a second is noise
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot load {source!r}: {error}", hint="give a folder or a hub id of a checkpoint"
        ) from error
    finally:
        if quiet:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    return TransformersDenoiser(model, tokenizer)
