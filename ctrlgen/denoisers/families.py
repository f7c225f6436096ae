"""Families of diffusion language models: from a published config.json to a class of transformers.

A checkpoint's own modelling code is never run. What each family is, instead: a native class, a
native config made from the published one, new names for the tensors, and four facts about how its
logits are to be read. Where they come from, and how they were checked: docs/models.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ctrlgen.errors import ModelError

Published = Mapping[str, Any]
"""A config.json as published."""


@dataclass(frozen=True)
class Family:
    """How the checkpoints of a family are loaded and read.

    Args:
        name: What messages and the documentation call it.
        architectures: Values of `architectures` in config.json that belong to it.
        model_class: Class of transformers, or `module:class` of ours.
        configure: Arguments of the native config, from a published one.
        renames: Regular expressions of published tensor names, and their native names.
        tokenizer_class: Class of transformers that reads the tokenizer.
        shift: Whether position i is predicted by the logits at i - 1.
        block_length: Positions see their own block of so many tokens and all earlier ones; a
            string names the entry of config.json; None sees everything.
        default_block_length: Where config.json does not say.
        mask_token_id: Likewise.
        pad_token_id: Likewise.
        fused: Tensors that are published as one and split when they are read.
    """

    name: str
    architectures: tuple[str, ...]
    model_class: str
    configure: Callable[[Published], dict[str, Any]]
    renames: Mapping[str, str] = field(default_factory=dict)
    tokenizer_class: str = "PreTrainedTokenizerFast"
    shift: bool = False
    block_length: str | None = None
    default_block_length: int | None = None
    mask_token_id: int | None = None
    pad_token_id: int | None = None
    fused: str = ""

    def blocks(self, published: Published) -> int | None:
        """Tokens a block, None for bidirectional attention."""
        found = published.get(self.block_length) if self.block_length else None
        return self.default_block_length if found is None else int(found)


def _same(published: Published) -> dict[str, Any]:
    """The arguments of a config whose native counterpart has the same names."""
    return {k: v for k, v in published.items() if k not in _REMOTE}


_REMOTE = ("architectures", "auto_map", "model_type", "transformers_version", "is_causal")


def _require(published: Published, **expected: Any) -> None:
    """Refuse options of a family that its native class does not have.

    Raises:
        ModelError: If an entry is there and says something else.
    """
    for key, value in expected.items():
        if published.get(key, value) != value:
            raise ModelError(
                f"config.json says {key} = {published[key]!r}, where only {value!r} is supported",
                hint="no published checkpoint of this family needs it; check config.json",
            )


def _llada(published: Published) -> dict[str, Any]:
    _require(
        published, alibi=False, rope=True, layer_norm_type="rms", block_type="llama",
        activation_type="silu", attention_layer_norm=False, include_bias=False,
        include_qkv_bias=False, input_emb_norm=False, scale_logits=False, block_group_size=1,
        bias_for_layer_norm=False, layer_norm_with_affine=True, clip_qkv=None,
    )  # fmt: skip
    heads, width = published["n_heads"], published["d_model"]
    return {
        "vocab_size": published.get("embedding_size") or published["vocab_size"],
        "hidden_size": width,
        "intermediate_size": published.get("mlp_hidden_size") or published["mlp_ratio"] * width,
        "num_hidden_layers": published["n_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": published.get("n_kv_heads") or heads,
        "max_position_embeddings": published["max_sequence_length"],
        "rms_norm_eps": published.get("rms_norm_eps", 1e-5),
        "rope_theta": published.get("rope_theta", 10_000.0),
        "tie_word_embeddings": published.get("weight_tying", False),
        **_tokens(published),
    }


def _dit(published: Published) -> dict[str, Any]:
    _require(published, time_conditioning=False, causal=False, cross_attn=True)
    # GPT-2's vocabulary has no mask: the last token is one
    return {"mask_token_id": published["vocab_size"] - 1} | _same(published)


def _tokens(published: Published) -> dict[str, Any]:
    names = ("mask_token_id", "pad_token_id", "bos_token_id", "eos_token_id", "dtype")
    found = {name: published.get(name) for name in names}
    return found | {"dtype": published.get("torch_dtype", found["dtype"])}


def _llada_moe(published: Published) -> dict[str, Any]:
    layers = published["num_hidden_layers"]
    _require(
        published, qk_layernorm=True, attention_bias=False, shared_expert_intermediate_size=None,
        moe_router_enable_expert_bias=False, moe_layer_freq=[1] * layers, clip_qkv=None,
        partial_rotary_factor=1,
    )  # fmt: skip
    return _same(published) | {
        "moe_intermediate_size": published["expert_intermediate_size"],
        "head_dim": published["hidden_size"] // published["num_attention_heads"],
        "norm_topk_prob": False,  # the published code never renormalises, whatever the entry says
        "num_experts": published["num_experts"],
    }


def _llada2(published: Published) -> dict[str, Any]:
    _require(
        published, use_bias=False, use_qkv_bias=False, use_qk_norm=True, norm_head=False,
        score_function="sigmoid",
    )  # fmt: skip
    factor = published.get("partial_rotary_factor", 0.5)
    rope = published.get("rope_parameters") or published.get("rope_scaling") or {}
    return _same(published) | {
        "n_routed_experts": published["num_experts"],
        "n_shared_experts": published["num_shared_experts"],
        "norm_topk_prob": published["num_experts_per_tok"] > 1,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": published.get("rope_theta", 10_000.0),
            "partial_rotary_factor": factor,
        }
        | rope,
        "use_qk_norm": True,
        "attention_bias": False,
    }


_LLADA_TOP = {"wte": "model.embed_tokens", "ln_f": "model.norm", "ff_out": "lm_head"}
_LLADA_BLOCK = {
    "attn_norm": "input_layernorm", "ff_norm": "post_attention_layernorm",
    "q_proj": "self_attn.q_proj", "k_proj": "self_attn.k_proj", "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj", "ff_proj": "mlp.gate_proj", "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
}  # fmt: skip
_LLADA_NAMES = {rf"^model\.transformer\.{old}\.": f"{new}." for old, new in _LLADA_TOP.items()} | {
    rf"^model\.transformer\.blocks\.(\d+)\.{old}\.": rf"model.layers.\1.{new}."
    for old, new in _LLADA_BLOCK.items()
}
_DIT_NAMES = {r"^backbone\.vocab_embed\.embedding$": "backbone.vocab_embed.weight"}

FAMILIES = (
    Family(
        "LLaDA", ("LLaDAModelLM",), "LlamaForCausalLM", _llada, renames=_LLADA_NAMES,
        mask_token_id=126336, pad_token_id=126081,
    ),
    Family(
        "LLaDA-MoE", ("LLaDAMoEModelLM", "LLaDAMoEModel"), "Qwen3MoeForCausalLM", _llada_moe,
        mask_token_id=156895, pad_token_id=156892,
    ),
    Family(
        "LLaDA2", ("LLaDA2MoeModelLM",), "ctrlgen.denoisers.llada2:LLaDA2ForCausalLM", _llada2,
        default_block_length=32, mask_token_id=156895, pad_token_id=156892,
        fused="queries, keys and values",
    ),
    Family(
        "Dream", ("DreamModel",), "Qwen2ForCausalLM", _same, tokenizer_class="Qwen2Tokenizer",
        shift=True, mask_token_id=151666, pad_token_id=151643,
    ),
    Family(
        "SDAR", ("SDARForCausalLM",), "Qwen3ForCausalLM", _same, tokenizer_class="Qwen2Tokenizer",
        block_length="block_size", default_block_length=4, mask_token_id=151669,
        pad_token_id=151643,
    ),
    Family(
        "SDAR-MoE", ("SDARMoeForCausalLM",), "Qwen3MoeForCausalLM", _same,
        tokenizer_class="Qwen2Tokenizer", block_length="block_size", default_block_length=4,
        mask_token_id=151669, pad_token_id=151643,
    ),
    Family(
        "Fast-dLLM v2", ("Fast_dLLM_QwenForCausalLM",), "Qwen2ForCausalLM", _same,
        tokenizer_class="Qwen2Tokenizer", shift=True, block_length="bd_size",
        default_block_length=32, mask_token_id=151665, pad_token_id=151645,
    ),
    Family(
        "MDLM", ("MDLM",), "ctrlgen.denoisers.dit:DiTForMaskedLM", _dit, renames=_DIT_NAMES,
        pad_token_id=50256,
    ),
    Family(
        "BD3-LM", ("BD3LM",), "ctrlgen.denoisers.dit:DiTForMaskedLM", _dit, renames=_DIT_NAMES,
        block_length="block_size", pad_token_id=50256,
    ),
)  # fmt: skip

_BY_TYPE = {
    "llada": "LLaDA", "llada_moe": "LLaDA-MoE", "lladamoe": "LLaDA-MoE", "llada2_moe": "LLaDA2",
    "Dream": "Dream", "sdar": "SDAR", "sdar_moe": "SDAR-MoE", "Fast_dLLM_Qwen": "Fast-dLLM v2",
    "mdlm": "MDLM", "bd3lm": "BD3-LM",
}  # fmt: skip


def find(published: Published) -> Family | None:
    """The family of a checkpoint, None if it is none of ours.

    LLaDA-MoE has LLaDA's `model_type`, so `architectures` decides; where it names something else,
    `num_experts` tells them apart. A guess that is wrong fails on its tensors.
    """
    named = set(published.get("architectures") or ())
    for family in FAMILIES:
        if named & set(family.architectures):
            return family
    name = _BY_TYPE.get(str(published.get("model_type")))
    if name == "LLaDA" and "num_experts" in published:
        name = "LLaDA-MoE"
    return next((family for family in FAMILIES if family.name == name), None)
