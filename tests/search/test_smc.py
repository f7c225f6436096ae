"""Particles against the exact target by brute force; what is counted, told and refused."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from pydantic import BaseModel, Field

import ctrlgen
from ctrlgen.errors import OutputValidationError
from ctrlgen.schedulers import EntropyBound
from ctrlgen.testing import RandomDenoiser
from tests.search.toys import OneByOne, Words, distance

PATTERN = "a[abc][ab]|b[bc][bc]|c[ac][ac]"
"""Each letter restricts the next, and none leaves a single one: that would commit beside others."""


def target(denoiser: Words, pattern: str, factor: dict[str, float] | None = None) -> dict:
    """The joint among the words that the pattern accepts, times a factor."""
    mass = {
        word: p * (factor or {}).get(word, 1.0)
        for word, p in denoiser.joint.items()
        if re.fullmatch(pattern, word)
    }
    return {word: p / sum(mass.values()) for word, p in mass.items()}


def generator_of(denoiser: Words, pattern: str = PATTERN, **options: object) -> ctrlgen.Generator:
    model = ctrlgen.Model(denoiser)
    return ctrlgen.Generator(
        model, ctrlgen.regex(pattern), scheduler=OneByOne(), max_new_tokens=denoiser.length,
        **options,
    )  # fmt: skip


def particles(generator: ctrlgen.Generator, count: int, runs: int, **more: object) -> dict:
    """The weighted distribution of `runs` populations."""
    out: Counter[str] = Counter()
    for seed in range(runs):
        found = generator.smc("", count, seed=seed, **more)
        for result, weight in zip(found.results, found.weights.tolist(), strict=True):
            out[result.text] += weight / runs
    return dict(out)


def independent(generator: ctrlgen.Generator, count: int) -> dict:
    drawn = generator.generate_batch([""] * count, temperature=1.0, seed=0)
    return {text: n / count for text, n in Counter(r.text for r in drawn).items()}


@pytest.mark.parametrize("seed", [0, 2])
def test_particles_come_closer_to_the_target_than_independent_draws(seed: int) -> None:
    denoiser = Words(3, seed)
    generator, wanted = generator_of(denoiser), target(denoiser, PATTERN)
    far = distance(independent(generator, 240), wanted)
    near = distance(particles(generator, 24, 10), wanted)
    noise = max(
        distance(_sample(wanted, 240, each), wanted) for each in range(20)
    )  # of 240 exact draws
    assert near < far / 2
    assert near < 2.5 * noise


def _sample(p: dict[str, float], count: int, seed: int) -> dict[str, float]:
    drawn = np.random.default_rng(seed).multinomial(count, list(p.values()))
    return dict(zip(p, (drawn / count).tolist(), strict=True))


@pytest.mark.parametrize("draws", [0, 3])
def test_a_score_and_a_check_bend_the_target(draws: int) -> None:
    """exp(score) for the score, and nothing for what is refused."""
    denoiser = Words(3, 4)
    generator = generator_of(denoiser, "[abc]{3}")
    factor = {
        word: 0.0 if word[0] == word[2] else float(np.exp(word.count("b")))
        for word in denoiser.joint
    }
    wanted = target(denoiser, "[abc]{3}", factor)
    found = particles(
        generator, 32, 8, draws=draws, score=lambda word: word.count("b"),
        check=lambda word: word[0] != word[2],
    )  # fmt: skip
    assert all(word[0] != word[2] for word in found)
    assert distance(found, wanted) < 0.15
    assert distance(found, target(denoiser, "[abc]{3}")) > 0.25


def test_foresight_saves_particles() -> None:
    """With a look at draws, more of the particles end where the check wants them."""
    generator = generator_of(Words(4, 1), "[abc]{4}")
    kept = {
        draws: sum(_accepted(generator, seed, draws) for seed in range(2, 6)) for draws in (0, 6)
    }
    assert kept[6] > 1.3 * kept[0]


def _accepted(generator: ctrlgen.Generator, seed: int, draws: int) -> int:
    check = lambda word: word[0] == word[3]  # noqa: E731
    return len(generator.smc("", 24, seed=seed, check=check, draws=draws).results)


def test_every_look_is_counted_and_the_trace_tells() -> None:
    denoiser = Words(3, 0)
    found = generator_of(denoiser).smc("", 12, seed=3, ess=1.0)
    assert found.forward_passes == denoiser.looked == 36
    assert all(result.usage.forward_passes == len(result.trace) == 3 for result in found.results)
    told = [event.search or "" for event in found.best.trace]
    assert all(text.startswith("effective number of particles") for text in told)
    assert any("drawn anew" in text for text in told)
    assert found.best.trace[0].as_dict()["search"] == told[0]
    assert found.weights.sum() == pytest.approx(1.0)
    assert (np.diff(found.weights) <= 0).all()


def test_all_particles_stay_without_resampling() -> None:
    found = generator_of(Words(3, 0)).smc("", 12, seed=3, ess=0.0)
    assert len(found.results) == 12
    assert not any("anew" in (e.search or "") for r in found.results for e in r.trace)


class Stay(BaseModel):
    kind: str = Field(max_length=6)
    tags: list[str] = Field(max_length=2)
    first: int = Field(ge=1, le=31)
    last: int = Field(ge=1, le=31)


@pytest.mark.parametrize("seed", range(3))
def test_forks_slots_and_growing_gaps_are_fine(seed: int) -> None:
    generator = ctrlgen.Generator(ctrlgen.Model(RandomDenoiser(seed, 1.5)), Stay)
    found = generator.smc(
        "x", 6, seed=seed, check=lambda s: s.first != s.last, scheduler=EntropyBound(2.0),
        max_new_tokens=60, steps=8,
    )  # fmt: skip
    assert all(
        isinstance(r.output, Stay) and r.output.first != r.output.last for r in found.results
    )
    assert np.isfinite(found.log_weights).all()


def test_what_is_always_refused_is_an_error() -> None:
    generator = generator_of(Words(3, 0))
    with pytest.raises(OutputValidationError, match="refused by the check"):
        generator.smc("", 4, check=lambda word: False)


@pytest.mark.parametrize("bad", [{"ess": 2.0}, {"draws": -1}, {"temperature": 0.0}])
def test_bad_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"within 0 and 1|above 0"):
        generator_of(Words(3, 0)).smc("", 4, **bad)
    with pytest.raises(ValueError, match="1 or more"):
        generator_of(Words(3, 0)).smc("", 0)
