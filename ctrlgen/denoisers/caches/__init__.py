"""Caches: which positions of a canvas a forward pass computes again (docs/caches.md)."""

from __future__ import annotations

from ctrlgen.denoisers.caches.base import Policy, Rule, Step
from ctrlgen.denoisers.caches.block import BlockCache
from ctrlgen.denoisers.caches.delayed import DelayedCache
from ctrlgen.denoisers.caches.dual import DualCache
from ctrlgen.denoisers.caches.forward import CachedForward
from ctrlgen.denoisers.caches.frozen import FrozenCache
from ctrlgen.denoisers.caches.greedy import GreedyCache
from ctrlgen.denoisers.caches.interval import IntervalCache
from ctrlgen.denoisers.caches.prefix import PrefixCache

__all__ = [
    "BlockCache",
    "CachedForward",
    "DelayedCache",
    "DualCache",
    "FrozenCache",
    "GreedyCache",
    "IntervalCache",
    "Policy",
    "PrefixCache",
    "Rule",
    "Step",
]
