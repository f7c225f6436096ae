"""Rotary embeddings for a longer context, against the published factors."""

import math

import numpy as np
import pytest
import torch

from ctrlgen.denoisers import load
from ctrlgen.denoisers.long_context import ntk_factor
from ctrlgen.errors import ModelError
from tests.denoisers import fixtures


@pytest.mark.parametrize(
    ("tokens", "factor", "shipped"),
    [(8192, 3.40, 4), (16384, 13.60, 14), (24576, 30.6, 31), (32768, 54.4, 55)],
)
def test_the_factors_are_those_of_longllada(tokens, factor, shipped):
    """LLaDA-8B: base 500,000, trained on 4,096 tokens, heads of 128."""
    found = ntk_factor(500_000.0, 4096, tokens, 128)
    assert found == pytest.approx(factor, rel=2e-3)
    assert math.ceil(found) == shipped


def test_llama_3_8b_has_the_published_factors():
    """Base 500,000, 8,192 tokens."""
    found = [math.ceil(ntk_factor(500_000.0, 8192, k * 1024, 128)) for k in (16, 32)]
    assert found == [4, 13]


@pytest.mark.parametrize("name", ["llada", "dream", "llada2"])
def test_a_longer_context_only_changes_the_base(name, tmp_path):
    folder = fixtures.write(name, tmp_path)
    plain, long = (load(folder, mask_token_id=62, max_length=n) for n in (None, 2048))
    base, stretched = (d.model.config.rope_parameters["rope_theta"] for d in (plain, long))
    rotated = fixtures.HEAD // 2 if name == "llada2" else fixtures.HEAD
    assert stretched == base * math.ceil(ntk_factor(base, 64, 2048, rotated)) > base
    assert (plain.max_length, long.max_length) == (64, 2048)
    ids = np.tile(fixtures.tokens(), (1, 15))[:, :190]
    assert long.logits(ids).isfinite().all()
    with torch.device("meta"):
        reference = type(plain.model)(long.model.config)
    assert reference.num_parameters() == long.model.num_parameters()
    exponents = torch.arange(0, rotated, 2) / rotated
    torch.testing.assert_close(long.model.model.rotary_emb.inv_freq, 1 / stretched**exponents)


def test_a_shorter_context_leaves_the_base(tmp_path):
    folder = fixtures.write("llada", tmp_path)
    plain, short = load(folder), load(folder, max_length=32)
    assert short.max_length == 32
    torch.testing.assert_close(plain.logits(fixtures.tokens()), short.logits(fixtures.tokens()))


def test_models_without_rotary_embeddings_of_their_own_are_refused(tmp_path):
    with pytest.raises(ModelError, match="no plain rotary embeddings"):
        load(fixtures.write("mdlm", tmp_path), max_length=4096)
