"""Validators and checks: what is refused is drawn again, the fields to blame first."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

import ctrlgen
from ctrlgen.blame import blamed
from ctrlgen.errors import OutputValidationError

TEXT = "start 7, end 3, name Rosa"


class Cat(BaseModel):
    kind: str
    lives: int = Field(le=9)


class Dog(BaseModel):
    kind: str
    bark: str


class Span(BaseModel):
    name: str
    start: int = Field(ge=0, le=99)
    end: int = Field(ge=0, le=99)

    @field_validator("end")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


@pytest.fixture(scope="module")
def model() -> ctrlgen.Model:
    return ctrlgen.load()


def test_blame_is_a_pointer_into_the_answer() -> None:
    class Owner(BaseModel):
        pets: list[Cat | Dog] = Field(alias="a/b")

    text = '{"a/b":[{"kind":"x","lives":3},{"kind":"y","lives":10}]}'
    with pytest.raises(ValidationError) as caught:
        Owner.model_validate_json(text)
    assert "/a~1b/1/lives" in blamed(caught.value, text)
    assert all(pointer.startswith("/a~1b/1") for pointer in blamed(caught.value, text))


def test_blame_of_a_model_validator_is_the_whole() -> None:
    class Odd(BaseModel):
        a: int

        @model_validator(mode="after")
        def never(self) -> Odd:
            raise ValueError("never")

    with pytest.raises(ValidationError) as caught:
        Odd.model_validate_json('{"a":1}')
    assert blamed(caught.value, '{"a":1}') == ("",)


def test_only_what_is_to_blame_is_drawn_again(model: ctrlgen.Model) -> None:
    generator = ctrlgen.Generator(model, Span, attempts=40)
    kept = 0
    for seed in range(6):
        result = generator.generate(TEXT, seed=seed)
        assert result.output.end % 2 == 0
        refused = [event for event in result.trace if event.refused]
        assert all("must be even" in (event.refused or "") for event in refused)
        if 0 < len(refused) < 20:  # from the twentieth attempt on the whole canvas begins anew
            first = Span.model_construct(**json.loads(refused[0].text))
            assert (first.name, first.start) == (result.output.name, result.output.start)
            kept += 1
    assert kept


def test_a_check_is_part_of_validity(model: ctrlgen.Model) -> None:
    class Range(BaseModel):
        start: int = Field(ge=0, le=9)
        end: int = Field(ge=0, le=9)

    ordered = ctrlgen.Generator(model, Range, attempts=60, check=lambda r: r.end > r.start)
    results = [ordered.generate("start 7, end 3", seed=seed) for seed in range(4)]
    assert all(r.output.end > r.output.start for r in results)
    assert any(event.refused for r in results for event in r.trace)


def test_what_a_check_always_refuses_is_an_error(model: ctrlgen.Model) -> None:
    def never(value: object) -> None:
        raise ValueError("not today")

    with pytest.raises(ctrlgen.errors.OutputValidationError, match="not today"):
        model(TEXT, Cat, check=never, attempts=3)


def test_the_best_of_several(model: ctrlgen.Model) -> None:
    generator = ctrlgen.Generator(model, int)
    found = generator.best_of("seven or 12", 6, float, temperature=2.0, seed=1)
    drawn = generator.generate_batch(["seven or 12"] * 6, temperature=2.0, seed=1)
    assert found.output == max(r.output for r in drawn)
    with pytest.raises(ValueError, match="1 or more"):
        generator.best_of("x", 0, float)


def test_an_assertion_of_the_check_refuses(model) -> None:
    def above(value: int) -> None:
        assert value > 50, "too low"

    generator = ctrlgen.Generator(
        model, Annotated[int, Field(ge=0, le=99)], check=above, attempts=40
    )
    assert generator("x", seed=0) > 50
    with pytest.raises(OutputValidationError, match="too low"):
        generator("x", seed=0, deadline=0)
