"""Grounding: torn phrases are made whole, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ctrlgen
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers.grounding import Grounded, phrases_of
from ctrlgen.testing import ScriptedDenoiser

PROMPT = "play Cross Currents, now"
OBJECT = {"type": "object", "properties": {"t": {"type": "string"}}, "additionalProperties": False}


class Meaning(ScriptedDenoiser):
    """Wants to write one text into every slot, and is less sure of some bytes."""

    def __init__(self, meant: str, doubt: str = "", length: int = 200) -> None:
        super().__init__(self.meant, longer=())
        tokens = [*meant.encode(), *[257] * length][:length]
        self.wanted = np.full((length, self.vocabulary.size), -12.0)
        self.wanted[np.arange(length), tokens] = 0.0
        for i, byte in enumerate(doubt.encode()):
            self.wanted[i, byte] = max(self.wanted[i, byte], -1.5)

    def meant(self, rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        return self.wanted[: shape[0]].copy()


def answer(denoiser: ScriptedDenoiser, schema: Any, **options: Any) -> str:
    model = ctrlgen.Model(denoiser)
    return ctrlgen.Generator(model, schema, steps=2, **options).generate(PROMPT).text


TORN, WHOLE = '"Cross Curbells"', '"Cross Currents"'


def test_a_torn_phrase_becomes_whole() -> None:
    string = {"type": "string", "minLength": 5}
    assert answer(Meaning(TORN, WHOLE), string) == TORN
    assert answer(Meaning(TORN, WHOLE), string, proposer=Grounded(9.0)) == WHOLE


def test_a_phrase_that_is_too_unlikely_does_not_take_its_place() -> None:
    string = {"type": "string", "minLength": 5}
    assert answer(Meaning(TORN, WHOLE), string, proposer=Grounded(3.0)) == TORN


def test_the_grammar_has_the_last_word() -> None:
    pattern = {"type": "string", "pattern": "^Cross Cur(bells|tain)$"}
    assert answer(Meaning(TORN, WHOLE), pattern, proposer=Grounded(50.0)) == TORN


def test_the_text_of_an_expression_is_grounded() -> None:
    words = ctrlgen.regex("[A-Z][a-z]+ [A-Z][a-z]+")
    torn = Meaning("Cross Curbells", "Cross Currents")
    assert answer(torn, words) == "Cross Curbells"
    assert answer(torn, words, proposer=Grounded(9.0)) == "Cross Currents"


def test_what_is_absent_stays_absent() -> None:
    assert answer(Meaning(""), OBJECT, proposer=Grounded(1e6)) == "{}"


def test_numbers_are_not_phrases() -> None:
    assert answer(Meaning("12"), {"type": "integer"}, proposer=Grounded(1e6)) == "12"


def test_phrases_run_from_word_to_word_within_a_turn() -> None:
    denoiser = Meaning("")
    mask = denoiser.mask_token_id
    prompt = (*denoiser.encode("ab c."), mask, *denoiser.encode("d"))
    phrases = phrases_of(prompt, denoiser.vocabulary, denoiser.encode, 2)
    spelled = {
        bytes(row[:n].tolist()) for row, n in zip(phrases.tokens, phrases.lengths, strict=True)
    }
    assert spelled == {b'"ab"', b'"ab c"', b'"c"', b'"c."', b'"."', b'"d"'}


def test_the_embedded_model_is_grounded() -> None:
    generator = ctrlgen.Generator(ctrlgen.load(), OBJECT)
    assert isinstance(generator._proposer(), Grounded)
    assert not isinstance(
        ctrlgen.Generator(ctrlgen.Model(Meaning("")), OBJECT)._proposer(), Grounded
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_run_is_repeatable(temperature: float) -> None:
    model = ctrlgen.load()
    generator = ctrlgen.Generator(model, OBJECT, temperature=temperature, seed=3)
    assert generator(PROMPT) == generator(PROMPT)
