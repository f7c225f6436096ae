"""Every family on a small checkpoint in its published format, against its published code.

The published code was run outside this repository on the checkpoints and tokens of `fixtures.py`;
the golden files hold its logits, shifted where the family shifts (docs/models.md).
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from ctrlgen.denoisers import TransformersDenoiser, load
from ctrlgen.denoisers.checkpoints import class_named
from ctrlgen.denoisers.families import find
from tests.denoisers import fixtures

GOLDEN = Path(__file__).parent / "golden"
ORACLES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
BLOCKS = {"llada2": 4, "sdar": 4, "sdar_moe": 4, "fast_dllm_v2": 8, "bd3lm": 4}
SHIFTED = {"dream", "fast_dllm_v2"}


@pytest.fixture(scope="module")
def denoisers(tmp_path_factory):
    root, loaded = tmp_path_factory.mktemp("checkpoints"), {}

    def get(name: str) -> TransformersDenoiser:
        if name not in loaded:
            folder = fixtures.write(name, root / name)
            loaded[name] = load(folder, block_length=BLOCKS.get(name), mask_token_id=62)
        return loaded[name]

    return get


@pytest.mark.parametrize("name", ORACLES)
def test_logits_are_those_of_the_published_code(denoisers, name):
    with np.load(GOLDEN / f"{name}.npz") as golden:
        expected = golden["logits"]
    logits = denoisers(name).logits(fixtures.tokens()).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-5)


def test_only_the_moe_of_sdar_has_no_oracle():
    assert set(fixtures.CHECKPOINTS) - set(ORACLES) == {"sdar_moe"}


@pytest.mark.parametrize("name", fixtures.CHECKPOINTS)
def test_shards_say_the_same(denoisers, name, tmp_path):
    whole = denoisers(name)
    parts = load(fixtures.write(name, tmp_path, shards=3), block_length=whole.block_length)
    theirs = whole.model.state_dict()
    assert all(torch.equal(w, theirs[n]) for n, w in parts.model.state_dict().items())


@pytest.mark.parametrize("name", fixtures.CHECKPOINTS)
def test_positions_see_what_their_family_sees(denoisers, name):
    """Change one token and see which predictions move."""
    denoiser, changed = denoisers(name), 9
    ids = fixtures.tokens()[:1]
    other = ids.copy()
    other[0, changed] = (other[0, changed] + 1) % 60
    change = (denoiser.logits(ids) - denoiser.logits(other)).abs().amax(-1)[0]
    first = 0 if name not in BLOCKS else changed - changed % BLOCKS[name]
    if name in SHIFTED and first:
        first += 1  # the first of a block is predicted from the block before
    sees = torch.arange(fixtures.LENGTH) >= first
    assert change[sees].min() > 1e-2
    # Experts group the tokens of all positions, and groups of other sizes round differently.
    assert change[~sees].max() < 1e-5 if first else sees.all()


@pytest.mark.parametrize("name", fixtures.CHECKPOINTS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_padded_batch_is_as_one_by_one(denoisers, name, attention, tmp_path):
    if attention == "eager" and name in ("mdlm", "bd3lm"):
        pytest.skip("our DiT knows sdpa only")
    denoiser = load(
        fixtures.write(name, tmp_path), attn_implementation=attention,
        block_length=BLOCKS.get(name), mask_token_id=62,
    )  # fmt: skip
    denoiser.vocabulary = ByteVocabulary()
    rng = np.random.default_rng(3)
    sequences = [rng.integers(0, 60, size=n).tolist() for n in (5, 12, 8, 1)]
    asked = [[0, 4], [3, 11, 7], list(range(8)), [0]]
    together = denoiser(sequences, asked)
    for sequence, where, rows in zip(sequences, asked, together, strict=True):
        (alone,) = denoiser([sequence], [where])
        np.testing.assert_allclose(rows, alone, atol=1e-4)
        if name not in BLOCKS:  # blocks are filled up with masks first
            direct = denoiser.logits([sequence])[0, where]
            np.testing.assert_allclose(rows, direct.double().numpy(), atol=1e-4)


class ByteVocabulary:
    """As wide as the fixtures' logits."""

    size = fixtures.VOCAB
    tokens = (b"x",) * fixtures.VOCAB


