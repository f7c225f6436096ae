"""User functions are controllers; whatever controllers and proposers do, the answer is valid."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
import torch

import ctrlgen
from ctrlgen.canvas import Canvas
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers import (
    AdaptiveMasking,
    AutoregressiveCheck,
    CausalReader,
    ClassifierFree,
    ClassifierGuidance,
    EnergyResampling,
    regions,
)
from ctrlgen.controllers.base import control
from ctrlgen.errors import GenerationError, NonFiniteLogitsError
from ctrlgen.testing import ADVERSARIES, RandomDenoiser, ScriptedDenoiser
from tests.controllers.test_supervision import Bigrams
from tests.controllers.toys import DENOISER, VOCAB, Toy

SCHEMA = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "maxLength": 12},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"enum": ["good", "bad"]}, "maxItems": 3},
    },
    "required": ["summary", "stars", "tags"],
    "additionalProperties": False,
}


def model_of(rows: Any, seed: int = 0) -> ctrlgen.Model:
    denoiser = ScriptedDenoiser(rows, seed, longer=("ab", "ba"))
    assert denoiser.vocabulary.fingerprint == DENOISER.vocabulary.fingerprint
    return ctrlgen.Model(denoiser)


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.normal(size=shape)


def everything(model: ctrlgen.Model, seed: int) -> dict[str, Any]:
    """All guidance at once, far too strong."""
    reader = CausalReader(Bigrams(seed), DENOISER.vocabulary)
    classifiers = [Toy(seed), Toy(seed + 1, noise_aware=False)]
    return {
        "controllers": [
            ClassifierFree(model.denoiser, scale=50.0),
            AdaptiveMasking(model.denoiser, scale=50.0),
            ClassifierGuidance(classifiers[0], "wanted", scale=1e4, top_k=3),
            ClassifierGuidance(classifiers[1], "other", scale=-1e4, top_k=3, fields="/summary"),
        ],
        "proposer": [EnergyResampling(reader), AutoregressiveCheck(reader)][seed % 2],
    }


@pytest.mark.parametrize("name", ["constant", "half_impossible", "one_finite", "quote"])
@pytest.mark.parametrize("seed", [0, 1])
def test_guidance_never_breaks_validity(name: str, seed: int) -> None:
    model = model_of(ADVERSARIES[name], seed)
    generator = ctrlgen.Generator(model, SCHEMA, max_new_tokens=70, steps=3 + 9 * seed)
    for event in generator.stream("ab", seed=seed, **everything(model, seed)):
        value = json.loads(event.text)
        assert set(value) == {"summary", "stars", "tags"}
        assert 1 <= value["stars"] <= 5 and len(value["summary"]) <= 12


@pytest.mark.parametrize("seed", range(8))
def test_wild_functions_never_break_validity(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def wild(canvas: Canvas, logits: Floats) -> Floats:
        out = rng.normal(size=logits.shape) * 10.0 ** rng.integers(8)
        out[rng.random(size=out.shape) < rng.random()] = -np.inf
        out[:, 0] = 0.0
        return out

    generator = ctrlgen.Generator(model_of(normal), SCHEMA, controllers=[wild], steps=6)
    result = generator.generate("ab", seed=seed)
    assert 1 <= result.output["stars"] <= 5


def test_a_function_is_a_controller() -> None:
    """A ban on one letter and a push towards another change the answer, within the pattern."""
    ban, push = ord("a"), ord("d")

    def prefer(canvas: Canvas, logits: Floats) -> Floats:
        logits = logits.copy()
        logits[:, ban] = -np.inf
        logits[:, push] += 20.0
        return logits

    plain = ctrlgen.Generator(model_of(ADVERSARIES["letter"]), ctrlgen.regex("[a-d]{4}"))
    assert plain("x") == "aaaa"
    assert plain("x", controllers=[prefer]) == "dddd"
    banned_everything = plain("x", controllers=[lambda canvas, logits: logits - 1e6])
    assert banned_everything == "aaaa"  # a constant changes nothing


def test_a_function_sees_the_canvas_and_its_prompt() -> None:
    seen: list[tuple[list[int], int, int]] = []

    def look(canvas: Canvas, logits: Floats) -> Floats:
        (region,) = regions(canvas)
        seen.append((canvas.prompt, int(region.open.sum()), len(logits)))
        return logits

    model = model_of(normal)
    ctrlgen.Generator(model, ctrlgen.regex("[ab]{1,8}"), controllers=(look,))("hi")
    assert seen[0][0] == model.denoiser.encode("hi")
    assert [open_ for _, open_, _ in seen] == sorted((o for _, o, _ in seen), reverse=True)
    assert all(open_ <= rows for _, open_, rows in seen)


def test_controllers_run_in_order_and_together() -> None:
    calls: list[str] = []

    class Batched:
        def __call__(self, canvas: Canvas, logits: Floats) -> Floats:
            raise AssertionError("a batch is at hand")

        def batch(self, canvases: Any, logits: Any) -> list[Floats]:
            calls.append(f"batch of {len(canvases)}")
            return [rows + 1 for rows in logits]

    def double(canvas: Canvas, logits: Floats) -> Floats:
        calls.append("double")
        return logits * 2

    rows, chain, other = [np.ones((2, 3))] * 3, (Batched(), double), (double,)
    found = control([chain, other, chain], [None] * 3, rows)  # type: ignore[list-item]
    assert [array[0, 0] for array in found] == [4.0, 2.0, 4.0]
    assert sorted(calls) == ["batch of 2", "double", "double", "double"]


def test_a_wrong_shape_is_told() -> None:
    def halve(canvas: Canvas, logits: Floats) -> Floats:
        return logits[:, ::2]

    with pytest.raises(GenerationError, match="controller halve made"):
        ctrlgen.Generator(model_of(normal), ctrlgen.regex("a{3}b*"), controllers=[halve])("x")


def test_a_function_that_returns_nan_is_told() -> None:
    spoil = functools.partial(lambda value, canvas, logits: logits + value, np.nan)
    with pytest.raises(NonFiniteLogitsError):
        ctrlgen.Generator(model_of(normal), ctrlgen.regex("[ab]{3}"), controllers=[spoil])("x")


def test_guidance_steers_only_its_field() -> None:
    class LikesB(Toy):
        """Certain of `wanted` where every position holds the letter b."""

        def __call__(self, embedded: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
            score = (embedded[..., ord("b")] - 1).mean(dim=1) * 9
            return torch.stack([score, score * 0], dim=1)

    schema = {
        "type": "object",
        "properties": {k: {"type": "string", "pattern": "^[ab]{3}$"} for k in ("one", "two")},
        "required": ["one", "two"],
    }
    guide = ClassifierGuidance(LikesB(0), "wanted", scale=500.0, fields="/two")
    generator = ctrlgen.Generator(model_of(ADVERSARIES["letter"]), schema, controllers=[guide])
    assert generator("x") == {"one": "aaa", "two": "bbb"}


def test_a_batch_with_guidance_is_what_its_members_are_alone() -> None:
    model = ctrlgen.Model(RandomDenoiser(3, longer=("ab", "ba")))
    assert model.denoiser.vocabulary.size == VOCAB
    generator = ctrlgen.Generator(model, ctrlgen.regex("[a-d]{2,9}"), max_new_tokens=20)
    prompts = ["x", "longer", "ab"]

    def controllers() -> list[Any]:
        return [ClassifierFree(model.denoiser), ClassifierGuidance(Toy(1), "wanted", scale=2.0)]

    together = generator.batch(prompts, controllers=controllers())
    alone = [generator(prompt, controllers=controllers()) for prompt in prompts]
    assert together == alone
