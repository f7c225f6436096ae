"""Where pydantic's own schema says too little: what the constraint accepts, pydantic accepts."""

import enum
import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ImportString,
    Json,
    NaiveDatetime,
    StringConstraints,
    TypeAdapter,
)

import ctrlgen
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import SpecError
from ctrlgen.generator import Generator, Model
from ctrlgen.spec import to_spec
from ctrlgen.testing import RandomDenoiser

BYTES = Vocabulary([bytes([i]) for i in range(256)])
LIMITS = [
    {"max_digits": 5, "decimal_places": 2},
    {"decimal_places": 2},
    {"max_digits": 4},
    {"gt": 0, "le": 10},
    {"multiple_of": Decimal("0.05"), "max_digits": 4},
    {"max_digits": 5, "decimal_places": 2, "ge": Decimal("1.5")},
    {"max_digits": 3, "decimal_places": 5},
]
PAIRS = [
    (ctrlgen.compile(kind, BYTES), to_spec(kind).adapter)
    for kind in (Annotated[Decimal, Field(**limits)] for limits in LIMITS)
]


def accepted(adapter: TypeAdapter[Any], text: str) -> bool:
    try:
        adapter.validate_json(text)
    except ValueError:
        return False
    return True


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?", fullmatch=True))
def test_no_limit_is_weakened(text: str) -> None:
    for constraint, adapter in PAIRS:
        assert adapter is not None
        assert not constraint.accepts(text) or accepted(adapter, text)


@pytest.mark.parametrize("text", ["1.5", "9.25", "0.05", "10"])
def test_no_limit_is_overdone(text: str) -> None:
    for constraint, adapter in PAIRS:
        assert adapter is not None
        assert constraint.accepts(text) == accepted(adapter, text)


def test_a_plain_decimal_may_be_text() -> None:
    constraint = ctrlgen.compile(Decimal, BYTES)
    assert constraint.accepts("1.5")
    assert constraint.accepts('"1.5"')


DAYS = st.dates(min_value=date(1000, 1, 1))


@given(DAYS, st.lists(DAYS, min_size=1, max_size=8), st.sampled_from(["ge", "gt", "le", "lt"]))
def test_bounds_of_a_date_are_those_of_pydantic(bound: date, days: list[date], side: str) -> None:
    kind = Annotated[date, Field(**{side: bound})]
    schema = to_spec(kind).schema
    assert isinstance(schema, dict)
    (limit,) = schema["allOf"]
    near = [bound + timedelta(step) for step in (-1, 0, 1) if bound.year < 9999]
    for day in [*days, *(each for each in near if each.year >= 1000)]:
        within = re.search(limit["pattern"], day.isoformat()) is not None
        assert within == accepted(TypeAdapter(kind), f'"{day}"'), (bound, day, side)


@pytest.mark.parametrize("seed", range(4))
def test_a_bounded_date_is_valid_at_the_first_attempt(seed: int) -> None:
    kind = Annotated[date, Field(ge=date(2024, 2, 28), lt=date(2024, 3, 2))]
    generator = Generator(Model(RandomDenoiser(seed)), kind, attempts=1)
    for options in ({"deadline": 0}, {"steps": 1}, {"temperature": 1.0, "seed": seed}):
        assert generator("x", **options).year == 2024


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    A = "a"
    B = 3


class Trimmed(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    name: Annotated[str, Field(min_length=2)]


KEYS: list[Any] = [
    int, float, Decimal, bool, Level, Mixed, Literal["a", "3"], UUID, date, timedelta,
    int | Literal["a"], int | None, Annotated[int, Field(ge=0)], Annotated[int, Field(gt=0)],
    Annotated[int, Field(ge=-2, lt=4)], Annotated[str, Field(pattern="^[ab]+$")],
]  # fmt: skip
DICTS = [(ctrlgen.compile(dict[key, int], BYTES), TypeAdapter[Any](dict[key, int])) for key in KEYS]
TRIMMED = [
    (ctrlgen.compile(kind, BYTES), TypeAdapter[Any](kind))
    for kind in (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=2)],
        Annotated[str, StringConstraints(strip_whitespace=True, pattern="^.a?$")],
    )
]
LEFT_OPEN: list[Any] = [
    NaiveDatetime, Fraction, Trimmed, dict[int, str], dict[Level, bool], list[dict[float, int]],
    dict[Annotated[int, Field(ge=1)], NaiveDatetime],
]  # fmt: skip


