"""Beam over canvases: the verifier is obeyed, passes are counted, what is accepted is kept."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import BaseModel, Field

import ctrlgen
from ctrlgen.errors import OptionError, OutputValidationError
from ctrlgen.schedulers import LowConfidence
from ctrlgen.testing import RandomDenoiser
from tests.search.test_smc import Stay, generator_of
from tests.search.toys import Words


class Range(BaseModel):
    start: int = Field(ge=0, le=99)
    end: int = Field(ge=0, le=99)


def test_of_the_drafts_the_verifier_keeps_the_best() -> None:
    generator = generator_of(Words(4, 3), "[abc]{4}")
    score = lambda word: word.count("c") - word.count("a")  # noqa: E731
    one = [generator.generate("", seed=s, temperature=1.0).output for s in range(5)]
    found = [generator.beam("", 3, score, branch=6, seed=s, temperature=1.0) for s in range(5)]
    assert np.mean([score(f.best.output) for f in found]) > np.mean([score(w) for w in one]) + 1
    for each in found:
        assert [score(r.output) for r in each.results] == each.log_weights.tolist()
        assert (np.diff(each.log_weights) <= 0).all() and len(each.results) <= 3


def test_a_draft_that_was_accepted_is_never_lost() -> None:
    """With the old draft among the ways to go on, the best score never falls."""
    generator = generator_of(Words(4, 5), "[abc]{4}")
    seen: list[list[str]] = []

    def score(word: str) -> float:
        seen[-1].append(word)
        return float(word.count("b"))

    for seed in range(5):
        seen.append([])
        best = generator.beam("", 2, score, branch=4, seed=seed).best
        assert best.output.count("b") == max(word.count("b") for word in seen[-1])


def test_ways_share_the_forward_pass_of_their_canvas() -> None:
    denoiser = Words(4, 0)
    found = generator_of(denoiser, "[abc]{4}").beam("", 3, branch=5, seed=0)
    assert found.forward_passes == denoiser.looked <= 1 + 3 + 3 + 3
    assert all(result.usage.forward_passes == 4 for result in found.results)
    assert (found.best.trace[0].search or "").startswith("5 paths, 5 accepted")
    single = Words(4, 0)
    assert generator_of(single, "[abc]{4}").beam("", 1, branch=9).forward_passes == 4


@pytest.mark.parametrize("seed", range(3))
def test_relations_between_fields(seed: int) -> None:
    """`end > start`, and equal values, which no schema can say."""
    model = ctrlgen.load()
    generator = ctrlgen.Generator(model, Range)
    later = generator.beam("start 70, end 30", 6, seed=seed, check=lambda r: r.end > r.start)
    assert all(r.output.end > r.output.start for r in later.results)
    equal = generator.beam(
        "start 7, end 8", 8, seed=seed, branch=8, temperature=1.0, scheduler=LowConfidence(),
        score=lambda r: -abs(r.end - r.start),
    )  # fmt: skip
    assert abs(equal.best.output.end - equal.best.output.start) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_forks_slots_and_growing_gaps_are_fine(seed: int) -> None:
    generator = ctrlgen.Generator(ctrlgen.Model(RandomDenoiser(seed, 1.5)), Stay)
    found = generator.beam(
        "x", 3, lambda s: -len(s.tags), seed=seed, check=lambda s: s.first != s.last,
        max_new_tokens=60, steps=8,
    )  # fmt: skip
    assert all(
        isinstance(r.output, Stay) and r.output.first != r.output.last for r in found.results
    )


def test_the_canvases_go_their_own_ways() -> None:
    """Children of one canvas share nothing that commits, grows or collapses."""
    generator = ctrlgen.Generator(ctrlgen.Model(RandomDenoiser(4, 1.0)), Stay, max_new_tokens=60)
    found = generator.beam("x", 4, branch=4, seed=1, steps=8)
    assert len({r.text for r in found.results}) == len(found.results) > 1
    for result in found.results:
        assert Stay.model_validate_json(result.text) == result.output
        assert result.trace[-1].text == result.text


def test_what_is_always_refused_is_an_error() -> None:
    generator = generator_of(Words(3, 0), "[abc]{3}")
    with pytest.raises(OutputValidationError, match="refused by the check"):
        generator.beam("", 2, check=lambda word: False)
    denoiser = Words(3, 0)
    with pytest.raises(OutputValidationError):
        generator_of(denoiser, "[abc]{3}").beam("", 1, check=lambda word: False, attempts=3)
    assert denoiser.looked == 9
    with pytest.raises(ValueError, match="above 0"):
        generator.beam("", 2, temperature=0.0)
    with pytest.raises(ValueError, match="1 or more"):
        generator.beam("", 2, branch=0)
    with pytest.raises(OptionError, match="score returned nan"):
        generator.beam("", 2, lambda word: float("nan"))
