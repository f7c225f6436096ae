"""Small checkpoints with random weights, in the published format of each family.

`python -m tests.denoisers.fixtures FOLDER` writes them all. The golden files hold what the
published modelling code of each family says about them (docs/models.md).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HIDDEN, HEADS, KV, HEAD, LAYERS, VOCAB, INNER = 32, 4, 2, 8, 2, 71, 48
LENGTH, BATCH = 13, 2  # not a multiple of any block length
Shapes = dict[str, tuple[int, ...]]


def attention(prefix: str, bias: bool = False, norm: bool = False, kv: int = KV) -> Shapes:
    """Llama's attention, with Qwen2's biases or Qwen3's norms."""
    wide = {"q_proj": HEADS, "k_proj": kv, "v_proj": kv}
    out: Shapes = {f"{prefix}.{n}.weight": (h * HEAD, HIDDEN) for n, h in wide.items()}
    out[f"{prefix}.o_proj.weight"] = (HIDDEN, HEADS * HEAD)
    if bias:
        out |= {f"{prefix}.{n}.bias": (h * HEAD,) for n, h in wide.items()}
    if norm:
        out |= {f"{prefix}.{n}_norm.weight": (HEAD,) for n in "qk"}
    return out


def mlp(prefix: str, inner: int = INNER) -> Shapes:
    return {
        f"{prefix}.gate_proj.weight": (inner, HIDDEN),
        f"{prefix}.up_proj.weight": (inner, HIDDEN),
        f"{prefix}.down_proj.weight": (HIDDEN, inner),
    }


def experts(prefix: str, count: int, inner: int) -> Shapes:
    out: Shapes = {f"{prefix}.gate.weight": (count, HIDDEN)}
    for i in range(count):
        out |= mlp(f"{prefix}.experts.{i}", inner)
    return out


def decoder(layer: Callable[[str], Shapes]) -> Shapes:
    """What the Qwen-shaped families share."""
    out: Shapes = {
        "model.embed_tokens.weight": (VOCAB, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCAB, HIDDEN),
    }
    for i in range(LAYERS):
        prefix = f"model.layers.{i}"
        out |= {f"{prefix}.{n}.weight": (HIDDEN,) for n in NORMS} | layer(prefix)
    return out


NORMS = ("input_layernorm", "post_attention_layernorm")


def llada() -> Shapes:
    top = "model.transformer"
    out: Shapes = {
        f"{top}.wte.weight": (VOCAB, HIDDEN),
        f"{top}.ln_f.weight": (HIDDEN,),
        f"{top}.ff_out.weight": (VOCAB, HIDDEN),
    }
    for i in range(LAYERS):
        block = f"{top}.blocks.{i}"
        out |= {f"{block}.{n}_norm.weight": (HIDDEN,) for n in ("attn", "ff")}
        out |= {f"{block}.{n}.weight": (HEADS * HEAD, HIDDEN) for n in ("q_proj", "attn_out")}
        out |= {f"{block}.{n}.weight": (KV * HEAD, HIDDEN) for n in ("k_proj", "v_proj")}
        out |= {f"{block}.{n}.weight": (INNER, HIDDEN) for n in ("ff_proj", "up_proj")}
        out[f"{block}.ff_out.weight"] = (HIDDEN, INNER)
    return out


def llada2() -> Shapes:
    out: Shapes = {
        "model.word_embeddings.weight": (VOCAB, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCAB, HIDDEN),
    }
    for i in range(LAYERS):
        layer = f"model.layers.{i}"
        out |= {f"{layer}.{n}.weight": (HIDDEN,) for n in NORMS}
        out |= {f"{layer}.attention.{n}_layernorm.weight": (HEAD,) for n in ("query", "key")}
        out[f"{layer}.attention.query_key_value.weight"] = ((HEADS + 2 * KV) * HEAD, HIDDEN)
        out[f"{layer}.attention.dense.weight"] = (HIDDEN, HEADS * HEAD)
        if i == 0:
            out |= mlp(f"{layer}.mlp")
        else:
            out |= experts(f"{layer}.mlp", 8, 16) | mlp(f"{layer}.mlp.shared_experts", 16)
            out[f"{layer}.mlp.gate.expert_bias"] = (8,)
    return out


