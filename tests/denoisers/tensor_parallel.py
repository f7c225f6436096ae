"""One of several processes that share a model; rank 0 writes down what it computes.

python -m tests.denoisers.tensor_parallel FOLDER...    # started by test_tensor_parallel.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from transformers.distributed import DistributedConfig

import ctrlgen
from ctrlgen.denoisers import TransformersDenoiser, load
from tests.denoisers import gemma

PROMPT = "two words"
CACHE = "dual"


def computed(denoiser: TransformersDenoiser, cached: TransformersDenoiser) -> dict[str, object]:
    """Logits of two sequences, those of a cache in two steps, and an answer."""
    ids = np.random.default_rng(0).integers(5, 250, size=(2, 12))
    changed = [*ids[0, :4].tolist(), *[2] * 8]
    steps = [changed, [*changed[:5], 40, *changed[6:]]]
    asked = [i for i, token in enumerate(steps[1]) if token == 2]
    answer = ctrlgen.Generator(ctrlgen.Model(denoiser), list[int], steps=3, max_new_tokens=20)
    return {
        "logits": denoiser.logits(ids),
        "cached": [torch.as_tensor(np.asarray(cached([step], [asked])[0])) for step in steps],
        "answer": answer(PROMPT),
    }


def main() -> None:
    """Compute the same in all processes."""
    torch.set_num_threads(1)
    for folder in map(Path, sys.argv[1:]):
        plan = DistributedConfig(tp_plan="auto")
        options = {"distributed_config": plan, "dtype": "float32", "tokenizer": gemma.tokenizer()}
        denoiser, cached = load(folder, **options), load(folder, cache=CACHE, **options)
        shards = [p for p in denoiser.model.parameters() if hasattr(p, "to_local")]
        assert any(p.to_local().numel() < p.numel() for p in shards), "nothing is shared"
        out = computed(denoiser, cached)
        if os.environ["RANK"] == "0":
            torch.save(out, folder / "out.pt")


if __name__ == "__main__":
    main()
