"""Training of a noise-aware classifier: the text is hidden behind masks at every rate.

A classifier that never saw masks cannot guide (methods: arXiv:2406.01572, arXiv:2412.10193), so
each example is shown as a denoiser shows it on the way: in quotes or not, with fill behind the
value, and a share of its positions masked that is drawn anew each time, from none to all.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ctrlgen.controllers.classifiers.text import ClassifierConfig, TextClassifier

LABEL = "label"
"""Name of the attribute when rows have one label only."""

CLEAN = 0.15
"""Share of examples that are shown finished."""

QUOTED = 0.3
"""Share of examples that are shown as a JSON string."""

OFTEN = 5
"""Texts that a token must stand in for the classifier to have an opinion on it."""

MOST_FILL = 16
"""Most fill tokens behind a text."""


@dataclass(frozen=True)
class LabelledText:
    """A text and its label for each attribute that is known."""

    text: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        epochs: Times that every text is seen.
        batch_size: Texts a step.
        learning_rate: Of AdamW, at its height; it falls to zero in a half cosine.
        max_length: Tokens of a text; the rest is cut off.
        seed: Of the initial weights, the order and the masks.
    """

    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 3e-3
    max_length: int = 256
    seed: int = 0


def read_labelled(path: Path) -> list[LabelledText]:
    """Rows of a JSONL file, gzipped or not: `text`, and `label`: a string, or labels by attribute.

    Raises:
        ValueError: If a row is something else; the message says which.
    """
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "rt", encoding="utf-8") as lines:
        rows = [_row(line, f"{path}:{i}") for i, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise ValueError(f"{path} holds no rows")
    return rows


def _row(line: str, where: str) -> LabelledText:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    text, label = (row.get("text"), row.get("label")) if isinstance(row, dict) else (None, None)
    labels = {LABEL: label} if isinstance(label, str) else label
    if not isinstance(text, str) or not isinstance(labels, dict) or not labels:
        raise ValueError(f'{where}: a row must be {{"text": "...", "label": "..."}}')
    if not all(isinstance(value, str) for value in labels.values()):
        raise ValueError(f"{where}: every label must be a string")
    return LabelledText(text, labels)


def attributes_of(rows: Sequence[LabelledText]) -> dict[str, tuple[str, ...]]:
    """The labels of every attribute, sorted.

    Raises:
        ValueError: If an attribute has one label only.
    """
    names = sorted({name for row in rows for name in row.labels})
    found = {
        name: tuple(sorted({row.labels[name] for row in rows if name in row.labels}))
        for name in names
    }
    for name, labels in found.items():
        if len(labels) < 2:
            raise ValueError(f"all rows have the same {name}, {labels[0]!r}: nothing to tell apart")
    return found


class Corpus:
    """Labelled texts as tokens of one vocabulary.

    Args:
        rows: The texts.
        encode: A denoiser's own tokenization.
        config: Tokens and labels.
        max_length: Tokens of a text; the rest is cut off.
    """

    def __init__(
        self,
        rows: Sequence[LabelledText],
        encode: Callable[[str], list[int]],
        config: ClassifierConfig,
        max_length: int,
    ) -> None:
        self.config = config
        self.bare = [encode(row.text)[:max_length] for row in rows]
        quoted = [json.dumps(row.text, ensure_ascii=False) for row in rows]
        self.quoted = [encode(text)[:max_length] for text in quoted]
        # Label number by attribute; -1 where it is not known, and does not count.
        self.labels = torch.tensor(
            [
                [
                    labels.index(row.labels[name]) if row.labels.get(name) in labels else -1
                    for name, labels in config.attributes.items()
                ]
                for row in rows
            ]
        )

    def __len__(self) -> int:
        return len(self.bare)

    def noisy(self, index: int, rate: float, rng: random.Random) -> list[int]:
        """One text as a denoiser shows it when a share of the canvas is open."""
        ids = self.quoted[index] if rng.random() < QUOTED else self.bare[index]
        ids = ids + [self.config.fill_token_id] * rng.randint(0, MOST_FILL)
        return [self.config.mask_token_id if rng.random() < rate else i for i in ids]


def train(classifier: TextClassifier, corpus: Corpus, recipe: Recipe) -> Iterator[float]:
    """Train in place; yields the loss after every step, `epochs * ceil(rows / batch_size)` times.

    Args:
        classifier: What to train.
        corpus: Its texts.
        recipe: How.
    """
    rng = random.Random(recipe.seed)
    torch.manual_seed(recipe.seed)
    steps = recipe.epochs * -(-len(corpus) // recipe.batch_size)
    optimizer = torch.optim.AdamW(classifier.parameters(), recipe.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    classifier.train()
    for _ in range(recipe.epochs):
        order = list(range(len(corpus)))
        rng.shuffle(order)
        for start in range(0, len(order), recipe.batch_size):
            chosen = order[start : start + recipe.batch_size]
            rates = [0.0 if rng.random() < CLEAN else rng.random() for _ in chosen]
            texts = [corpus.noisy(i, r, rng) for i, r in zip(chosen, rates, strict=True)]
            loss = _loss(classifier, texts, corpus.labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            yield float(loss.detach())
    silence_rare(classifier, corpus)
    classifier.eval()


@torch.no_grad()
def silence_rare(classifier: TextClassifier, corpus: Corpus) -> None:
    """Give tokens that training hardly showed the embedding of the mask: they change nothing.

    What their embeddings hold is the noise that they began with, and guidance, which asks about
    every token of the vocabulary, would find the noise that suits it best.
    """
    counts = torch.zeros(corpus.config.vocab_size, dtype=torch.long)
    for bare, quoted in zip(corpus.bare, corpus.quoted, strict=True):
        counts[sorted({*bare, *quoted})] += 1
    mask, fill = corpus.config.mask_token_id, corpus.config.fill_token_id
    rare = counts < min(OFTEN, len(corpus))
    rare[[mask, fill]] = False
    weights = classifier.embedding.weight
    weights[rare] = weights[mask].clone()


def _logits(classifier: TextClassifier, texts: Sequence[list[int]]) -> list[torch.Tensor]:
    """Logits of each attribute, (texts, labels)."""
    length = max(1, *map(len, texts))
    ids = torch.full((len(texts), length), classifier.config.fill_token_id)
    seen = torch.zeros(len(texts), length, dtype=torch.bool)
    seen[:, 0] = True  # a text without tokens is one fill
    for i, text in enumerate(texts):
        ids[i, : len(text)] = torch.tensor(text, dtype=torch.long)
        seen[i, : len(text)] = True
    sizes = [len(labels) for labels in classifier.config.attributes.values()]
    return list(classifier(classifier.embedding(ids), seen).split(sizes, dim=1))


def _loss(
    classifier: TextClassifier, texts: Sequence[list[int]], labels: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy, the sum over attributes of the mean over the texts whose label is known."""
    loss = torch.zeros(())
    for i, logits in enumerate(_logits(classifier, texts)):
        if bool((labels[:, i] >= 0).any()):
            loss = loss + torch.nn.functional.cross_entropy(logits, labels[:, i], ignore_index=-1)
    return loss


@torch.no_grad()
def accuracy(
    classifier: TextClassifier, corpus: Corpus, rate: float, seed: int = 0
) -> dict[str, float]:
    """Share of texts whose likeliest label is right, by attribute, at one rate of masks."""
    rng, batch = random.Random(seed), 256
    right = torch.zeros(corpus.labels.shape[1])
    for start in range(0, len(corpus), batch):
        chosen = range(start, min(start + batch, len(corpus)))
        texts = [corpus.noisy(i, rate, rng) for i in chosen]
        found = torch.stack([x.argmax(dim=1) for x in _logits(classifier, texts)], dim=1)
        right += (found == corpus.labels[start : start + len(chosen)]).sum(dim=0)
    known = (corpus.labels >= 0).sum(dim=0).clamp(min=1)
    return dict(zip(classifier.config.attributes, (right / known).tolist(), strict=True))


def project(weights: torch.Tensor, hidden: int) -> torch.Tensor:
    """A model's embeddings on their `hidden` main directions, scaled for a `TextClassifier`."""
    wide = weights.detach().float()
    left, scales, _ = torch.svd_lowrank(wide - wide.mean(dim=0), q=min(hidden, *wide.shape))
    found = left * scales
    out = torch.zeros(len(wide), hidden)
    out[:, : found.shape[1]] = 0.3 * found / found.std()
    return out
