"""Shadows against a pass of its own for each hidden token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.denoisers import TransformersDenoiser

MASK = 59


def denoiser(layers: int, shift: bool) -> TransformersDenoiser:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=layers,
        num_attention_heads=4, max_position_embeddings=64,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    found = TransformersDenoiser(model, mask_token_id=MASK, fill_token_id=0, shift=shift)
    found.vocabulary = Vocabulary([bytes([i]) for i in range(60)])
    return found


def batch() -> tuple[list[list[int]], list[list[int]]]:
    rng = np.random.default_rng(1)
    sequences = [rng.integers(1, 58, size=n).tolist() for n in (9, 6)]
    sequences[0][4] = MASK
    return sequences, [[2, 4, 5, 8], [3, 5]]


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_masked_positions_are_predicted_as_ever(layers: int, shift: bool) -> None:
    model = denoiser(layers, shift)
    sequences, asked = batch()
    plain, shadowed = model(sequences, asked), model.leave_one_out(sequences, asked)
    np.testing.assert_allclose(shadowed[0][1], plain[0][1], atol=1e-4)


@pytest.mark.parametrize("shift", [False, True])
def test_one_layer_is_exact(shift: bool) -> None:
    model = denoiser(1, shift)
    sequences, asked = batch()
    found = model.leave_one_out(sequences, asked)
    for sequence, row, logits in zip(sequences, asked, found, strict=True):
        for position, mine in zip(row, logits, strict=True):
            hidden = [MASK if i == position else t for i, t in enumerate(sequence)]
            (alone,) = model([hidden], [[position]])
            if not shift:
                np.testing.assert_allclose(mine, alone[0], atol=1e-4)
            other = [(t + 1) % 58 if i == position else t for i, t in enumerate(sequence)]
            if sequence[position] != MASK:
                changed = model.leave_one_out([other], [[position]])
                np.testing.assert_allclose(mine, changed[0][0], atol=1e-4)
                seen = model([other], [[position]])[0][0] - model([sequence], [[position]])[0][0]
                assert np.abs(seen).max() > 1e-3
