"""The text side of a denoiser: its tokenizer, chat template and vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.denoisers.base import Logits
from ctrlgen.denoisers.device_logits import kept
from ctrlgen.errors import ModelError


class TokenizerDenoiser:
    """What denoisers with a tokenizer of transformers share.

    Args:
        tokenizer: A fast tokenizer, or None.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._pieces: dict[str, list[int]] = {}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The bytes of the tokens."""
        return Vocabulary.from_tokenizer(self._tokenizer())

    def _tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise ModelError(
                "the checkpoint has no tokenizer",
                hint="add tokenizer.json, or load with tokenizer=; logits() needs none",
            )
        return self.tokenizer

    @property
    def describes(self) -> bool:
        """Whether prompts say what an answer must look like: where there is a chat template."""
        return self.tokenizer is not None and self.tokenizer.chat_template is not None

    def encode(self, text: str) -> list[int]:
        """Tokens of a piece of text; remembered, since a canvas repeats its pinned text."""
        if text not in self._pieces:
            if len(self._pieces) > 10_000:
                self._pieces.clear()
            self._pieces[text] = self._tokenizer()(text, add_special_tokens=False)["input_ids"]
        return list(self._pieces[text])

    def prompt(self, messages: Sequence[dict[str, str]], tools: Sequence[str]) -> list[int]:
        """The checkpoint's chat template, or plain text when it has none."""
        tokenizer = self._tokenizer()
        if tokenizer.chat_template is None:
            return self.encode("\n".join(m["content"] for m in messages) + "\n")
        offered = [{"name": name} for name in tools] or None
        text = tokenizer.apply_chat_template(
            list(messages), tools=offered, tokenize=False, add_generation_prompt=True
        )
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def in_vocabulary(self, logits: torch.Tensor) -> Logits:
        """Rows as wide as the vocabulary; embeddings are often padded beyond it."""
        size = self.vocabulary.size
        rows = logits[:, :size]
        if rows.shape[1] < size:
            rows = torch.nn.functional.pad(rows, (0, size - rows.shape[1]), value=-torch.inf)
        return kept(rows)

    def check_embeddings(self, rows: int, *token_ids: int) -> None:
        """Tokens beyond the embeddings would crash in the middle of a generation.

        Args:
            rows: How many embeddings the model has.
            *token_ids: Tokens that are sure to be used, besides those that spell text.

        Raises:
            ModelError: If one has no embedding.
        """
        tokens = () if self.tokenizer is None else self.vocabulary.tokens
        spelled = [i for i in range(rows, len(tokens)) if tokens[i]]
        beyond = next((i for i in [*spelled, *token_ids] if i >= rows), None)
        if beyond is not None:
            raise ModelError(
                f"token {beyond} has no embedding: the model has {rows}"
                + (f", the tokenizer {len(tokens)} tokens" if tokens else ""),
                hint="model and tokenizer do not belong together, or an id is wrong",
            )


def first_token(kind: str, model: Any, *candidates: Any) -> int:
    """The first token id that is known.

    Raises:
        ModelError: If none is.
    """
    found = next((c for c in candidates if c is not None), None)
    if found is None:
        raise ModelError(
            f"{type(model).__name__} has no {kind} token",
            hint=f"pass {kind}_token_id=, if it is a masked diffusion model at all",
        )
    return int(found[0] if isinstance(found, list) else found)
