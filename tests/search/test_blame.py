"""Who is to blame, and that nothing else changes: nested fields, lists, models, tight budgets."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, model_validator

import ctrlgen
from ctrlgen.blame import blamed
from ctrlgen.errors import OutputValidationError
from ctrlgen.result import Result
from ctrlgen.testing import RandomDenoiser


def even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


Even = Annotated[int, Field(ge=0, le=99), AfterValidator(even)]
Small = Annotated[int, Field(ge=0, le=99)]
Word = Annotated[str, Field(pattern="^[a-z]{1,4}$")]


class Span(BaseModel):
    start: Small
    end: Small


class Ordered(Span):
    @model_validator(mode="after")
    def ordered(self) -> Ordered:
        if self.end <= self.start:
            raise ValueError("must end after it starts")
        return self


class Nested(BaseModel):
    name: Word
    span: Span
    deep: Deep


class Deep(BaseModel):
    label: Word
    more: Deeper


class Deeper(BaseModel):
    number: Even
    word: Word


class Trip(BaseModel):
    title: Word
    stay: Ordered
    nights: Small


class Row(BaseModel):
    key: Word
    value: Even


class Rows(BaseModel):
    title: Word
    rows: Annotated[list[Row], Field(min_length=2, max_length=2)]


class Numbers(BaseModel):
    title: Word
    numbers: Annotated[list[Even], Field(min_length=3, max_length=3)]


class Whole(BaseModel):
    a: Small
    b: Small

    @model_validator(mode="after")
    def equal(self) -> Whole:
        if self.a % 10 != self.b % 10:
            raise ValueError("must end alike")
        return self


def generator_of(kind: type[BaseModel], seed: int, **options: Any) -> ctrlgen.Generator:
    model = ctrlgen.Model(RandomDenoiser(seed, 1.0))
    return ctrlgen.Generator(model, kind, temperature=1.0, max_new_tokens=120, **options)


def leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """All values that hold no other, by JSON pointer."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in pairs:
            yield from leaves(each, f"{pointer}/{key}")
    else:
        yield pointer, value


def changes(result: Result) -> Iterator[tuple[str, set[str]]]:
    """What was said of each refused text, and where the next finished text differs from it."""
    texts = [(event.refused, event.text) for event in result.trace if event.refused]
    for (refused, text), (_, after) in itertools.pairwise([*texts, (None, result.text)]):
        old, new = dict(leaves(json.loads(text))), dict(leaves(json.loads(after)))
        yield str(refused), {key for key in old | new if old.get(key) != new.get(key)}


@pytest.mark.parametrize(
    ("kind", "blamable"),
    [
        (Nested, {"/deep/more/number"}),
        (Trip, {"/stay/start", "/stay/end"}),
        (Rows, {"/rows/0/value", "/rows/1/value"}),
        (Numbers, {"/numbers/0", "/numbers/1", "/numbers/2"}),
    ],
)
def test_only_the_fields_to_blame_are_written_anew(
    kind: type[BaseModel], blamable: set[str]
) -> None:
    """Two hundred attempts: the canvas never begins anew within the first hundred.

    A list of numbers is one slot: it is written anew as a whole, and nothing beside it.
    """
    seen: set[str] = set()
    for seed in range(4):
        result = generator_of(kind, seed, attempts=200).generate("x", seed=seed)
        kind.model_validate_json(result.text)
        for refused, changed in changes(result):
            assert changed <= blamable, refused
            seen |= changed
    assert seen == blamable


def test_of_a_list_of_objects_only_the_wrong_ones_are_written_anew() -> None:
    mixed = 0
    for seed in range(3):
        result = generator_of(Rows, seed, attempts=200).generate("x", seed=seed)
        texts = [json.loads(event.text) for event in result.trace if event.refused]
        for before, after in itertools.pairwise([*texts, json.loads(result.text)]):
            for old, new in zip(before["rows"], after["rows"], strict=True):
                assert old["key"] == new["key"]
                assert old["value"] % 2 or old == new
            mixed += any(row["value"] % 2 == 0 for row in before["rows"])
    assert mixed


def test_a_validator_of_the_whole_begins_anew() -> None:
    generator = generator_of(Whole, 0, attempts=200)
    found = [set().union(*(c for _, c in changes(generator.generate("x", seed=s)))) for s in (1, 2)]
    assert found == [{"/a", "/b"}] * 2


@pytest.mark.parametrize("attempts", [1, 2, 5])
@pytest.mark.parametrize("steps", [1, 3])
def test_forward_passes_stay_within_the_budget(attempts: int, steps: int) -> None:
    """One pass an attempt is enough to draw again; none are made that the budget does not hold."""

    class Never(BaseModel):
        name: Word
        value: Annotated[Small, AfterValidator(lambda v: even(2 * v + 1))]

    class Counting(RandomDenoiser):
        looked = 0

        def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Any]:
            self.looked += len(sequences)
            return super().__call__(sequences, positions)

    denoiser = Counting(0, 1.0)
    generator = ctrlgen.Generator(ctrlgen.Model(denoiser), Never, temperature=1.0)
    with pytest.raises(OutputValidationError, match="must be even"):
        generator.generate("x", attempts=attempts, steps=steps)
    assert attempts <= denoiser.looked <= attempts * steps


@pytest.mark.parametrize("kind", [Nested, Trip, Rows, Numbers])
def test_a_budget_of_one_pass_and_many_attempts_finds_an_answer(kind: type[BaseModel]) -> None:
    refused = 0
    for seed in range(3):
        result = generator_of(kind, seed, steps=1, attempts=200).generate("x", seed=seed)
        kind.model_validate_json(result.text)
        again = sum(event.refused is not None for event in result.trace)
        assert result.usage.forward_passes == again + 1 == len(result.trace)
        refused += again
    assert refused


def test_the_others_of_a_batch_are_left_alone() -> None:
    """What is accepted early takes no part in the passes of the rest."""
    uneven = 0
    for seed in range(4):
        results = generator_of(Trip, 1, attempts=200).generate_batch(["x", "y", "z"], seed=seed)
        assert all(r.output.stay.end > r.output.stay.start for r in results)
        assert all(r.usage.forward_passes == len(r.trace) for r in results)
        assert all(r.trace[-1].text == r.text for r in results)
        uneven += len({sum(e.refused is not None for e in r.trace) for r in results}) > 1
    assert uneven


class Alias(BaseModel):
    given: list[Row] = Field(alias="a/b~c")


@pytest.mark.parametrize(
    ("kind", "value", "pointers"),
    [
        (Nested, {"name": "a", "span": {"start": 1, "end": 2},
                  "deep": {"label": "b", "more": {"number": 3, "word": "c"}}},
         {"/deep/more/number"}),
        (Trip, {"title": "a", "stay": {"start": 5, "end": 5}, "nights": 1}, {"/stay"}),
        (Rows, {"title": "a", "rows": [{"key": "a", "value": 1}, {"key": "b", "value": 2}]},
         {"/rows/0/value"}),
        (Numbers, {"title": "a", "numbers": [1, 2, 3]}, {"/numbers/0", "/numbers/2"}),
        (Whole, {"a": 1, "b": 2}, {""}),
        (Alias, {"a/b~c": [{"key": "a", "value": 1}]}, {"/a~1b~0c/0/value"}),
    ],
)  # fmt: skip
def test_blame(kind: type[BaseModel], value: dict[str, Any], pointers: set[str]) -> None:
    text = json.dumps(value)
    with pytest.raises(ValueError, match="validation error") as caught:
        kind.model_validate_json(text)
    assert set(blamed(caught.value, text)) == pointers  # type: ignore[arg-type]
