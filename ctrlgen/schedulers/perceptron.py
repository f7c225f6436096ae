"""A small perceptron in numpy: what a learned scheduler or block controller decides with.

It runs once a step on a few numbers, where loading torch would cost more than all of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ctrlgen.errors import ModelError
from ctrlgen.schedulers.base import Floats


@dataclass(frozen=True, eq=False)
class Perceptron:
    """Layers of tanh units on standardised features, and one linear output.

    Args:
        mean: Of each feature, (features,).
        scale: What a feature is divided by, (features,).
        layers: Matrix (inputs, outputs) and bias (outputs,) of each layer; the last has one output.
        made_by: How it was trained; goes into config.json.
    """

    mean: Floats
    scale: Floats
    layers: tuple[tuple[Floats, Floats], ...]
    made_by: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def drawn(cls, features: int, hidden: tuple[int, ...], rng: np.random.Generator) -> Perceptron:
        """One with random weights, that says 0 of everything."""
        sizes = (features, *hidden, 1)
        layers = [(rng.normal(size=(a, b)) / np.sqrt(a), np.zeros(b)) for a, b in pairwise(sizes)]
        layers[-1] = (np.zeros((sizes[-2], 1)), np.zeros(1))
        return cls(np.zeros(features), np.ones(features), tuple(layers))

    def __call__(self, features: Floats) -> Floats:
        """The output for each row; (rows, features) to (rows,)."""
        state = (features - self.mean) / self.scale
        for i, (weight, bias) in enumerate(self.layers):
            state = (np.tanh(state) if i else state) @ weight + bias
        return np.asarray(state[:, 0])

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        return sum(weight.size + bias.size for weight, bias in self.layers)

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.made_by, indent=2, ensure_ascii=False)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")
        arrays = {"mean": self.mean, "scale": self.scale}
        for i, (weight, bias) in enumerate(self.layers):
            arrays |= {f"weight{i}": weight, f"bias{i}": bias}
        flat = {name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}
        save_file(flat, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path, features: int) -> Perceptron:
        """The perceptron in a folder.

        Args:
            folder: Where `save` wrote.
            features: How many it must take.

        Raises:
            ModelError: If there is none, or one for other features.
        """
        try:
            made_by = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            arrays = {
                k: a.astype(float) for k, a in load_file(folder / "model.safetensors").items()
            }
            count = sum(name.startswith("weight") for name in arrays)
            layers = tuple((arrays[f"weight{i}"], arrays[f"bias{i}"]) for i in range(count))
            found = cls(arrays["mean"], arrays["scale"], layers, made_by)
            found(np.zeros((1, features)))
        except (OSError, ValueError, KeyError, IndexError, SafetensorError) as error:
            raise ModelError(
                f"cannot load a policy from {folder}: {error}",
                hint="`ctrlgen train` writes such a folder; features differ between versions",
            ) from error
        return found


@cache
def load_policy(folder: Path, features: int) -> Perceptron:
    """The policy in a folder that `ctrlgen train` wrote, read once; see `Perceptron.load`."""
    return Perceptron.load(folder, features)
