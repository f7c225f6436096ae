"""The one door: what it accepts, what it parses, what it refuses."""

import datetime
import enum
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import outlines
import pydantic.networks
import pytest
from jsonschema import Draft202012Validator
from outlines import types as outlines_types
from pydantic import BaseModel, EmailStr, Field, ValidationError, field_validator
from typing_extensions import TypedDict

from ctrlgen.errors import OutputValidationError, SchemaError, SpecError
from ctrlgen.generator import Generator, Model
from ctrlgen.spec import Spec, cfg, choice, json_schema, regex, to_spec
from ctrlgen.testing import RandomDenoiser


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Person(BaseModel):
    name: str
    age: int = 0

    @field_validator("age")
    @classmethod
    def even(cls, age: int) -> int:
        if age % 2:
            raise ValueError("must be even")
        return age


class Point(TypedDict):
    x: int


@dataclass
class Pair:
    left: int
    right: str


PARSED = [
    (Person, '{"name":"Ada","age":2}', Person(name="Ada", age=2)),
    (Point, '{"x":1}', {"x": 1}),
    (Pair, '{"left":1,"right":"b"}', Pair(1, "b")),
    (Literal["a", 1], '"a"', "a"),
    (Colour, '"red"', Colour.RED),
    (bool, "true", True),
    (int, "-3", -3),
    (float, "0.5", 0.5),
    (str, '"a"', "a"),
    (type(None), "null", None),
    (list[int], "[1,2]", [1, 2]),
    (dict[str, int], '{"a":1}', {"a": 1}),
    (tuple[int, str], '[1,"a"]', (1, "a")),
    (int | None, "null", None),
    (Annotated[int, Field(ge=3)], "4", 4),
    (datetime.date, '"2026-11-23"', datetime.date(2026, 11, 23)),
]


@pytest.mark.parametrize(("output_type", "text", "value"), PARSED)
def test_python_types_parse_to_themselves(output_type: Any, text: str, value: Any) -> None:
    spec = to_spec(output_type)
    assert spec.kind == "json"
    Draft202012Validator(spec.schema).validate(json.loads(text))
    assert spec.parse(text) == value


def test_schemas_parse_to_plain_data(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    file = tmp_path / "a.json"
    file.write_text(json.dumps(schema))
    for spec in map(to_spec, (schema, json_schema(schema), json_schema(json.dumps(schema)), file)):
        assert (spec.kind, spec.schema) == ("json", schema)
        assert spec.parse('{"a":1}') == {"a": 1}
    assert json_schema(Person).parse('{"name":"Ada"}') == Person(name="Ada")
    assert to_spec(True).schema is True


def test_texts_are_strings(tmp_path: Path) -> None:
    (tmp_path / "a.regex").write_text("a+\n")
    (tmp_path / "a.lark").write_text('start: "a"\n')
    assert to_spec(tmp_path / "a.regex").pattern == regex("a+").pattern
    assert to_spec(tmp_path / "a.lark").grammar == cfg(tmp_path / "a.lark").grammar
    assert regex("a+").parse("aa") == "aa"
    assert cfg('first: "a"', start="first").start == "first"


def test_choices_give_back_the_items() -> None:
    spec = choice(["yes", 3, Colour.RED])
    assert spec.choices == ("yes", "3", "red")
    assert [spec.parse(text) for text in spec.choices] == ["yes", 3, Colour.RED]
    assert choice(Colour).parse("blue") is Colour.BLUE
    with pytest.raises(OutputValidationError):
        spec.parse("no")


def test_a_spec_is_its_own_spec() -> None:
    spec = regex("a")
    assert to_spec(spec) is spec


def test_outlines_terms() -> None:
    assert to_spec(outlines.regex("a+")).pattern == "a+"
    assert to_spec(outlines.cfg('start: "a"')).grammar == 'start: "a"'
    assert to_spec(outlines.json_schema({"type": "string"})).schema == {"type": "string"}
    assert to_spec(outlines_types.Choice(["a", 1])).parse("1") == 1
    assert to_spec(outlines_types.either("a", "b")).pattern == "(a|b)"
    with pytest.raises(SpecError, match="whitespace_pattern"):
        to_spec(outlines_types.JsonSchema({}, whitespace_pattern=" "))


@pytest.mark.parametrize(
    "refused",
    [
        None,
        "a.json",
        3,
        [int],
        (int, str),
        {1},
        object(),
        print,
        lambda: 1,
        Callable,
        Annotated[str, Field(pattern="^(?=a)b")],  # not of pydantic's own regex engine
        Path("a.txt"),
    ],
)
def test_what_is_not_a_type_is_refused_with_a_hint(refused: Any) -> None:
    with pytest.raises(SpecError) as caught:
        to_spec(refused)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"steps": 1}, {"deadline": 0.0}])
@pytest.mark.parametrize("seed", range(5))
def test_an_email_address_is_valid_at_any_budget(options: dict[str, Any], seed: int) -> None:
    generator = Generator(Model(RandomDenoiser(seed)), EmailStr, seed=seed, **options)
    assert "@" in generator.generate("x").output


def test_a_missing_validator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydantic.networks, "email_validator", None)
    monkeypatch.setitem(sys.modules, "email_validator", None)
    with pytest.raises(SpecError, match=r"EmailStr.*email-validator is not installed") as caught:
        to_spec(EmailStr)
    assert "pip install email-validator" in caught.value.hint


@pytest.mark.parametrize(
    "make",
    [
        lambda: choice([]),
        lambda: choice("ab"),
        lambda: choice(["1", 1]),
        lambda: regex(3),  # type: ignore[arg-type]
        lambda: cfg(3),  # type: ignore[arg-type]
        lambda: to_spec(Path("missing.json")),
        lambda: cfg(Path("missing.lark")),
    ],
)
def test_bad_arguments(make: Callable[[], Spec]) -> None:
    with pytest.raises(SpecError):
        make()


def test_bad_json_says_where() -> None:
    with pytest.raises(SchemaError, match="line 2, column 1"):
        json_schema('{"type":\n}')
    with pytest.raises(SchemaError, match="object, true or false"):
        json_schema("[1]")


def test_a_refused_value_keeps_text_and_reason() -> None:
    with pytest.raises(OutputValidationError, match="must be even") as caught:
        to_spec(Person).parse('{"name":"Ada","age":3}')
    assert caught.value.text == '{"name":"Ada","age":3}'
    assert isinstance(caught.value.__cause__, ValidationError)
    with pytest.raises(OutputValidationError):
        to_spec({}).parse("{")
    with pytest.raises(OutputValidationError):
        to_spec({}).parse("[" * 100_000)
