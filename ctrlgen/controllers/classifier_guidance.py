"""Classifier guidance: log p(label | canvas) pulls at the logits.

D-CBG and TAG (arXiv:2412.10193, arXiv:2406.01572): position i at token v is worth

    logits[i, v] + scale * (log p(y | z with v at i) - log p(y | z))

Exact, that is a classifier pass for every position and token. The first-order form needs one
forward and one backward pass: with g the gradient by the embedding at i, the difference is about
g . (E[v] - e[i]). Here the first-order form is used everywhere, and replaced by the exact one for
the likeliest tokens at the positions that are about to commit, which are the ones that count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ctrlgen.canvas import Canvas
from ctrlgen.constraints.atoms import Floats, Ints
from ctrlgen.controllers.classifiers.base import Classifier
from ctrlgen.controllers.fields import Region, regions
from ctrlgen.errors import OptionError

MOST = 80.0
"""No logit moves by more: exp(80) is more than any model's confidence."""

CHUNK = 256
"""Texts that the classifier reads at once."""


class ClassifierGuidance:
    """Steers text towards a label. Several at once: several controllers, each with its scale.

    Args:
        classifier: Says how likely the label is.
        label: The wanted one.
        scale: Power to which p(label | text) counts; 0 leaves the logits as they are, below 0
            steers away.
        fields: JSON pointers of the values to steer, each a text of its own; `*` is any key or
            index. None: the whole answer is one text.
        top_k: Tokens a position for which the difference is exact.
        positions: Positions a step and region for which it is; None for all.

    Raises:
        OptionError: If the classifier does not know the label, or a number makes no sense.
    """

    def __init__(
        self,
        classifier: Classifier,
        label: str,
        *,
        scale: float = 1.0,
        fields: str | Sequence[str] | None = None,
        top_k: int = 20,
        positions: int | None = 4,
    ) -> None:
        if label not in classifier.labels:
            raise OptionError(f"no label {label!r}; there are: {', '.join(classifier.labels)}")
        if top_k < 0 or (positions is not None and positions < 0):
            raise OptionError("top_k and positions must not be negative")
        self.classifier, self.label, self.scale = classifier, label, scale
        self.fields = [fields] if isinstance(fields, str) else fields
        self.top_k, self.positions = top_k, positions
        self._column = classifier.labels.index(label)
        self._embeddings = classifier.embeddings.float()

    def __call__(self, canvas: Canvas, logits: Floats) -> Floats:
        """Logits with the classifier's opinion added, (positions, vocab)."""
        found = regions(canvas, self.fields)
        if self.scale == 0 or not found:
            return logits
        self.classifier.check(canvas.scaffold.constraint.vocabulary.fingerprint)
        out = np.array(logits, dtype=np.float64)
        for region in found:
            rows = region.rows[region.open]
            seen = out[rows]
            seen[:, canvas.mask] = -np.inf  # never an answer
            change = self.scale * self.differences(region, seen, canvas.scaffold.fill)
            out[rows, : change.shape[1]] += np.clip(change, -MOST, MOST)
        return out

    def differences(self, region: Region, logits: Floats, fill: int) -> Floats:
        """What each token changes log p(label | region) by, (open positions, vocab).

        Args:
            region: The text.
            logits: At its open positions, (open positions, vocab).
            fill: The fill token.
        """
        where = torch.from_numpy(np.flatnonzero(region.open)).to(self._embeddings.device)
        embedded = self._embedded(region, where, logits)
        seen = torch.ones(len(region.ids), dtype=torch.bool, device=embedded.device)
        if not self.classifier.noise_aware:
            seen &= ~torch.from_numpy(region.fill).to(seen.device)
        now, change = self._first_order(embedded, seen, where, logits.shape[1])
        if not self.classifier.noise_aware:
            change[:, fill] = 0.0  # a position that is no longer there has no gradient
        exact = self._about_to_commit(logits, change, fill)
        if self.top_k and len(exact):
            chosen = [self._candidates(logits[row], change[row]) for row in exact]
            rows, tokens = np.repeat(exact, len(chosen[0])), np.concatenate(chosen)
            found = self._exact(embedded, seen, where[torch.from_numpy(rows)], tokens, fill)
            change[rows, tokens] = found - now
        return change

    def _embedded(self, region: Region, where: torch.Tensor, logits: Floats) -> torch.Tensor:
        """What the classifier sees, (length, hidden)."""
        embedded = self._embeddings[torch.from_numpy(region.ids).to(self._embeddings.device)]
        if not self.classifier.noise_aware:
            width = min(logits.shape[1], len(self._embeddings))
            shares = torch.from_numpy(logits[:, :width]).softmax(dim=1)  # in double: no overflow
            embedded[where] = shares.to(self._embeddings) @ self._embeddings[:width]
        return embedded

    def _first_order(
        self, embedded: torch.Tensor, seen: torch.Tensor, where: torch.Tensor, vocab: int
    ) -> tuple[float, Floats]:
        """Of log p(label | text) its value, and its first-order change by each token."""
        with torch.enable_grad():
            leaf = embedded.clone().requires_grad_()
            log_p = self.classifier(leaf[None], seen[None])[0, self._column]
            (gradient,) = torch.autograd.grad(log_p, leaf)
        now = float(log_p.detach())
        pull = gradient[where]
        change = pull @ self._embeddings[:vocab].T - (pull * embedded[where]).sum(
            dim=1, keepdim=True
        )
        # No token can make the label more than certain, whatever the tangent says.
        bounded = change.clamp(max=max(0.0, -now))
        return now, bounded.double().cpu().numpy()

    def _about_to_commit(self, logits: Floats, change: Floats, fill: int) -> Ints:
        """Rows where guided confidence is highest and something is written."""
        if self.positions is None:
            return np.arange(len(logits))
        guided = logits[:, : change.shape[1]] + self.scale * change
        with np.errstate(invalid="ignore"):  # rows without a finite logit are the loop's error
            guided = guided - guided.max(axis=1, keepdims=True)
        confidence = 1.0 / np.exp(guided).sum(axis=1)
        confidence[guided.argmax(axis=1) == fill] = -1.0
        order: Ints = np.argsort(-confidence, kind="stable")[: self.positions]
        return np.extract(confidence[order] >= 0, order)

    def _candidates(self, logits: Floats, change: Floats) -> Ints:
        """The likeliest tokens of a row: half by the model, half after the first-order step."""
        likely = logits[: len(change)]
        k = min(self.top_k, len(change))
        by_model = np.argsort(-likely, kind="stable")
        guided = np.argsort(-(likely + self.scale * change), kind="stable")
        first = by_model[: k - k // 2]
        rest = guided[~np.isin(guided, first)]
        return np.concatenate([first, rest[: k // 2]])

    @torch.no_grad()
    def _exact(
        self,
        embedded: torch.Tensor,
        seen: torch.Tensor,
        where: torch.Tensor,
        tokens: Ints,
        fill: int,
    ) -> Floats:
        """Values of log p(label | text) with one token at one position each, (tokens,)."""
        chosen, out = torch.from_numpy(tokens).to(where.device), []
        for start in range(0, len(chosen), CHUNK):
            at, new = where[start : start + CHUNK], chosen[start : start + CHUNK]
            row = torch.arange(len(at), device=at.device)
            texts, masks = embedded.repeat(len(at), 1, 1), seen.repeat(len(at), 1)
            texts[row, at] = self._embeddings[new]
            if not self.classifier.noise_aware:
                masks[row, at] = new != fill
            found = self.classifier(texts, masks)[:, self._column]
            out.append(found.double().cpu().numpy())
        return np.concatenate(out)
