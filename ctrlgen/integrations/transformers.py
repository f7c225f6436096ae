"""DiffusionGemma's own `generate`, with every answer valid.

    length = model.config.canvas_length
    processor = DiffusionLogitsProcessor(Person, tokenizer, canvas_length=length)
    out = model.generate(**inputs, logits_processor=LogitsProcessorList([processor]))
    person = processor.parse(out.sequences[0, inputs["input_ids"].shape[1]:])

The stock loop calls the processor with the logits of the whole canvas at every denoising step and
returns the argmax of what comes back. What comes back here are the constrained marginals, with one
jointly valid filling, the witness, on top at every position. Logits stay on their device; a few
numbers a position cross. `generate` adds its own processors to the list that it is given: make a
new list for every call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from ctrlgen.constraints import compile as compile_constraint
from ctrlgen.constraints.atoms import NEVER, Ints
from ctrlgen.constraints.beam import beam_states
from ctrlgen.constraints.gap import GapGraph, Slack, reachable
from ctrlgen.constraints.log_probs import LogProbs
from ctrlgen.constraints.posterior import Posterior, add_up, find_best
from ctrlgen.denoisers.base import log_probs_of
from ctrlgen.denoisers.device_logits import kept
from ctrlgen.errors import CanvasTooSmallError, LimitError
from ctrlgen.spec import to_spec

_ENUMERATED = 200
"""Automata with more states than this are searched by beam, anew at every step."""

_LIFT = 1e-2
"""How far the witness stands above the most probable token, in nats."""

_UNLIKELY = -1e4
"""The least log-probability that a token counts for."""


class DiffusionLogitsProcessor(LogitsProcessor):
    """Makes every result of DiffusionGemma's `generate` a value of a type.

    The answer and an end token fit one canvas: generation stops after the first.

    Args:
        output_type: Anything that `ctrlgen.Generator` takes.
        tokenizer: The model's fast tokenizer, or a `Vocabulary`.
        canvas_length: Positions of a canvas: `model.config.canvas_length`.
        eos_token_id: What ends the answer; the tokenizer's own by default.

    Raises:
        ConstraintError: If the type cannot be compiled.
        CanvasTooSmallError: If the shortest answer does not fit one canvas.
    """

    def __init__(
        self,
        output_type: Any,
        tokenizer: Any,
        *,
        canvas_length: int = 256,
        eos_token_id: int | None = None,
    ) -> None:
        self.spec = to_spec(output_type)
        self.constraint = compile_constraint(self.spec, tokenizer)
        self.eos = tokenizer.eos_token_id if eos_token_id is None else eos_token_id
        self.length = canvas_length - 1  # the last position is always an end
        self._slack, self._tokens = Slack(self.eos), self.constraint.tokens
        self._start = self.constraint.start()
        shortest = self._tokens.completion(self._start)
        if len(shortest) > self.length:
            raise CanvasTooSmallError(len(shortest) + 1, canvas_length)
        self._shortest = np.full(self.length, self.eos, dtype=np.int64)
        self._shortest[: len(shortest)] = shortest
        states = reachable(self._tokens, self._start, self.length, _ENUMERATED)
        self._graph = self._connect(states) if states else None
        self._witnesses: list[Ints] = []

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, cur_step: Any = None
    ) -> torch.Tensor:
        """Constrained marginals with the witness on top, float32, (batch, canvas, vocab).

        Raises:
            NonFiniteLogitsError: If the model returned NaN or nothing finite at a position.
        """
        if len(self._witnesses) != len(scores):
            self._witnesses = [self._shortest] * len(scores)
        size, every = self.constraint.vocabulary.size, range(len(scores))
        # Possible, all of them: what the model rules out may be all that the type allows.
        logs = scores[:, :-1, :size].float().log_softmax(-1).clamp(min=_UNLIKELY)
        rows = log_probs_of(kept(logs.flatten(0, 1)), None)
        spans = [slice(i * self.length, (i + 1) * self.length) for i in every]
        found = [self._posterior(rows[spans[i]], self._witnesses[i]) for i in every]
        together = [posterior for posterior in found if posterior is not None]
        add_up(together)
        find_best(together)
        out = torch.full_like(scores, -torch.inf, dtype=torch.float32)  # _LIFT is lost in halves
        out[:, -1, self.eos] = 0.0
        for i, posterior in enumerate(found):
            if posterior is not None:
                self._witnesses[i] = posterior.best()
                out[i, :-1, :size] = logs[i] + _by_token(posterior, logs.device)
            top = torch.arange(self.length), torch.tensor(self._witnesses[i])
            out[i][top] = out[i, :-1].amax(-1).clamp(min=_UNLIKELY) + _LIFT
        return out

    def _posterior(self, rows: LogProbs, witness: Ints) -> Posterior | None:
        """Of one canvas; None where a search is out of its depth, and the old witness stays."""
        open_ = np.full(self.length, -1, dtype=np.int64)
        try:
            graph = self._graph or self._connect(
                beam_states(self._tokens, self._start, rows, open_, witness, self._slack)
            )
        except LimitError:
            return None
        return Posterior(graph, rows, open_)

    def _connect(self, states: list[int]) -> GapGraph:
        return GapGraph(self._tokens, states, self.length, self._slack)

    def text(self, tokens: Iterable[int]) -> str:
        """The answer in a generated canvas: what stands before the first end token."""
        spelled = self.constraint.vocabulary.tokens
        out = b""
        for token in tokens:
            if int(token) == self.eos:
                break
            out += spelled[int(token)] or b""
        return out.decode()

    def parse(self, tokens: Iterable[int]) -> Any:
        """The typed object in a generated canvas.

        Raises:
            OutputValidationError: If the type's own code refuses it.
        """
        return self.spec.parse(self.text(tokens))


def _by_token(posterior: Posterior, device: torch.device) -> torch.Tensor:
    """Log of (marginal / model probability) of every token, (length, vocab)."""
    weights = np.pad(posterior.atom_log_weights, ((0, 0), (0, 1)), constant_values=NEVER)
    by_atom = torch.tensor(weights, dtype=torch.float32, device=device)
    of_token = torch.from_numpy(posterior.graph.atoms.of_token).to(device)  # -1: the last
    return by_atom[:, of_token]
