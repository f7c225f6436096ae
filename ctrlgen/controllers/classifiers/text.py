"""A small noise-aware classifier with embeddings of its own, and the one in the package."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ctrlgen.errors import ModelError

EMBEDDED = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class ClassifierConfig:
    """What a classifier is made of and made for.

    Args:
        vocab_size: Tokens of the denoiser's vocabulary.
        mask_token_id: Its mask token.
        fill_token_id: Its fill token.
        fingerprint: Of the vocabulary, so that no other is used by mistake.
        attributes: What is told apart: labels by the name of the attribute.
        hidden: Width.
        layers: Transformer layers.
        heads: Attention heads.
    """

    vocab_size: int
    mask_token_id: int
    fill_token_id: int
    fingerprint: str
    attributes: Mapping[str, tuple[str, ...]]
    hidden: int = 64
    layers: int = 2
    heads: int = 4


class TextClassifier(nn.Module):
    """A bidirectional transformer over unfinished text, one softmax an attribute.

    `classifier["rating"]` is a `Classifier` of that attribute's labels.

    Args:
        config: Sizes, tokens and labels.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.hidden)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.hidden, config.heads, 2 * config.hidden, dropout=0.1, batch_first=True,
                norm_first=True, activation="gelu",
            )
            for _ in range(config.layers)
        )  # fmt: skip
        self.norm = nn.LayerNorm(config.hidden)
        self.attention = nn.Linear(config.hidden, 1)
        self.head = nn.Linear(config.hidden, sum(map(len, config.attributes.values())))

    def __getitem__(self, attribute: str) -> Attribute:
        """The classifier of one attribute."""
        if attribute not in self.config.attributes:
            raise KeyError(
                f"there is no attribute {attribute!r}; there are: "
                + ", ".join(self.config.attributes)
            )
        return Attribute(self, attribute)

    def forward(self, embedded: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Logits of all labels of all attributes, (batch, labels)."""
        state = embedded + _positions(embedded.shape[1], embedded.shape[2]).to(embedded)
        for layer in self.layers:
            state = layer(state, src_key_padding_mask=~seen)
        state = self.norm(state)
        # Pooling by attention, not by a maximum: guidance needs a gradient at every position.
        weights = self.attention(state)[..., 0].masked_fill(~seen, -math.inf).softmax(dim=1)
        logits: torch.Tensor = self.head((weights[..., None] * state).sum(dim=1))
        return logits

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors, in half precision."""
        folder.mkdir(parents=True, exist_ok=True)
        config = json.dumps(asdict(self.config), indent=2)
        (folder / "config.json").write_text(config + "\n", encoding="utf-8")
        weights = {name: w.half().contiguous() for name, w in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path | str = EMBEDDED) -> TextClassifier:
        """The classifier in a folder; the one for the embedded model if none is named.

        That one tells, of a restaurant's description, `rating` (low, average, high, unsaid) and
        `family_friendly` (yes, no, unsaid).

        Raises:
            ModelError: If there is none.
        """
        folder = Path(folder)
        try:
            given = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            attributes = {name: tuple(labels) for name, labels in given["attributes"].items()}
            classifier = cls(ClassifierConfig(**(given | {"attributes": attributes})))
            weights = load_file(folder / "model.safetensors")
            classifier.load_state_dict({name: w.float() for name, w in weights.items()})
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"cannot load a classifier from {folder}: {error}",
                hint="`ctrlgen train classifier` writes such a folder",
            ) from error
        return classifier.eval()


class Attribute:
    """One attribute of a `TextClassifier`, as a `Classifier`."""

    noise_aware = True

    def __init__(self, classifier: TextClassifier, name: str) -> None:
        self.classifier, self.name = classifier, name
        names = list(classifier.config.attributes)
        sizes = [len(labels) for labels in classifier.config.attributes.values()]
        start = sum(sizes[: names.index(name)])
        self._columns = slice(start, start + sizes[names.index(name)])

    @property
    def labels(self) -> tuple[str, ...]:
        """What it tells apart."""
        return self.classifier.config.attributes[self.name]

    @property
    def embeddings(self) -> torch.Tensor:
        """Embedding of every token, (vocab, hidden)."""
        return self.classifier.embedding.weight.detach()

    def check(self, fingerprint: str) -> None:
        """Refuse any vocabulary but its own."""
        if fingerprint != self.classifier.config.fingerprint:
            raise ModelError(
                "the classifier was made for another tokenizer than the model's",
                hint="train one with `ctrlgen train classifier --model ...`",
            )

    def __call__(self, embedded: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the labels, (batch, labels)."""
        return torch.log_softmax(self.classifier(embedded, seen)[:, self._columns], dim=1)


def _positions(length: int, hidden: int) -> torch.Tensor:
    """Sinusoids, (length, hidden): any length works, and no weights are spent on them."""
    rates = torch.exp(torch.arange(0, hidden, 2) * (-math.log(1000.0) / hidden))
    angles = torch.arange(length)[:, None] * rates
    return 0.3 * torch.cat([angles.sin(), angles.cos()], dim=1)
