"""A small DiffusionGemma with random weights, and a tokenizer of bytes."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    DiffusionGemmaConfig,
    DiffusionGemmaForBlockDiffusion,
    PreTrainedTokenizerFast,
)

CANVAS = 48
SPECIAL = ("<pad>", "<eos>", "<mask>")


def tokenizer() -> PreTrainedTokenizerFast:
    """Every byte is a token; some JSON punctuation is merged; three special tokens come first."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [('"', ":"), ('"', ","), ('"', "}"), ("{", '"'), ("t", "r"), ("u", "e")]
    tokens = [*SPECIAL, *letters, *(a + b for a, b in merges)]
    model = models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges)
    core = Tokenizer(model)
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    pad, eos, mask = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=pad, eos_token=eos, mask_token=mask
    )


def model(scale: float = 0.25) -> DiffusionGemmaForBlockDiffusion:
    """Six layers, four experts; the vocabulary is padded beyond the tokenizer's."""
    torch.manual_seed(0)
    text = {
        "vocab_size": 272, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 6,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "global_head_dim": 8,
        "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 16, "sliding_window": 16,
        "max_position_embeddings": 256, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 0,
    }  # fmt: skip
    vision = {
        "model_type": "gemma4_vision", "hidden_size": 16, "intermediate_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8,
    }  # fmt: skip
    config = DiffusionGemmaConfig(
        text_config=text, vision_config=vision, canvas_length=CANVAS, boi_token_id=2,
        eoi_token_id=2, image_token_id=2,
    )  # fmt: skip
    built = DiffusionGemmaForBlockDiffusion(config)
    for name, weight in built.named_parameters():
        if "norm" not in name and weight.ndim > 1:
            torch.nn.init.normal_(weight, std=scale)
    return built.eval()
