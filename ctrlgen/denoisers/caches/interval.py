"""Interval refresh with adaptive partial updates (dLLM-Cache, arXiv:2506.06295)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctrlgen.constraints.atoms import Ints
from ctrlgen.denoisers.caches.base import Batch, Mask, Rule, Step
from ctrlgen.denoisers.caches.store import ScatterCache
from ctrlgen.errors import ModelError


@dataclass
class IntervalCache(Rule):
    """The prompt now and then, the answer more often, and in between what has moved most.

    In between, each layer computes the values of the answer anew and compares them with those it
    has stored: only the positions whose cosine is lowest pass through the layer. The others add
    what the layer added to them before. The first layer always computes everything, as published.

    Args:
        prompt_interval: Steps from one computation of the prompt to the next. All that stands
            before the first open position counts as prompt.
        response_interval: Likewise of what follows.
        share: Of the answer, how much passes through a layer in between.
    """

    prompt_interval: int = 25
    response_interval: int = 5
    share: float = 0.25
    steps: int = field(init=False, default=-1)
    prompt: int = field(init=False, default=0)
    full: Mask = field(init=False, default_factory=lambda: np.empty(0, dtype=bool))
    rest: Mask = field(init=False, default_factory=lambda: np.empty(0, dtype=bool))

    def plan(self, step: Step) -> Mask:
        """All positions are fed; layers choose."""
        self.steps += 1
        if self.steps == 0:
            self.prompt = step.first_open
        prompt, response = step.span(0, self.prompt), step.span(self.prompt)
        self.full, self.rest = step.missing.copy(), response & ~step.missing
        if self.steps % self.prompt_interval == 0:
            self.full |= prompt
        if self.steps % self.response_interval == 0:
            self.full, self.rest = self.full | response, step.span(0, 0)
        return step.all()

    @contextmanager
    def steering(
        self, model: Any, store: ScatterCache, batch: Batch, rules: list[Any]
    ) -> Iterator[None]:
        """Layers pass on what they do not compute."""
        layers = layers_of(model)
        for number, layer in enumerate(layers):
            choice = _Choice(store, batch, rules, number, layer)
            layer.forward = partial(_partial_forward, layer.forward, choice)
        try:
            # Layers differ from pass to pass: a compiled model would be compiled in each.
            with torch.compiler.set_stance("force_eager"):
                yield
        finally:
            for layer in layers:
                del layer.forward  # what the class defines is behind it


def layers_of(model: Any) -> Any:
    """The layers of a model that chooses by them.

    Raises:
        ModelError: If they are not like Llama's.
    """
    layers = getattr(getattr(model, "model", None), "layers", ())
    if not layers or not all(
        hasattr(layer, "input_layernorm") and hasattr(layer.self_attn, "v_proj") for layer in layers
    ):
        raise ModelError(
            f"the interval cache does not know the layers of a {type(model).__name__}",
            hint="choose another cache",
        )
    return layers


@dataclass
class _Choice:
    """What one layer computes in one pass."""

    store: ScatterCache
    batch: Batch
    rules: list[IntervalCache]
    number: int
    layer: Any

    def positions(self, hidden: Tensor) -> Tensor:
        """Positions that pass through the layer, (batch, queries); stores values of the others."""
        if self.number == 0 or not any(rule.rest.any() for rule in self.rules):
            masks = self.batch.wanted if self.number == 0 else [rule.full for rule in self.rules]
            return indices([np.flatnonzero(mask) for mask in masks], self.batch.width)
        rest = [np.flatnonzero(rule.rest) for rule in self.rules]
        similar = self._similarity(hidden, indices(rest, self.batch.width))
        chosen = []
        for rule, where, row in zip(self.rules, rest, similar, strict=True):
            lowest = row[: len(where)].argsort(stable=True)[: int(len(where) * rule.share)].cpu()
            chosen.append(np.append(np.flatnonzero(rule.full), where[lowest.numpy()]))
        return indices(chosen, self.batch.width)

    def _similarity(self, hidden: Tensor, where: Tensor) -> Tensor:
        """Cosine of new and stored values, (batch, queries); the new ones are stored."""
        rows = self.layer.input_layernorm(gather(hidden, where))
        new = self.layer.self_attn.v_proj(rows)  # (batch, queries, heads * head)
        stored = self.store.read("values", self.number)
        heads = stored.shape[1]
        old = gather(stored.transpose(1, 2).flatten(2), where)
        self.store.at(where)
        self.store.write("values", new.unflatten(2, (heads, -1)).transpose(1, 2), self.number)
        return torch.nn.functional.cosine_similarity(new.float(), old.float(), dim=-1)


def indices(rows: list[Ints], fill: int) -> Tensor:
    """Positions of different counts as one (batch, queries) tensor, filled up at the end."""
    width = max(map(len, rows))
    return torch.tensor([[*row.tolist(), *[fill] * (width - len(row))] for row in rows])


def gather(states: Tensor, where: Tensor) -> Tensor:
    """Rows of (batch, width, size) at (batch, queries); beyond the last: the last."""
    where = where.to(states.device).clamp(max=states.shape[1] - 1)
    return states.gather(1, where[..., None].expand(-1, -1, states.shape[2]))


def _partial_forward(
    native: Callable[..., Any], choice: _Choice, hidden_states: Tensor, **options: Any
) -> Tensor:
    """The layer's own forward for chosen positions; the others add what they added before."""
    where = choice.positions(hidden_states)
    if where.shape[1]:  # none, if the share of a short answer is less than one position
        _compute(native, choice, hidden_states, where, options)
    added: Tensor = choice.store.read("added", choice.number)[:, 0]
    return hidden_states + added


def _compute(
    native: Callable[..., Any], choice: _Choice, hidden: Tensor, where: Tensor, options: Any
) -> None:
    """Store what the layer adds at (batch, queries), and its keys and values."""
    chosen = gather(hidden, where)
    options["attention_mask"] = choice.batch.seen(where)
    options["position_ids"] = where
    cos, sin = options["position_embeddings"]
    options["position_embeddings"] = gather(cos, where), gather(sin, where)
    choice.store.at(where)
    out = native(chosen, **options)
    choice.store.write("added", (out - chosen)[:, None], choice.number)
