"""Sequence classifiers of transformers as classifiers for guidance."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import Any

import torch

from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import ModelError


class SequenceClassifier:
    """A `...ForSequenceClassification` whose tokenizer is the denoiser's.

    Args:
        model: The classifier; its forward takes `inputs_embeds` and returns `logits`.
        tokenizer: Its fast tokenizer, or its `Vocabulary`.
        noise_aware: Whether it was trained on text with mask and fill tokens.

    Raises:
        ModelError: If the model cannot be used.
    """

    def __init__(self, model: Any, tokenizer: Any, *, noise_aware: bool = False) -> None:
        if model.config.num_labels < 2:
            raise ModelError(
                f"{type(model).__name__} has one output and so no labels to choose from",
                hint="guidance needs a classifier with two or more",
            )
        if "inputs_embeds" not in inspect.signature(model.forward).parameters:
            raise ModelError(f"{type(model).__name__} takes no inputs_embeds")
        self.model, self.tokenizer, self.noise_aware = model.eval(), tokenizer, noise_aware
        names = model.config.id2label
        self.labels: tuple[str, ...] = tuple(names[i] for i in range(model.config.num_labels))
        self._many = model.config.problem_type == "multi_label_classification"

    @property
    def embeddings(self) -> torch.Tensor:
        """Embedding of every token, (vocab, hidden)."""
        weight: torch.Tensor = self.model.get_input_embeddings().weight.detach()
        return weight

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        if isinstance(self.tokenizer, Vocabulary):
            return self.tokenizer
        return Vocabulary.from_tokenizer(self.tokenizer)

    def check(self, fingerprint: str) -> None:
        """Refuse any vocabulary but its own."""
        if fingerprint != self._vocabulary.fingerprint:
            raise ModelError(
                f"the tokenizer of {type(self.model).__name__} is not the denoiser's",
                hint="token embeddings can only be exchanged between equal vocabularies",
            )
        known, rows = self._vocabulary.size, len(self.embeddings)
        if rows < known:
            raise ModelError(
                f"{type(self.model).__name__} has {rows} embeddings for {known} tokens",
                hint="model and tokenizer do not belong together",
            )

    def __call__(self, embedded: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the labels, (batch, labels); of each by itself if several may hold.

        The text is moved to the left, where the classifier's padding leaves it.
        """
        order = torch.argsort((~seen).to(torch.uint8), dim=1, stable=True)
        text = torch.take_along_dim(embedded, order[..., None], dim=1)
        mask = torch.take_along_dim(seen, order, dim=1)
        logits = self.model(
            inputs_embeds=text.to(self.model.dtype), attention_mask=mask.long()
        ).logits.float()
        return torch.nn.functional.logsigmoid(logits) if self._many else logits.log_softmax(dim=1)
