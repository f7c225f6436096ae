"""Blocks whose size a trained policy chooses, after CtrlDiff (arXiv:2505.14455)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ctrlgen.controllers.blocks.choices import (
    FEATURES,
    Order,
    choices,
    describe,
    line_up,
    note_block,
    note_pass,
)
from ctrlgen.errors import OptionError
from ctrlgen.schedulers.base import Floats, Mask, Proposal
from ctrlgen.schedulers.perceptron import Perceptron, load_policy

EMBEDDED = Path(__file__).parent / "weights"
SIZES = (8, 16, 32)
EVERYTHING = "policy block is everything"

Choose = Callable[[Floats, Floats], int]
"""From the features of all choices, (choices, FEATURES), and their scores to one of them."""


def likeliest(features: Floats, scores: Floats) -> int:
    """The choice of the highest score."""
    return int(np.argmax(scores))


@dataclass(frozen=True)
class LearnedBlocks:
    """Each block is as long as a policy says; it is finished before the next one begins.

    Where a block holds all that is open, the policy is asked again after every pass: what forks
    lay out meanwhile may join it.

    Args:
        policy: Scores the choices by their features; the one for the embedded model by default.
        sizes: Lengths on offer, in open positions, besides one slot, all slots but one, and all.
        order: Blocks take positions from left to right, or slots by their sureness.
        choose: Which choice the scores come to; training draws.

    Raises:
        ModelError: If the policy cannot be loaded.
    """

    policy: Perceptron = field(default_factory=lambda: load_policy(EMBEDDED, len(FEATURES)))
    sizes: tuple[int, ...] = SIZES
    order: Order = "sure"
    choose: Choose = likeliest

    def __post_init__(self) -> None:
        if any(size < 1 for size in self.sizes):
            raise OptionError(f"sizes must be whole numbers of 1 or more, not {self.sizes!r}")
        if self.order not in ("left", "sure"):
            raise OptionError(f"order must be left or sure, not {self.order!r}")

    @classmethod
    def load(cls, folder: Path | str = EMBEDDED) -> LearnedBlocks:
        """The blocks that `ctrlgen train block-policy` wrote, with the menu they were trained on.

        Raises:
            ModelError: If there are none.
        """
        policy = load_policy(Path(folder), len(FEATURES))
        menu = {k: policy.made_by[k] for k in ("sizes", "order") if k in policy.made_by}
        return cls(policy, tuple(menu.get("sizes", SIZES)), menu.get("order", "sure"))

    def window(self, proposal: Proposal) -> Mask:
        """The open positions of the current block."""
        memory = proposal.memory
        window: Mask = np.isin(proposal.keys, memory.get("block", ()))
        if not window.any() or memory.get(EVERYTHING):
            window = self._draw(proposal)
            note_block(memory, proposal.keys[window], proposal.keys)
            memory[EVERYTHING] = bool(window.all())
        note_pass(memory)
        return window

    def _draw(self, proposal: Proposal) -> Mask:
        line = line_up(proposal, self.order)
        offered = choices(line, self.sizes)
        features = describe(proposal, line, offered)
        chosen = offered[self.choose(features, self.policy(features))]
        window: Mask = np.zeros(len(line), dtype=bool)
        window[line.at[: chosen.size]] = True
        return window
