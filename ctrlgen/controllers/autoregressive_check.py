"""Guided Diffusion: a causal model reads the draft, and what it would have written too commits.

FlashDLM (arXiv:2505.21467): the diffusion model drafts everything, one causal pass over the draft
accepts tokens from left to right as long as they are among its own likeliest, and the first that
is not is replaced by the causal model's token. Here the draft is a joint valid filling, the causal
model chooses among tokens that the constraint allows, pinned and forced tokens need no consent,
and whatever the check says, the draft stays a complete valid answer.

Acceptance is told to the scheduler as a confidence of 1 and everything behind the first refusal
gets 0, so any scheduler with a threshold commits the accepted tokens and no others. Forks, which
always commit as a whole, are not held back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.parts import OPEN, Gap
from ctrlgen.constraints.atoms import Floats
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.controllers.causal import CausalReader
from ctrlgen.controllers.energy_resampling import filled
from ctrlgen.controllers.proposer import Posteriors, propose_each
from ctrlgen.errors import OptionError


class AutoregressiveCheck:
    """A proposer that has the draft checked by a causal model.

    Args:
        reader: The causal model.
        top_k: A token is accepted when it is among so many likeliest ones; 1 is exact agreement.
        ratio: And at least so many times as likely as the likeliest.

    Raises:
        OptionError: If a number makes no sense.
    """

    def __init__(self, reader: CausalReader, *, top_k: int = 5, ratio: float = 0.0) -> None:
        if top_k < 1 or not 0 <= ratio <= 1:
            raise OptionError("top_k must be 1 or more, and ratio within 0 and 1")
        self.reader, self.top_k, self.ratio = reader, top_k, ratio

    def __call__(
        self, canvas: Canvas, posteriors: Posteriors, temperature: float, rng: np.random.Generator
    ) -> None:
        """Draft, read, accept up to the first refusal, and put the reader's token there."""
        self.reader.check(canvas)
        propose_each(canvas, posteriors, temperature, rng)
        checks = self._read(canvas, posteriors)
        going = True
        for (gap, posterior), check in zip(posteriors, checks, strict=True):
            confidence = np.zeros(gap.length)
            confidence[(gap.committed != OPEN) | (posterior.support <= 1)] = 1.0
            if going:
                going = self._accept(gap, posterior, check, confidence)
            gap.confidence = confidence

    def _read(self, canvas: Canvas, posteriors: Posteriors) -> list[_Check]:
        """One causal pass over the draft."""
        view, gaps = canvas.view(), [gap for gap, _ in posteriors]
        ids = filled(view, gaps, [gap.witness for gap in gaps])
        tokens, places = self.reader.read(canvas, ids.tolist())
        (rows,) = self.reader.log_probs([tokens])
        offsets = {place.gap.serial: place.offset for place in view.places}
        checks = []
        for gap in gaps:
            inside = places[offsets[gap.serial] : offsets[gap.serial] + gap.length]
            behind = sum(token != canvas.scaffold.fill for token in gap.witness) + inside[0]
            follower = tokens[behind] if behind < len(tokens) else None
            checks.append(_Check(rows, inside, follower, canvas.scaffold.fill, canvas.mask))
        return checks

    def _accept(self, gap: Gap, posterior: Posterior, check: _Check, confidence: Floats) -> bool:
        """Mark accepted tokens; at the first refusal write the reader's and say so."""
        for i in np.flatnonzero(confidence == 0).tolist():
            scores = check.scores(i)
            if scores is None:  # behind the end, which has been accepted
                confidence[i] = 1.0
                continue
            taken = np.where(np.arange(gap.length) < i, gap.witness, gap.committed)
            allowed = Posterior(posterior.graph, posterior.log_probs, taken).log_marginals[i]
            scores = np.where(np.isfinite(allowed), scores, -np.inf)
            drafted = scores[gap.witness[i]]
            best = int(scores.argmax())
            if not np.isfinite(scores[best]):
                confidence[i] = 1.0  # the reader knows none of the tokens that may stand here
                continue
            enough = drafted >= scores[best] + np.log(self.ratio) if self.ratio else True
            if enough and (scores > drafted).sum() < self.top_k:
                confidence[i] = 1.0
                continue
            taken[i] = best
            gap.witness = Posterior(posterior.graph, posterior.log_probs, taken).best()
            confidence[i] = 1.0
            return False
        return True


@dataclass(frozen=True, eq=False)
class _Check:
    """What the reader says about the positions of one gap.

    Args:
        rows: Log-probabilities at all positions that it read, (length, vocab).
        places: Where it read, or would have read, each position of the gap; (gap length,).
        follower: The token that it read behind the gap, if any: what it writes to end the value.
        fill: The fill token, which it never read.
        mask: The mask token, which is never an answer.
    """

    rows: torch.Tensor
    places: list[int]
    follower: int | None
    fill: int
    mask: int

    def scores(self, i: int) -> Floats | None:
        """Log-probability of each token at position i of the gap, fill standing for the end.

        None where an earlier position is fill already, or nothing was read.
        """
        at = self.places[i]
        if (i > 0 and self.places[i - 1] == at) or at == 0 or at >= len(self.rows):
            return None
        out: Floats = self.rows[at].double().cpu().clone().numpy()
        end = -np.inf if self.follower is None else out[self.follower]
        out[self.mask] = -np.inf
        out[self.fill] = end
        return out
