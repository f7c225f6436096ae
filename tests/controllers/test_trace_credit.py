"""CreditDecoding against a dense reading of its formula, and what it saves."""

from __future__ import annotations

import numpy as np
import pytest

import ctrlgen
from ctrlgen.canvas.parts import OPEN
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers import TraceCredit
from ctrlgen.schedulers import Threshold
from ctrlgen.testing import ScriptedDenoiser
from tests.controllers.toys import DENOISER, VOCAB, canvas_of

MASK, A = DENOISER.mask_token_id, ord("a")


def dense(steps: list[Floats], open_: list[np.ndarray], alpha: float, beta: float, gamma: float):
    """The formula with a matrix (positions, vocab), step by step."""
    credit, out = np.zeros_like(steps[0]), []
    for logits, masked in zip(steps, open_, strict=True):
        seen = np.where(np.arange(VOCAB) == MASK, -np.inf, logits)
        p = np.exp(seen) / np.exp(seen).sum(axis=1, keepdims=True)
        credit *= beta
        for i in np.flatnonzero(masked):
            credit[i, p[i].argmax()] += p[i].max() ** gamma
        out.append(np.where(masked[:, None], logits + alpha * np.log(1 + credit), logits))
    return out


@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(0.7, 0.8, 0.2), (2.0, 1.0, 1.0)])
def test_credit_is_its_formula(alpha: float, beta: float, gamma: float) -> None:
    rng = np.random.default_rng(0)
    canvas = canvas_of("[ab]*")
    (gap,) = canvas.gaps()
    base = rng.normal(size=(6, VOCAB)) * 3
    steps = [base + rng.normal(size=base.shape) for _ in range(5)]
    steps[2][3, 7] = -np.inf
    steps[1][:, MASK] = 50.0
    credit, found, open_ = TraceCredit(alpha, beta, gamma), [], []
    for i, logits in enumerate(steps):
        open_.append(gap.committed == OPEN)
        found.append(credit(canvas, logits))
        gap.committed[i] = A
    for mine, wanted in zip(found, dense(steps, open_, alpha, beta, gamma), strict=True):
        np.testing.assert_allclose(mine, wanted)


def test_a_new_gap_starts_without_credit_and_canvases_have_their_own() -> None:
    one, other, credit = canvas_of("[ab]*"), canvas_of("[ab]*"), TraceCredit()
    logits = np.random.default_rng(1).normal(size=(6, VOCAB))
    first = credit(one, logits)
    assert (credit(one, logits) >= first).all() and (credit(one, logits) > first).any()
    np.testing.assert_array_equal(credit(other, logits), first)
    (gap,) = one.gaps()
    gap.resize(one.scaffold.filling(gap, gap.length))
    np.testing.assert_array_equal(credit(one, logits), first)


def wavering(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """The same token is best everywhere and always, with .3 to .9 of the mass."""
    rows = np.zeros(shape)
    rows[:, A] = np.log(95) + rng.uniform(-1.0, 2.0, size=shape[0])
    return rows


def test_what_is_predicted_again_and_again_commits_sooner() -> None:
    model = ctrlgen.Model(ScriptedDenoiser(wavering))
    generator = ctrlgen.Generator(model, ctrlgen.regex("[ -~]{24}"), scheduler=Threshold(0.95))
    plain = generator.generate("x")
    sooner = generator.generate("x", controllers=[TraceCredit()])
    assert sooner.text == plain.text == "a" * 24
    assert sooner.usage.forward_passes < plain.usage.forward_passes


@pytest.mark.parametrize("bad", [{"alpha": -1.0}, {"beta": 1.5}, {"gamma": -0.1}])
def test_bad_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        TraceCredit(**bad)
