"""Quantised weights, through transformers' own quantisers."""

import pytest
import torch

from ctrlgen.denoisers import load
from ctrlgen.errors import ModelError
from tests.denoisers import fixtures
from tests.denoisers.test_families import BLOCKS, ByteVocabulary

pytest.importorskip("torchao")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def weight_only(bits):
    """A quantisation of weights that runs on a processor."""
    from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerGroup
    from transformers import TorchAoConfig

    int4 = IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(16))
    return TorchAoConfig(Int8WeightOnlyConfig() if bits == 8 else int4)


@pytest.mark.parametrize(("bits", "agreement"), [(8, 0.999), (4, 0.8)])
@pytest.mark.parametrize("name", ["llada", "dream", "sdar"])
def test_quantised_weights_say_nearly_the_same(name, bits, agreement, tmp_path):
    folder, blocks = fixtures.write(name, tmp_path), BLOCKS.get(name)
    plain = load(folder, block_length=blocks)
    small = load(folder, block_length=blocks, quantization_config=weight_only(bits))
    assert type(small.model.model.layers[0].self_attn.q_proj.weight) is not torch.nn.Parameter
    both = [d.logits(fixtures.tokens()).flatten() for d in (plain, small)]
    assert agreement < torch.corrcoef(torch.stack(both))[0, 1] < 0.99999


def test_a_quantised_model_can_have_a_cache(tmp_path):
    folder = fixtures.write("sdar", tmp_path)
    plain, cached = (
        load(folder, mask_token_id=62, quantization_config=weight_only(8), cache=cache)
        for cache in (None, "block")
    )
    ids = [[1, 2, 3, 4, 5, 62, 62, 62, 62]]
    for denoiser in (plain, cached):
        denoiser.vocabulary = ByteVocabulary()
    for written in (5, 6, 7):
        (ours,), (theirs,) = cached(ids, [[5, 8]]), plain(ids, [[5, 8]])
        assert abs(ours - theirs).max() < 1e-4
        ids[0][written] = 9


def test_fused_tensors_are_not_quantised_as_they_are_read(tmp_path):
    with pytest.raises(ModelError, match="quantize_"):
        load(fixtures.write("llada2", tmp_path), quantization_config=weight_only(8))