def test_an_incomplete_block_is_filled_up_with_masks(denoisers):
    denoiser = denoisers("sdar")
    denoiser.vocabulary = ByteVocabulary()
    (rows,) = denoiser([[1, 2, 3, 4, 5, 62]], [[5]])
    full = denoiser.logits([[1, 2, 3, 4, 5, 62, 62, 62]])[0, 5]
    np.testing.assert_allclose(rows[0], full.double().numpy(), atol=1e-6)


QWEN_7B = {
    "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "rope_theta": 1e6,
    "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "max_position_embeddings": 32768, "tie_word_embeddings": False, "rms_norm_eps": 1e-6,
}  # fmt: skip
PUBLISHED = {
    "llada": (
        {
            "d_model": 4096, "n_heads": 32, "n_kv_heads": 32, "n_layers": 32,
            "mlp_hidden_size": 12288, "max_sequence_length": 4096, "vocab_size": 126464,
            "embedding_size": 126464, "rope_theta": 500000.0,
        },
        8.02,
    ),
    "llada_moe": (
        {
            "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 16,
            "num_key_value_heads": 16, "num_experts": 64, "num_experts_per_tok": 8,
            "expert_intermediate_size": 1024, "moe_layer_freq": [1] * 16, "vocab_size": 157184,
        },
        7.36,
    ),
    "llada2": (
        {
            "hidden_size": 2048, "intermediate_size": 5120, "num_hidden_layers": 20,
            "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128,
            "moe_intermediate_size": 512, "num_experts": 256, "num_experts_per_tok": 8,
            "n_group": 8, "topk_group": 4, "vocab_size": 157184, "rope_theta": 600000,
        },
        16.26,
    ),
    "sdar": (
        {
            "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
            "vocab_size": 151936, "max_window_layers": 36,
        },
        4.41,
    ),
    "dream": (QWEN_7B, 7.62),
    "fast_dllm_v2": (QWEN_7B, 7.62),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_have_the_published_number_of_parameters(name):
    """LLaDA-8B, LLaDA-MoE-7B-A1B, LLaDA2.1-mini, SDAR-4B, Dream-7B, Fast_dLLM_v2_7B; no weights."""
    entries, billions = PUBLISHED[name]
    config = {k: v for k, v in fixtures.CHECKPOINTS[name][0].items() if not k.endswith("token_id")}
    published = config | entries
    family = find(published)
    cls = class_named(family.model_class)
    with torch.device("meta"):
        model = cls(cls.config_class(**family.configure(published)))
    assert round(model.num_parameters() / 1e9, 2) == billions
    assert family.mask_token_id < model.config.vocab_size


def test_half_precision_and_the_published_dtype(tmp_path):
    folder = fixtures.write("llada2", tmp_path)
    assert load(folder).model.dtype == torch.float32
    half = load(folder, dtype=torch.bfloat16)
    assert half.model.dtype == torch.bfloat16
    assert half.logits(fixtures.tokens()).isfinite().all()


def test_a_device_map_places_the_layers(denoisers, tmp_path):
    pytest.importorskip("accelerate")
    mapped = load(fixtures.write("dream", tmp_path), device_map={"": "cpu"})
    ids = fixtures.tokens()
    torch.testing.assert_close(mapped.logits(ids), denoisers("dream").logits(ids))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cache"),
    [
        ("llada", None),
        ("llada2", None),
        ("sdar", "block"),
        ("dream", "dual"),
        ("llada", "interval"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_says_the_same(denoisers, name, cache, tmp_path):
    folder, blocks = fixtures.write(name, tmp_path), BLOCKS.get(name)
    plain, compiled = (
        load(folder, block_length=blocks, mask_token_id=62, cache=cache) for _ in range(2)
    )
    compiled.model.compile(backend="eager")  # graphs are traced, and run as they are
    ids = fixtures.tokens()[0].tolist()
    for denoiser in (plain, compiled):
        denoiser.vocabulary = ByteVocabulary()
    for written in (8, 9):
        (ours,), (theirs,) = compiled([ids], [[8, 9, 10]]), plain([ids], [[8, 9, 10]])
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        ids[written] = 3
