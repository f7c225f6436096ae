"""Several answers to one prompt, and what is thought of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.constraints.atoms import Floats
from ctrlgen.errors import OptionError, OutputValidationError
from ctrlgen.result import Result
from ctrlgen.run import Run
from ctrlgen.search.again import checked


@dataclass(frozen=True)
class Verdict:
    """What is thought of a text.

    Args:
        output: The typed answer, None if it is refused.
        score: What the verifier says, in nats; more is better; -inf if it is refused.
        refusal: Why it is.
    """

    output: Any
    score: float
    refusal: OutputValidationError | None = None


Judge = Callable[[str], Verdict]


def judge_of(
    parse: Callable[[str], Any],
    check: Callable[[Any], Any] | None,
    score: Callable[[Any], float] | None,
) -> Judge:
    """Type, check and verifier in one."""

    def judge(text: str) -> Verdict:
        try:
            output = checked(parse, text, check)
        except OutputValidationError as error:
            return Verdict(None, -math.inf, error)
        return Verdict(output, 0.0 if score is None else _number(score(output)))

    return judge


def _number(score: Any) -> float:
    """What a verifier returned; NaN would decide nothing."""
    if not isinstance(score, Real) or math.isnan(score):
        raise OptionError(
            f"score returned {score!r:.80}, which is no number",
            hint="return a float, the more the better",
        )
    return float(score)


def draft_is_whole(canvas: Canvas) -> bool:
    """Whether the witness is a draft of the whole answer: no fork decides yet what follows it."""
    return all(
        gap.settled or not any(option.whole is not None for option in gap.options)
        for gap in canvas.gaps()
    )


def note(run: Run, text: str) -> None:
    """Say in the trace what the search did in the last step."""
    if run.trace:
        run.trace[-1] = replace(run.trace[-1], search=text)


@dataclass(frozen=True)
class Population:
    """Answers that a search came to, the best first.

    Args:
        results: The answers; the usage of each is what it alone took to come about.
        log_weights: Of the answers, not normalised: of particles how much each stands for, of a
            beam the verifier's score; (answers,).
        forward_passes: Of the whole search, what came to nothing included.
    """

    results: tuple[Result, ...]
    log_weights: Floats
    forward_passes: int

    @property
    def best(self) -> Result:
        """The answer of the largest weight."""
        return self.results[0]

    @property
    def weights(self) -> Floats:
        """Weights that sum to one, (answers,)."""
        mass = np.exp(self.log_weights - self.log_weights.max())
        return np.asarray(mass / mass.sum())


def population(runs: list[tuple[Run, float]], judge: Judge, forward_passes: int) -> Population:
    """The runs that are accepted, by weight.

    Raises:
        OutputValidationError: If none is.
    """
    found, refusal = [], None
    for run, weight in runs:
        text = run.canvas.text()
        verdict = judge(text)
        assert run.finish_reason is not None
        if verdict.refusal is not None:
            refusal = refusal or verdict.refusal
        else:
            result = Result(verdict.output, text, run.finish_reason, run.usage, tuple(run.trace))
            found.append((weight, result))
    if not found:
        assert refusal is not None
        raise refusal
    found.sort(key=lambda pair: -pair[0])
    weights = np.array([weight for weight, _ in found])
    return Population(tuple(result for _, result in found), weights, forward_passes)