def dit() -> Shapes:
    top, condition = "backbone", 16
    out: Shapes = {
        f"{top}.vocab_embed.embedding": (VOCAB, HIDDEN),
        f"{top}.rotary_emb.inv_freq": (HEAD // 2,),
        f"{top}.sigma_map.mlp.0.weight": (condition, 256),
        f"{top}.sigma_map.mlp.0.bias": (condition,),
        f"{top}.sigma_map.mlp.2.weight": (condition, condition),
        f"{top}.sigma_map.mlp.2.bias": (condition,),
        f"{top}.output_layer.norm_final.weight": (HIDDEN,),
        f"{top}.output_layer.linear.weight": (VOCAB, HIDDEN),
        f"{top}.output_layer.linear.bias": (VOCAB,),
        f"{top}.output_layer.adaLN_modulation.weight": (2 * HIDDEN, condition),
        f"{top}.output_layer.adaLN_modulation.bias": (2 * HIDDEN,),
    }
    for i in range(LAYERS):
        block = f"{top}.blocks.{i}"
        out |= {f"{block}.norm{n}.weight": (HIDDEN,) for n in (1, 2)}
        out[f"{block}.attn_qkv.weight"] = (3 * HIDDEN, HIDDEN)
        out[f"{block}.attn_out.weight"] = (HIDDEN, HIDDEN)
        for n, (rows, columns) in ((0, (4 * HIDDEN, HIDDEN)), (2, (HIDDEN, 4 * HIDDEN))):
            out |= {f"{block}.mlp.{n}.weight": (rows, columns), f"{block}.mlp.{n}.bias": (rows,)}
        out[f"{block}.adaLN_modulation.weight"] = (6 * HIDDEN, condition)
        out[f"{block}.adaLN_modulation.bias"] = (6 * HIDDEN,)
    return out


_QWEN = {
    "vocab_size": VOCAB, "hidden_size": HIDDEN, "intermediate_size": INNER,
    "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV,
    "hidden_act": "silu", "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
    "rope_theta": 20000.0, "rope_scaling": None, "tie_word_embeddings": False,
    "attention_dropout": 0.0, "initializer_range": 0.02, "use_sliding_window": False,
    "sliding_window": None, "max_window_layers": LAYERS, "use_cache": True,
    "torch_dtype": "float32", "bos_token_id": 60, "eos_token_id": 60, "pad_token_id": 60,
}  # fmt: skip
_MOE = {"num_experts": 8, "num_experts_per_tok": 2}
_DIT = {
    "vocab_size": VOCAB, "model_length": 64, "hidden_dim": HIDDEN, "cond_dim": 16,
    "n_blocks": LAYERS, "n_heads": HEADS, "dropout": 0.1, "time_conditioning": False,
    "torch_dtype": "float32",
}  # fmt: skip


def _remote(model_type: str, name: str, **rest: object) -> dict[str, object]:
    """The head of a config.json that wants remote code."""
    auto_map = {"AutoConfig": f"configuration.{name}Config", "AutoModel": f"modeling.{name}"}
    return {"model_type": model_type, "architectures": [name], "auto_map": auto_map} | rest


CHECKPOINTS: dict[str, tuple[dict[str, object], Shapes]] = {
    "llada": (
        _remote(
            "llada", "LLaDAModelLM", d_model=HIDDEN, n_heads=HEADS, n_kv_heads=KV,
            n_layers=LAYERS, mlp_hidden_size=INNER, mlp_ratio=4, max_sequence_length=64,
            vocab_size=VOCAB, embedding_size=VOCAB, rope=True, rope_theta=20000.0,
            rope_full_precision=True, rms_norm_eps=1e-5, layer_norm_type="rms",
            layer_norm_with_affine=True, bias_for_layer_norm=False, attention_layer_norm=False,
            block_type="llama", block_group_size=1, activation_type="silu", alibi=False,
            include_bias=False, include_qkv_bias=False, input_emb_norm=False, scale_logits=False,
            weight_tying=False, flash_attention=False, mask_token_id=62, pad_token_id=60,
            eos_token_id=60, attention_dropout=0.0, residual_dropout=0.0, embedding_dropout=0.0,
            multi_query_attention=None, init_device="cpu", torch_dtype="float32",
        ),
        llada(),
    ),
    "llada_moe": (
        _remote(
            "llada", "LLaDAMoEModelLM",
            **{**_QWEN, **_MOE, "rms_norm_eps": 1e-5, "num_key_value_heads": HEADS},
            expert_intermediate_size=16, dense_intermediate_size=INNER,
            shared_expert_intermediate_size=None, qk_layernorm=True, norm_topk_prob=None,
            moe_layer_freq=[1] * LAYERS, moe_router_enable_expert_bias=False,
            moe_router_score_function="softmax", partial_rotary_factor=1, attention_bias=False,
            clip_qkv=None, routed_scaling_factor=1, router_num_group=None, router_topk_group=None,
        ),
        decoder(
            lambda p: attention(f"{p}.self_attn", norm=True, kv=HEADS) | experts(f"{p}.mlp", 8, 16)
        ),
    ),
    "llada2": (
        _remote(
            "llada2_moe", "LLaDA2MoeModelLM", **{**_QWEN, **_MOE, "max_window_layers": 28},
            head_dim=HEAD, use_qkv_bias=False, use_qk_norm=True, use_bias=False, norm_head=False,
            partial_rotary_factor=0.5, rotary_dim=4, num_shared_experts=1, n_group=4, topk_group=2,
            routed_scaling_factor=2.5, moe_intermediate_size=16, first_k_dense_replace=1,
            norm_topk_prob=True, score_function="sigmoid", moe_router_enable_expert_bias=True,
            router_dtype="fp32", embedding_dropout=0.0, output_dropout=0.0,
        ),
        llada2(),
    ),
    "dream": (
        _remote("Dream", "DreamModel", **_QWEN, mask_token_id=62),
        decoder(lambda p: attention(f"{p}.self_attn", bias=True) | mlp(f"{p}.mlp")),
    ),
    "sdar": (
        _remote(
            "sdar", "SDARForCausalLM", **_QWEN, head_dim=HEAD, attention_bias=False,
            fuse_cross_entropy=True, block_size=4, mask_token_id=62,
        ),
        decoder(lambda p: attention(f"{p}.self_attn", norm=True) | mlp(f"{p}.mlp")),
    ),
    "sdar_moe": (
        _remote(
            "sdar_moe", "SDARMoeForCausalLM", **_QWEN, **_MOE, head_dim=HEAD,
            attention_bias=False, moe_intermediate_size=16, norm_topk_prob=True,
            decoder_sparse_step=1, mlp_only_layers=[], mask_token_id=62, block_size=4,
        ),
        decoder(lambda p: attention(f"{p}.self_attn", norm=True) | experts(f"{p}.mlp", 8, 16)),
    ),
    "fast_dllm_v2": (
        _remote("Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM", **_QWEN, bd_size=8),
        decoder(lambda p: attention(f"{p}.self_attn", bias=True) | mlp(f"{p}.mlp")),
    ),
    "mdlm": (_remote("mdlm", "MDLM", **_DIT), dit()),
    "bd3lm": (
        _remote(
            "bd3lm", "BD3LM", **_DIT, block_size=4, cross_attn=True, adaln=True,
            attn_backend="sdpa", causal=False, var_min=True, sampling_eps_min=1e-3,
            sampling_eps_max=0.999,
        ),
        dit() | {"sampling_eps_min": (), "sampling_eps_max": ()},
    ),
}  # fmt: skip
"""config.json and tensors of each fixture."""


def weights(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """Normal with deviation .25, norms around 1; default initialisation would hide bugs."""
    rng = np.random.default_rng(seed)
    out = {}
    for name, shape in sorted(shapes.items()):
        values = rng.normal(scale=0.25, size=shape) + ("norm" in name or "ln_f" in name)
        out[name] = torch.tensor(values, dtype=torch.float32)
    if "backbone.rotary_emb.inv_freq" in out:
        steps = torch.arange(0, HEAD, 2) / HEAD
        out["backbone.rotary_emb.inv_freq"] = 1.0 / 10_000**steps
    return out


def tokens(seed: int = 1) -> np.ndarray:
    """Token ids for all fixtures, (batch, length), some of them masked."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 60, size=(BATCH, LENGTH))
    ids[rng.random(ids.shape) < 0.3] = 62
    return ids


def write(name: str, folder: Path, shards: int = 1) -> Path:
    """A checkpoint in `folder`, in several files if asked."""
    config, shapes = CHECKPOINTS[name]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    tensors = weights(shapes)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    names, places = sorted(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {n: tensors[n] for n in names[i::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


if __name__ == "__main__":
    for each in CHECKPOINTS:
        write(each, Path(sys.argv[1]) / each)
