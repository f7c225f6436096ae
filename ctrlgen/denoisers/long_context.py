"""A longer context without training: rotary embeddings of a higher base (LongLLaDA, 2506.14429).

The base is multiplied by λ, so that the slowest dimension that turned a full circle in training
turns one over the longer context. Perplexity stays flat there; the paper finds that retrieval
reaches only as far back as the trained length.
"""

from __future__ import annotations

import math
from typing import Any

from ctrlgen.errors import ModelError


def ntk_factor(base: float, trained: int, wanted: int, dimensions: int) -> float:
    """λ, not rounded.

    Args:
        base: θ of the rotary embedding.
        trained: Tokens of the context in training.
        wanted: Tokens of the longer context.
        dimensions: That are rotated, of a head.
    """
    turns = math.log(trained / (2 * math.pi)) / math.log(base)
    critical = 2 * math.ceil(dimensions / 2 * turns)
    return float((wanted / (2 * math.pi)) ** (dimensions / critical) / base)


def stretch(config: Any, max_length: int) -> None:
    """Give a model's config another context length; λ is rounded up, as published.

    Args:
        config: A native config, before the model is built.
        max_length: Tokens of prompt and canvas; not more than in training leaves the base alone.

    Raises:
        ModelError: If the model has no plain rotary embeddings.
    """
    trained = int(config.max_position_embeddings)
    config.max_position_embeddings = max_length
    if max_length <= trained:
        return
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "none") != "default" or "rope_theta" not in rope:
        raise ModelError(
            f"the context of {trained} tokens cannot be stretched to {max_length}: "
            f"{type(config).__name__} has no plain rotary embeddings",
            hint=f"max_length={trained} or less",
        )
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rotated = int(head * rope.get("partial_rotary_factor", 1.0))
    factor = max(1, math.ceil(ntk_factor(rope["rope_theta"], trained, max_length, rotated)))
    rope["rope_theta"] *= factor
