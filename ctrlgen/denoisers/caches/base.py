"""What a cache decides: which positions of a sequence are computed again in a step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ctrlgen.constraints.atoms import Ints
from ctrlgen.denoisers.caches.store import ScatterCache

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """One sequence before a forward pass; arrays are (length,).

    Args:
        ids: Its tokens.
        open: Which of them are masks.
        changed: Whose stored keys and values are not those of this token here, or are missing.
        missing: Whose are missing: text that is new, or has moved.
        before: What `changed` said in the pass before.
    """

    ids: Ints
    open: Mask
    changed: Mask
    missing: Mask
    before: Mask

    @property
    def first_open(self) -> int:
        """The leftmost open position; the length if there is none."""
        return int(self.open.argmax()) if self.open.any() else len(self.ids)

    def all(self) -> Mask:
        """Every position."""
        return np.ones(len(self.ids), dtype=bool)

    def span(self, start: int, end: int | None = None) -> Mask:
        """Positions from `start` to before `end`."""
        out = np.zeros(len(self.ids), dtype=bool)
        out[start:end] = True
        return out


@dataclass(frozen=True)
class Batch:
    """A forward pass over chosen positions of several sequences.

    Args:
        lengths: Of the sequences, (batch,).
        width: The longest of them: columns of keys and values.
        positions: What is computed, (batch, queries); `width` where a row has fewer.
        wanted: Positions that are computed for sure, one (length,) mask a sequence.
        seen: Makes the attention mask of queries at given positions.
    """

    lengths: torch.Tensor
    width: int
    positions: torch.Tensor
    wanted: list[Mask]
    seen: Callable[[torch.Tensor], torch.Tensor | None]


class Policy(Protocol):
    """A cache's rule. One object follows one sequence."""

    def fresh(self) -> Self:
        """The same rule for another sequence."""
        ...

    def plan(self, step: Step) -> Mask:
        """Which positions are computed again, beyond those that have changed."""
        ...

    def steering(
        self, model: Any, store: ScatterCache, batch: Batch, rules: list[Any]
    ) -> AbstractContextManager[None]:
        """Around the forward pass of a batch, for caches that decide layer by layer."""
        ...


class Rule:
    """Base of policies that are dataclasses, with their state in fields that `__init__` skips."""

    def fresh(self) -> Self:
        """The same rule for another sequence."""
        return replace(self)  # type: ignore[type-var]

    def steering(
        self, model: Any, store: ScatterCache, batch: Batch, rules: list[Any]
    ) -> AbstractContextManager[None]:
        """Nothing is decided by layer."""
        return nullcontext()


@dataclass
class ActiveBlock:
    """The block that is being decoded.

    It begins at the first open position and is left when nothing in it is open: pinned text needs
    no block. On a canvas of masks that is decoded block by block, these are the published blocks.

    Args:
        length: Positions of a block; None: as many as there are.
    """

    length: int | None
    start: int = -1

    def entered(self, step: Step) -> bool:
        """Whether a block begins with this pass."""
        if self.start >= 0 and step.open[self.start : self.end].any():
            return False
        self.start = step.first_open
        return True

    @property
    def end(self) -> int | None:
        """The first position behind the block."""
        return None if self.length is None else self.start + self.length


class BlockRule(Rule):
    """Base of policies that follow the block being decoded; dataclasses with a `block_length`."""

    block_length: int | None
    block: ActiveBlock

    def __post_init__(self) -> None:
        self.block = ActiveBlock(self.block_length)


class RefreshRule(BlockRule):
    """Base of policies that compute everything every `refresh` steps, as dKV-Cache does."""

    refresh: int
    steps: int = 0

    def due(self, step: Step) -> bool:
        """Whether everything is computed: in the first two steps of a block and at the interval."""
        self.steps = 0 if self.block.entered(step) else self.steps + 1
        return self.steps < 2 or self.steps % self.refresh == 0
