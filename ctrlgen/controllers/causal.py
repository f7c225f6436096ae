"""A causal language model of transformers that reads what a canvas says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ctrlgen.canvas import Canvas
from ctrlgen.constraints.atoms import Floats, Ints
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import ModelError


class CausalReader:
    """Next-token log-probabilities of a causal model whose tokenizer is the denoiser's.

    It reads the prompt as the denoiser has it, and the canvas without fill.

    Args:
        model: Its forward takes `input_ids` and `attention_mask` and returns `logits`.
        tokenizer: Its fast tokenizer, or its `Vocabulary`.
        end_token_id: What it writes behind a complete answer; None: the end is not judged.
    """

    def __init__(self, model: Any, tokenizer: Any, *, end_token_id: int | None = None) -> None:
        self.model, self.end_token_id = model.eval(), end_token_id
        known = isinstance(tokenizer, Vocabulary)
        self.vocabulary = tokenizer if known else Vocabulary.from_tokenizer(tokenizer)

    def check(self, canvas: Canvas) -> None:
        """Refuse a canvas of another vocabulary.

        Raises:
            ModelError: If token ids mean something else there.
        """
        if self.vocabulary.fingerprint != canvas.scaffold.constraint.vocabulary.fingerprint:
            raise ModelError(
                f"the tokenizer of {type(self.model).__name__} is not the denoiser's",
                hint="supervision compares tokens; use a causal model with the same tokenizer",
            )

    def read(self, canvas: Canvas, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """What the model reads of a canvas whose tokens are `ids`.

        Returns:
            Tokens of prompt and text, with the end token behind them where the canvas is laid out
            to its end; where among them each position of the canvas is, or would be were it not
            fill.
        """
        tokens, places = list(canvas.prompt), []
        for token in ids:
            places.append(len(tokens))
            if token != canvas.scaffold.fill:
                tokens.append(int(token))
        if self.end_token_id is not None and not any(g.is_fork for g in canvas.gaps()):
            tokens.append(self.end_token_id)
        return tokens, places

    @torch.inference_mode()
    def log_probs(self, texts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Log-probability of every token at every position but the first, one pass for all.

        Returns:
            One (length, vocab) tensor a text; row i predicts the token at i, row 0 is all zero.
        """
        length = max(map(len, texts))
        ids = torch.zeros(len(texts), length, dtype=torch.long)
        seen = torch.zeros(len(texts), length, dtype=torch.long)
        for i, text in enumerate(texts):
            ids[i, : len(text)] = torch.tensor(text, dtype=torch.long)
            seen[i, : len(text)] = 1
        device = self.model.device
        # Padding stands behind the text, where a causal model does not look.
        logits = self.model(input_ids=ids.to(device), attention_mask=seen.to(device)).logits
        rows = self._in_vocabulary(logits[:, :-1].float().log_softmax(dim=2))
        out = torch.cat([torch.zeros_like(rows[:, :1]), rows], dim=1)
        return [out[i, : len(text)] for i, text in enumerate(texts)]

    def _in_vocabulary(self, rows: torch.Tensor) -> torch.Tensor:
        """As wide as the vocabulary: models often have more outputs than tokens, or fewer."""
        missing = self.vocabulary.size - rows.shape[2]
        if missing > 0:
            return torch.nn.functional.pad(rows, (0, missing), value=-torch.inf)
        return rows[:, :, : self.vocabulary.size]

    def score(self, canvas: Canvas, fillings: Sequence[Ints]) -> Floats:
        """Log-probability of the canvas's text for each set of its tokens, (fillings,)."""
        texts = [self.read(canvas, ids.tolist())[0] for ids in fillings]
        start = max(1, len(canvas.prompt))
        found = []
        for text, rows in zip(texts, self.log_probs(texts), strict=True):
            said = torch.tensor(text[start:], dtype=torch.long, device=rows.device)
            found.append(float(rows[start:].gather(1, said[:, None]).sum()))
        return np.array(found)
