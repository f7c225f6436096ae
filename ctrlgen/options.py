"""How to generate: the keywords of a `Generator` and of each call, and what they may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Literal

from ctrlgen.controllers import Controller
from ctrlgen.controllers.blocks import Block, WholeCanvas
from ctrlgen.controllers.lengths import LengthSource, named
from ctrlgen.controllers.proposer import Proposer
from ctrlgen.errors import OptionError
from ctrlgen.schedulers import Scheduler

WHOLE = WholeCanvas()


@dataclass(frozen=True)
class Options:
    """How to generate.

    Args:
        steps: Most forward passes per object; None for as many as needed.
        deadline: Most seconds per call; what is not denoised by then is filled validly.
        seed: Makes sampling repeatable; None draws a fresh seed. A sequence has one for each prompt
            of a batch, which then draws what it would draw alone.
        temperature: 0 takes the most probable joint filling, above 0 draws from the posterior.
        max_new_tokens: Most canvas positions; None for what the context leaves.
        scheduler: Which positions commit in a step. None: what is sure (`Threshold`), but
            `TraceLock` where the embedded model fills records and calls at temperature 0, without
            a `proposer` of yours.
        controllers: Soft controllers, applied in order before the constraint.
        proposer: Which valid filling is proposed in a step. None: each gap's most probable, and for
            models that extract, as the embedded one, phrases of the prompt first (`Grounded`).
        block: Where tokens may commit in a step; anywhere by default.
        lengths: How slots find their length (docs/lengths.md): "slack", "open", "several", or a
            `LengthSource`; None: as the denoiser declares.
        branches: How forks, enums and booleans are decided: by their "posterior", or "paired",
            by likelihoods of each alternative in place, which takes more passes and rows.
        describe: Whether the prompt says what an answer must look like; None: if the model follows
            instructions, and does not come from this package.
        check: Takes the typed answer, and refuses it by a `ValueError`, an `assert`, or by
            returning False.
        attempts: Most times that an answer is drawn when `check` or the type's own code refuses it
            (a pydantic validator, say, which no schema shows); the fields to blame are drawn anew,
            the others stay. Each attempt may take `steps` forward passes.

    Raises:
        OptionError: If a value makes no sense.
    """

    steps: int | None = None
    deadline: float | None = None
    seed: int | Sequence[int] | None = None
    temperature: float = 0.0
    max_new_tokens: int | None = None
    scheduler: Scheduler | None = None
    controllers: tuple[Controller, ...] = ()
    proposer: Proposer | None = None
    block: Block = WHOLE
    lengths: str | LengthSource | None = None
    branches: Literal["posterior", "paired"] = "posterior"
    describe: bool | None = None
    check: Callable[[Any], Any] | None = None
    attempts: int = 4

    def __post_init__(self) -> None:
        for name in ("steps", "max_new_tokens", "attempts"):
            value = getattr(self, name)
            _must(value is None or (_whole(value) and value >= 1), name, WHOLE_NUMBER, value)
        _must(self.attempts is not None, "attempts", WHOLE_NUMBER, None)
        warm = _real(self.temperature) and 0 <= self.temperature < math.inf
        _must(warm, "temperature", "0 or more, and finite", self.temperature)
        late = self.deadline is None or (_real(self.deadline) and self.deadline >= 0)
        _must(late, "deadline", "0 or more, in seconds", self.deadline)
        _must(_is_seed(self.seed), "seed", "whole numbers of 0 or more", self.seed)
        self._check_parts()
        if self.lengths is not None:
            named(self.lengths)
        known = self.branches in ("posterior", "paired")
        _must(known, "branches", "'posterior' or 'paired'", self.branches)
        _must(self.describe in (None, True, False), "describe", "True or False", self.describe)

    def _check_parts(self) -> None:
        """Parts are objects with the methods of their protocol, and not its class."""
        scheduler: Any = self.scheduler
        known = scheduler is None or isinstance(scheduler, Scheduler)
        _must(known, "scheduler", "a ctrlgen Scheduler", scheduler)
        controllers: Any = self.controllers
        chain = isinstance(controllers, Sequence) and all(map(_callable, controllers))
        _must(chain, "controllers", "a sequence of functions of a canvas and logits", controllers)
        for name in ("proposer", "check"):
            value = getattr(self, name)
            _must(value is None or callable(value), name, "a function", value)
        block: Any = self.block
        windowed = hasattr(block, "window") and not isinstance(block, type)
        _must(windowed, "block", "an object of ctrlgen.controllers.blocks", block)

    def but(self, changes: dict[str, Any]) -> Options:
        """These options with some changed.

        Raises:
            OptionError: If there is no such option, or a value makes no sense.
        """
        names = [field.name for field in fields(self)]
        for name in changes.keys() - names:
            near = get_close_matches(name, names, 1)
            hint = f"is {near[0]!r} meant?" if near else f"there are {', '.join(names)}"
            raise OptionError(f"there is no option {name!r}", hint=hint)
        return replace(self, **changes)


WHOLE_NUMBER = "a whole number of 1 or more"


def _must(holds: bool, name: str, be: str, value: Any) -> None:
    if not holds:
        raise OptionError(f"{name} must be {be}, not {value!r:.80}")


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _callable(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_seed(value: Any) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return all(each is None or (_whole(each) and each >= 0) for each in value)
    return value is None or (_whole(value) and bool(value >= 0))
