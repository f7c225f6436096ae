"""Loading: masked language models, tokenizers, and everything that can be wrong with a folder."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

import ctrlgen
from ctrlgen.denoisers import TransformersDenoiser, load
from ctrlgen.errors import ConstraintError, ContextOverflowError, ModelError
from tests.denoisers import fixtures, gemma

SIZES = {
    "vocab_size": 272, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 64, "pad_token_id": 0,
    "eos_token_id": 1, "bos_token_id": 1,
}  # fmt: skip
ENCODERS = {
    "modernbert": lambda: ModernBertForMaskedLM(
        ModernBertConfig(**SIZES, cls_token_id=1, sep_token_id=1, local_attention=8)
    ),
    "roberta": lambda: RobertaForMaskedLM(RobertaConfig(**SIZES)),
    "bert": lambda: BertForMaskedLM(BertConfig(**SIZES)),
}


def loud(model):
    """With weights that make a difference."""
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "norm" not in name.lower() and weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.25)
    return model


@pytest.fixture
def config(tmp_path):
    """A LLaDA checkpoint, and a function that changes its config.json."""
    fixtures.write("llada", tmp_path)

    def change(**entries):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))
        return tmp_path

    return change


# --- masked language models ------------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODERS)
def test_any_masked_language_model_is_a_denoiser(name, tmp_path):
    model = loud(ENCODERS[name]())
    model.save_pretrained(tmp_path)
    gemma.tokenizer().save_pretrained(tmp_path)
    denoiser = load(tmp_path)
    ids = np.random.default_rng(0).integers(5, 250, size=(2, 20))
    with torch.inference_mode():
        expected = model.eval()(input_ids=torch.tensor(ids)).logits
    torch.testing.assert_close(denoiser.logits(ids), expected, atol=2e-5, rtol=0)
    sequences = [ids[0].tolist(), ids[1, :7].tolist(), [0, 0, 60]]  # padding tokens are fill here
    asked = [[0, 19], [3, 6], [0, 2]]
    for sequence, where, rows in zip(sequences, asked, denoiser(sequences, asked), strict=True):
        direct = denoiser.logits([sequence])[0, where, : rows.shape[1]]
        np.testing.assert_allclose(rows, direct.double().numpy(), atol=2e-5)


def test_positions_of_roberta_begin_behind_its_padding_index(tmp_path):
    denoiser = TransformersDenoiser(loud(ENCODERS["roberta"]()), mask_token_id=2)
    assert denoiser.max_length == 63
    assert denoiser.logits(np.full((1, 63), 5)).isfinite().all()


def test_an_encoder_gets_its_frame():
    tokenizer = gemma.tokenizer()
    tokenizer.cls_token, tokenizer.sep_token = "<eos>", "<eos>"
    denoiser = TransformersDenoiser(loud(ENCODERS["bert"]()), tokenizer)
    prompt = denoiser.prompt([{"role": "user", "content": "hi"}], [])
    assert prompt[0] == tokenizer.cls_token_id
    (rows,) = denoiser([[*prompt, 2]], [[len(prompt)]])
    framed = denoiser.logits([[*prompt, 2, tokenizer.sep_token_id]])[0, len(prompt)]
    np.testing.assert_allclose(rows[0], framed[: rows.shape[1]].double().numpy(), atol=2e-5)


# --- tokenizers and generation ---------------------------------------------------------------


def wide(name, folder, monkeypatch):
    """A checkpoint with as many tokens as the tokenizer of bytes has."""
    config, shapes = fixtures.CHECKPOINTS[name]
    shapes = {n: tuple(272 if k == fixtures.VOCAB else k for k in s) for n, s in shapes.items()}
    sizes = dict.fromkeys(("vocab_size", "embedding_size"), 272)
    sizes |= dict.fromkeys(("max_sequence_length", "max_position_embeddings", "model_length"), 256)
    changed = {k: v for k, v in sizes.items() if k in config}
    changed |= {"mask_token_id": 2, "pad_token_id": 0}
    monkeypatch.setitem(fixtures.CHECKPOINTS, name, (config | changed, shapes))
    return fixtures.write(name, folder)


@pytest.mark.parametrize("name", ["llada", "dream", "sdar", "fast_dllm_v2", "llada2", "mdlm"])
def test_a_checkpoint_answers(name, tmp_path, monkeypatch):
    gemma.tokenizer().save_pretrained(wide(name, tmp_path, monkeypatch))
    model = ctrlgen.load(tmp_path)
    generator = ctrlgen.Generator(model, list[int], steps=3, max_new_tokens=20)
    prompts = ["a", "a longer prompt"]
    assert generator.batch(prompts) == [generator(p) for p in prompts]
    with pytest.raises(ContextOverflowError):
        generator("word " * 100)


@pytest.mark.parametrize("first", ["cpu", "disk"])
@pytest.mark.parametrize("cache", [None, "dual"])
def test_a_model_may_lie_in_two_places(first, cache, tmp_path, monkeypatch):
    """Half of it on the disk, from where it is fetched: what a second device does to a model."""
    pytest.importorskip("accelerate")
    folder = wide("llada", tmp_path, monkeypatch)
    gemma.tokenizer().save_pretrained(folder)
    places = {
        "model.embed_tokens": first, "model.rotary_emb": "cpu", "model.layers.0": "cpu",
        "model.layers.1": "disk", "model.norm": "disk", "lm_head": "disk",
    }  # fmt: skip
    whole = load(folder, cache=cache)
    parted = load(folder, cache=cache, device_map=places, offload_folder=str(tmp_path / "there"))
    assert {p.device.type for p in parted.model.parameters()} == {"cpu", "meta"}
    for ids in ([40, 41, 2, 2, 2, 42], [40, 41, 60, 2, 2, 42]):
        asked = [[i for i, token in enumerate(ids) if token == 2]]
        for rows, expected in zip(parted([ids], asked), whole([ids], asked), strict=True):
            np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_a_tokenizer_whose_class_is_remote_code_is_read_as_what_it_is(tmp_path):
    fixtures.write("dream", tmp_path)
    core = json.loads(gemma.tokenizer().backend_tokenizer.to_str())
    (tmp_path / "vocab.json").write_text(json.dumps(core["model"]["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in core["model"]["merges"])
    (tmp_path / "merges.txt").write_text(merges)
    settings = {
        "tokenizer_class": "DreamTokenizer", "pad_token": "<pad>", "mask_token": "<mask>",
        "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
        "chat_template": "{% for m in messages %}<{{ m.content }}>{% endfor %}",
    }  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="has no embedding"):
        load(tmp_path)  # 265 tokens for 71 embeddings
    vocabulary = {t: i for t, i in core["model"]["vocab"].items() if i < 62}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("")
    denoiser = load(tmp_path)
    assert type(denoiser.tokenizer).__name__ == "Qwen2Tokenizer"
    messages = [{"role": "user", "content": "2"}]
    assert denoiser.tokenizer.decode(denoiser.prompt(messages, [])) == "<2>"


def test_a_tokenizer_can_come_from_elsewhere(tmp_path, monkeypatch):
    folder = wide("mdlm", tmp_path / "model", monkeypatch)
    with pytest.raises(ModelError, match="no tokenizer"):
        load(folder).encode("text")
    gemma.tokenizer().save_pretrained(tmp_path / "tokenizer")
    from_folder = load(folder, tokenizer=tmp_path / "tokenizer")
    assert from_folder.encode("text") == load(folder, tokenizer=gemma.tokenizer()).encode("text")


# --- what is wrong with a folder -------------------------------------------------------------


def test_missing_and_unexpected_tensors_are_named(tmp_path):
    path = fixtures.write("llada", tmp_path) / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.transformer.blocks.1.q_proj.weight"]
    tensors["model.transformer.extra.weight"] = torch.zeros(2)
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert "missing: model.layers.1.self_attn.q_proj.weight" in str(caught.value)
    assert "unexpected: model.transformer.extra.weight" in str(caught.value)


def test_tensors_of_another_shape_are_named(config):
    with pytest.raises(ModelError, match=r"mlp\.gate_proj\.weight \(48, 32\) instead of"):
        load(config(mlp_hidden_size=40))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"architectures": ["Other"], "model_type": "other"}, "which ctrlgen does not know"),
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "does not know"),
        ({"alibi": True}, "alibi = True"),
        ({"block_type": "sequential"}, "block_type"),
    ],
)
def test_what_would_be_silently_wrong_is_refused(config, entries, message):
    with pytest.raises(ModelError, match=message):
        load(config(**entries))


def test_a_mixture_is_told_from_llada_by_its_experts(tmp_path):
    path = fixtures.write("llada_moe", tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["Renamed"]}))
    assert type(load(tmp_path).model).__name__ == "Qwen3MoeForCausalLM"


def test_an_incomplete_config_says_what_it_lacks(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["LLaDAModelLM"]}')
    with pytest.raises(ModelError, match="n_heads"):
        load(tmp_path)


def test_no_folder_and_no_weights(tmp_path):
    with pytest.raises(ModelError, match="cannot load"):
        load(tmp_path / "nothing")
    fixtures.write("llada", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load(tmp_path)


def test_a_name_is_no_model():
    with pytest.raises(ModelError, match=r"a str is no model.*ctrlgen\.load"):
        ctrlgen.from_transformers("GSAI-ML/LLaDA-8B-Instruct", "a tokenizer")
    with pytest.raises(ConstraintError, match="fast tokenizer"):
        ctrlgen.from_transformers(loud(ENCODERS["bert"]()), "a tokenizer", mask_token_id=2)


def test_an_autoregressive_model_has_no_mask(tmp_path):
    qwen = SIZES | {"num_key_value_heads": 2, "head_dim": 8, "max_window_layers": 2}
    Qwen3ForCausalLM(Qwen3Config(**qwen)).save_pretrained(tmp_path)
    tokenizer = gemma.tokenizer()
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no mask token"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["mask_token_id", "fill_token_id"])
def test_given_tokens_have_embeddings(name, tmp_path):
    with pytest.raises(ModelError, match="token 71 has no embedding: the model has 71"):
        load(fixtures.write("llada", tmp_path), **{name: 71})


@pytest.mark.parametrize("name", ["tp_plan", "distributed_config"])
def test_fused_tensors_are_not_sharded(name, tmp_path):
    with pytest.raises(ModelError, match="device_map"):
        load(fixtures.write("llada2", tmp_path), **{name: "auto"})


def test_flash_attention_has_no_blocks(tmp_path):
    denoiser = load(fixtures.write("sdar", tmp_path))
    denoiser.model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ModelError, match="block-causal"):
        TransformersDenoiser(denoiser.model, block_length=4)


def test_out_of_memory_says_what_was_too_much(tmp_path, monkeypatch):
    denoiser = load(fixtures.write("llada", tmp_path))

    def full(**_):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(denoiser.model, "forward", full)
    with pytest.raises(ModelError, match=r"2 × 13 tokens in torch\.float32") as caught:
        denoiser.logits(fixtures.tokens())
    for way in ("batches of 1", "max_new_tokens of 6", 'dtype="bfloat16"', "device_map"):
        assert way in caught.value.hint
