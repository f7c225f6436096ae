"""One canvas on its way through the loop, what drives it, and when it stops."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.parts import Gap
from ctrlgen.controllers import ConstraintController, Controller
from ctrlgen.controllers.blocks import Block, WholeCanvas
from ctrlgen.controllers.lengths import LengthSource
from ctrlgen.controllers.proposer import Proposer, propose_each
from ctrlgen.denoisers.base import Denoiser
from ctrlgen.result import FinishReason, StepEvent, Usage
from ctrlgen.schedulers import Scheduler


@dataclass(frozen=True)
class Limits:
    """When to stop.

    Args:
        steps: Forward passes per object; None for as many as needed.
        deadline: Seconds for the whole batch; None for no limit.
    """

    steps: int | None = None
    deadline: float | None = None


@dataclass(eq=False)
class Run:
    """One canvas on its way through the loop.

    Args:
        prompt: Tokens in front of the canvas.
        canvas: The answer.
        rng: What is drawn with.
        usage: What it has cost so far.
        memory: What schedulers and blocks remember of this canvas.
        window: Gap and place in it of what the last step might commit, where that is not all.
        finish_reason: Why it has ended, if it has.
        trace: One event per step.
        earlier_passes: Forward passes of attempts before this one.
        accepted: Whether type and check have accepted the finished answer.
        output: The typed answer, once they have.
    """

    prompt: list[int]
    canvas: Canvas
    rng: np.random.Generator
    usage: Usage = field(default_factory=Usage)
    memory: dict[str, Any] = field(default_factory=dict)
    window: Sequence[tuple[int, int]] = ()
    finish_reason: FinishReason | None = None
    trace: list[StepEvent] = field(default_factory=list)
    earlier_passes: int = 0
    accepted: bool = False
    output: Any = None

    def __post_init__(self) -> None:
        self.canvas.prompt = self.prompt

    @property
    def passes(self) -> int:
        """Forward passes of this attempt."""
        return self.usage.forward_passes - self.earlier_passes

    def copy(self, rng: np.random.Generator) -> Run:
        """A run in the same state that goes its own way, and draws with `rng`."""
        return replace(
            self, canvas=self.canvas.copy(), rng=rng, usage=replace(self.usage),
            memory=deepcopy(self.memory), trace=list(self.trace),
        )  # fmt: skip

    def restart(self, canvas: Canvas) -> None:
        """Begin another attempt on a fresh canvas; usage and trace go on."""
        self.canvas, self.finish_reason, self.memory = canvas, None, {}
        canvas.prompt = self.prompt
        self.earlier_passes = self.usage.forward_passes

    def reopen(self, gaps: Sequence[Gap]) -> None:
        """Begin another attempt at some gaps only; forks stay as they are."""
        for gap in gaps:
            if gap.kind != "fork":
                gap.resize(self.canvas.scaffold.filling(gap, gap.length))
        self.finish_reason, self.memory = None, {}
        self.earlier_passes = self.usage.forward_passes

    def settle(self, gap: Gap) -> None:
        """Commit the witness wherever a gap is open."""
        everything = np.ones(gap.length, dtype=bool)
        self.usage.committed_tokens += self.canvas.commit(gap, everything)

    @property
    def open(self) -> bool:
        """Whether any position is still undecided."""
        return any(not gap.settled for gap in self.canvas.gaps())


@dataclass(frozen=True)
class Engine:
    """What drives a run; every run of a batch may have its own but for the denoiser.

    Args:
        denoiser: Predicts the tokens.
        constraint: Computes the posteriors.
        scheduler: Says what commits.
        temperature: 0 takes the most probable filling, above 0 draws.
        controllers: Change the logits, in order.
        block: Says where tokens may commit.
        proposer: Says which filling of the posteriors becomes the witness.
        lengths: Finds the lengths of slots; None where the denoiser knows slack.
    """

    denoiser: Denoiser
    constraint: ConstraintController
    scheduler: Scheduler
    temperature: float = 0.0
    controllers: tuple[Controller, ...] = ()
    block: Block = field(default_factory=WholeCanvas)
    proposer: Proposer = propose_each
    lengths: LengthSource | None = None
