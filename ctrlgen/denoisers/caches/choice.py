"""A cache by its name, and whether a model can have one."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from ctrlgen.denoisers.caches.base import Policy
from ctrlgen.denoisers.caches.block import BlockCache
from ctrlgen.denoisers.caches.delayed import DelayedCache
from ctrlgen.denoisers.caches.dual import DualCache
from ctrlgen.denoisers.caches.frozen import FrozenCache
from ctrlgen.denoisers.caches.greedy import GreedyCache
from ctrlgen.denoisers.caches.interval import IntervalCache, layers_of
from ctrlgen.denoisers.caches.prefix import PrefixCache
from ctrlgen.errors import ModelError

_NAMED: dict[str, Callable[[], Policy]] = {
    "prefix": PrefixCache,
    "dual": DualCache,
    "frozen": FrozenCache,
    "delayed": DelayedCache,
    "greedy": GreedyCache,
    "interval": IntervalCache,
}


def named(cache: str | Policy, block_length: int | None) -> Policy:
    """The policy with a name, with its defaults; a policy is itself.

    Args:
        cache: A name, or a policy.
        block_length: Of a block-causal model.

    Raises:
        ModelError: If there is no such name, or the model has no blocks.
    """
    if isinstance(cache, BlockCache) or cache == "block":
        if block_length is None:
            raise ModelError(
                "the block cache is for block-causal models, and this one sees both sides",
                hint='choose "dual", "prefix" or "delayed"',
            )
        return BlockCache(block_length)
    if not isinstance(cache, str):
        return cache
    if cache not in _NAMED:
        raise ModelError(
            f"there is no cache {cache!r}", hint=f"there are {', '.join([*_NAMED, 'block'])}"
        )
    return _NAMED[cache]()


def check_cacheable(model: Any, policy: Policy, takes: Container[str], flash: bool) -> None:
    """Refuse models without keys and values to store.

    Args:
        model: A model of transformers.
        policy: The cache.
        takes: What its forward takes.
        flash: Whether it runs flash attention, which takes no mask of chosen positions.

    Raises:
        ModelError: If it cannot have a cache.
    """
    name, hint = type(model).__name__, "load it without cache="
    if "past_key_values" not in takes:
        raise ModelError(f"a {name} keeps no keys and values", hint=hint)
    if flash:
        raise ModelError(
            f"{model.config._attn_implementation} takes no mask, which a cache needs",
            hint='load with attn_implementation="sdpa"',
        )
    if "sliding_attention" in (getattr(model.config, "layer_types", None) or ()):
        raise ModelError(f"this {name} has layers of sliding attention", hint=hint)
    if isinstance(policy, IntervalCache):
        layers_of(model)