@given(
    st.one_of(
        st.from_regex(r"[-+]?[0-9]{1,20}(\.[0-9]+)?(e5)?", fullmatch=True),
        st.sampled_from(["a", "3", "true", "False", "None", "null", "", "ab", "P1D", "2024-02-30"]),
        st.dates().map(str),
        st.uuids().map(str),
    )
)
def test_no_key_is_offered_that_the_type_refuses(key: str) -> None:
    text = json.dumps({key: 1}, separators=(",", ":"))
    for constraint, adapter in DICTS:
        assert not constraint.accepts(text) or accepted(adapter, text)


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        (int, ["0", "-7", "123456"]),
        (float, ["0", "-7.25", "12"]),
        (bool, ["true", "false"]),
        (Level, ["1", "2"]),
        (Mixed, ["a"]),
        (Annotated[int, Field(ge=-2, lt=4)], ["-2", "0", "3"]),
        (int | None, ["5"]),
        (str, ["", "any text"]),
    ],
)
def test_the_usual_keys_are_offered(key: Any, texts: list[str]) -> None:
    constraint = ctrlgen.compile(dict[key, int], BYTES)
    assert all(constraint.accepts(json.dumps({t: 1}, separators=(",", ":"))) for t in texts)


def test_a_naive_datetime_is_any_moment_of_the_calendar() -> None:
    constraint = ctrlgen.compile(NaiveDatetime, BYTES)
    for year in (1900, 1999, 2000, 2023, 2024, 2100):
        for month in range(14):
            for day in range(27, 33):
                moment = f"{year}-{month:02}-{day:02}T23:59:00.25"
                try:
                    datetime.fromisoformat(moment)
                except ValueError:
                    assert not constraint.accepts(f'"{moment}"')
                else:
                    assert constraint.accepts(f'"{moment}"')
    assert not constraint.accepts('"2024-01-01T00:00:00Z"')


@given(st.text("a\u0085\u00a0\u2003\ufeff \n\x1c\x1f", max_size=4))
def test_what_is_stripped_does_not_count(text: str) -> None:
    for constraint, adapter in TRIMMED:
        spelled = json.dumps(text, ensure_ascii=False)
        assert not constraint.accepts(spelled) or accepted(adapter, spelled)
        if text and not set(text) - {"a"}:
            assert constraint.accepts(spelled) == accepted(adapter, spelled)


@pytest.mark.parametrize("options", [{"steps": 1}, {"deadline": 0.0}])
@pytest.mark.parametrize("kind", LEFT_OPEN)
def test_the_first_answer_is_taken(kind: Any, options: dict[str, Any]) -> None:
    for seed in range(3):
        model = Model(RandomDenoiser(seed))
        generator = Generator(model, kind, seed=seed, attempts=1, max_new_tokens=60, **options)
        answer = generator.generate("x")  # raises if pydantic refuses it
        assert answer.output == TypeAdapter(kind).validate_json(answer.text)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (complex, "complex"),
        (int | complex, "complex"),
        (Json[int], "Json"),
        (ImportString[Callable[..., Any]], "ImportString"),
        (ImportString, "ImportString"),
        (dict[tuple[int, int], int], "keys of type tuple"),
        (dict[Literal[1, 2], int], "keys of type literal"),
        (dict[Annotated[int, Field(ge=3)], int], "limited keys"),
        (dict[Annotated[float, Field(ge=0)], int], "limited keys"),
    ],
)
def test_a_type_that_no_schema_describes_is_refused(kind: Any, named: str) -> None:
    with pytest.raises(SpecError, match=named) as caught:
        to_spec(kind)
    assert caught.value.hint
