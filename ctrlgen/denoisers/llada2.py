"""LLaDA2: transformers' GLM-4 MoE, whose weights are published under Bailing-MoE names.

Both route by sigmoid scores with a correction bias and limited groups, normalise queries and keys
per head, rotate half of each head, and add shared experts. Only the names differ, and that queries,
keys and values are published as one matrix.
"""

from __future__ import annotations

from typing import Any

from transformers import Glm4MoeForCausalLM
from transformers.conversion_mapping import (
    get_checkpoint_conversion_mapping,
    register_checkpoint_conversion_mapping,
)
from transformers.core_model_loading import Split, WeightConverter, WeightRenaming


class LLaDA2ForCausalLM(Glm4MoeForCausalLM):  # type: ignore[no-untyped-call]
    """`Glm4MoeForCausalLM` that reads the tensor names of LLaDA2 checkpoints."""


def _conversions() -> list[Any]:
    fused = WeightConverter(
        source_patterns="attention.query_key_value.weight",
        target_patterns=[f"self_attn.{name}_proj.weight" for name in "qkv"],
        operations=[Split(dim=0)],
    )
    names = {
        "model.word_embeddings.": "model.embed_tokens.",
        "attention.dense.": "self_attn.o_proj.",
        "attention.query_layernorm.": "self_attn.q_norm.",
        "attention.key_layernorm.": "self_attn.k_norm.",
        "mlp.gate.expert_bias": "mlp.gate.e_score_correction_bias",
    }
    renamings = [WeightRenaming(old, new) for old, new in names.items()]
    experts = get_checkpoint_conversion_mapping("glm4_moe")  # type: ignore[no-untyped-call]
    return [*renamings, fused, *experts]


register_checkpoint_conversion_mapping(LLaDA2ForCausalLM.__name__, _conversions(), overwrite=True)
