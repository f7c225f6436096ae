"""DiffusionGemma: uniform noise instead of masks, a causal encoder, a bidirectional canvas.

The loop knows open positions by their mask. Here each of them is drawn anew, uniformly from the
vocabulary, before every forward pass; pinned and committed tokens are written over the noise, and
so they stick, which the model's own sampler does not know.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from ctrlgen.denoisers.attention import input_device
from ctrlgen.denoisers.base import Logits
from ctrlgen.denoisers.tokens import TokenizerDenoiser, first_token

_PROMPTS = 32  # key-value caches that are kept


class DiffusionGemmaDenoiser(TokenizerDenoiser):
    """A `DiffusionGemmaForBlockDiffusion` in our loop.

    Prompts are encoded once; a sequence is split where the longest prompt made by `prompt` ends.
    Noise depends on `seed` and the sequence alone, so a batch is as one by one.

    Args:
        model: The model.
        tokenizer: Its fast tokenizer.
        mask_token_id: What the loop writes into open positions; the model never sees it. A token
            that no answer needs: the tokenizer's mask, or the begin-of-image token.
        fill_token_id: What stands behind the end of a value.
        self_conditioning: Forward passes a step that see the logits of the pass before; 0 is
            faster.
        seed: Of the noise.

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
        self_conditioning: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(tokenizer)
        self.model, config = model.eval(), model.config
        self.rounds, self.seed = self_conditioning, seed
        text = config.text_config
        self.size, self.canvas_length = int(text.vocab_size), int(config.canvas_length)
        self.max_length = int(text.max_position_embeddings)
        self.mask_token_id = first_token(
            "mask", model, mask_token_id, getattr(tokenizer, "mask_token_id", None),
            config.boi_token_id,
        )  # fmt: skip
        self.fill_token_id = first_token(
            "fill", model, fill_token_id, text.eos_token_id, text.pad_token_id
        )
        self._encoded: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        if tokenizer is not None:
            self.check_embeddings(self.size, self.mask_token_id, self.fill_token_id)

    def prompt(self, messages: Sequence[dict[str, str]], tools: Sequence[str]) -> list[int]:
        """The checkpoint's chat template; its end is where the canvas begins."""
        ids = super().prompt(messages, tools)
        self._remember(tuple(ids), None)
        return ids

    def _remember(self, prompt: tuple[int, ...], cache: Any) -> None:
        self._encoded[prompt] = cache
        self._encoded.move_to_end(prompt)
        if len(self._encoded) > _PROMPTS:
            self._encoded.popitem(last=False)

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Logits]:
        """Logits at the asked positions, one sequence after the other."""
        return [self._rows(s, p) for s, p in zip(sequences, positions, strict=True)]

    def _rows(self, sequence: list[int], asked: list[int]) -> Logits:
        start = self._canvas_start(sequence)
        cache = self._cache(tuple(sequence[:start]))
        logits = self._canvas_logits(self.noised(sequence[start:]), cache)
        rows = torch.tensor(asked, dtype=torch.long, device=logits.device) - start
        return self.in_vocabulary(logits[rows])

    def _canvas_start(self, sequence: list[int]) -> int:
        """Where the canvas begins: behind a known prompt, or else at the first open position."""
        known = (len(p) for p in self._encoded if tuple(sequence[: len(p)]) == p)
        found = max(known, default=0)
        return found or next(
            (i for i, token in enumerate(sequence) if token == self.mask_token_id), len(sequence)
        )

    def noised(self, canvas: list[int]) -> torch.Tensor:
        """The canvas with noise at open positions, and behind it up to a full block; (length,)."""
        key = np.array([self.seed, *canvas], dtype=np.int64).tobytes()
        digest = hashlib.blake2b(key, digest_size=8).digest()
        width = -(-max(len(canvas), 1) // self.canvas_length) * self.canvas_length
        noise = np.random.default_rng(int.from_bytes(digest, "little"))
        ids = noise.integers(self.size, size=width)
        known = np.array(canvas, dtype=np.int64)
        ids[: len(canvas)] = np.where(known == self.mask_token_id, ids[: len(canvas)], known)
        return torch.from_numpy(ids)

    @torch.inference_mode()
    def _cache(self, prompt: tuple[int, ...]) -> Any:
        """Keys and values of a prompt; the decoder reads them and adds none."""
        cache = self._encoded.get(prompt)
        if cache is None:
            cache = DynamicCache(config=self.model.config.get_text_config(decoder=True))
            ids = torch.tensor([prompt], device=input_device(self.model))
            cache = self.model.model.encoder(input_ids=ids, past_key_values=cache).past_key_values
        self._remember(prompt, cache)
        return cache

    @torch.inference_mode()
    def _canvas_logits(self, canvas: torch.Tensor, cache: Any) -> torch.Tensor:
        """Logits of one canvas, (length, vocab)."""
        ids, logits = canvas[None].to(input_device(self.model)), None
        for _ in range(1 + self.rounds):
            logits = self.model(
                decoder_input_ids=ids, past_key_values=cache, self_conditioning_logits=logits
            ).logits
        assert logits is not None
        canvas_logits: torch.Tensor = logits[0]
        return canvas_logits
