"""Everything that JSON Schema says, in its full breadth, against jsonschema on small values."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.constraints.schema_drafts import VALIDATORS, draft_of
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.errors import LimitError, SchemaError, UnsatisfiableError

STANDARD = SchemaOptions.standard()
VERIFY = replace(STANDARD, on_unsupported="verify")

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 6, 2.5, -0.5, "", "a", "b", "ab", "ba", "abc", "é", 'q"\n',
    [], [1], [2, 1], [1, 1], ["a"], ["a", 1], [1, "a", None], [[1]], [[], {}], [3, 6, 1],
    [{"a": 1}], {}, {"a": 1}, {"b": 1}, {"a": "ab"}, {"a": 1, "b": 2}, {"b": 2, "a": 1},
    {"c": None},
    {"a": {}, "c": [1]}, {"a": {"a": 1}}, {"b": 0, "c": 0, "a": 0}, {"z": 1}, {"ab": "a", "z": 3},
    {"a": 5, "z": "ab"}, {"aa": 1}, {"aa": "a", "b": True}, {"a": [1, 2]}, {"a": None, "c": 1},
]  # fmt: skip


class Schemas:
    """Random small schemas with every assertion keyword."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def document(self) -> dict[str, Any]:
        return {"$defs": {"x": self.schema(1), "y": self.schema(1)}, **self.mapping(3)}

    def mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(self.random.choice((1, 1, 2, 3))):
            found.update(self.keyword(depth))
        return found

    def schema(self, depth: int) -> Any:
        if self.random.random() < 0.12:
            return self.random.random() < 0.6
        return self.mapping(depth)

    def keyword(self, depth: int) -> dict[str, Any]:
        pick, small = self.random.choice, self.random.randint(0, 2)
        plain = [
            {"type": pick(["null", "boolean", "object", "array", "number", "string", "integer"])},
            {"type": ["string", pick(["object", "array", "integer"])]},
            {"enum": self.random.sample(VALUES, 3)},
            {"const": pick(VALUES)},
            {"minimum": pick([0, 1, 2.5])},
            {"maximum": pick([0, 2, 2.5])},
            {"exclusiveMinimum": pick([0, 1])},
            {"exclusiveMaximum": pick([2, 2.5])},
            {"multipleOf": pick([2, 3, 0.5])},
            {"minLength": small},
            {"maxLength": small},
            {"pattern": pick(["^a", "b$", "a.*b", "^[^a]*$"])},
            {"required": self.random.sample(["a", "b", "c"], small)},
            {"minProperties": min(small, 1)},
            {"maxProperties": small},
            {"minItems": small},
            {"maxItems": small},
            {"dependentRequired": {pick("ab"): [pick("abc")]}},
        ]
        if depth <= 0:
            return pick(plain)
        inner = lambda: self.schema(depth - 1)  # noqa: E731
        deep = [
            lambda: {"properties": {name: inner() for name in self.random.sample("abc", 2)}},
            lambda: {"patternProperties": {pick(["^a", "z", "^.$"]): inner()}},
            lambda: {"additionalProperties": inner()},
            lambda: {"propertyNames": pick([{"maxLength": 1}, {"enum": ["a", "z"]}, inner()])},
            lambda: {"dependentSchemas": {pick("ab"): inner()}},
            lambda: {"items": inner()},
            lambda: {"prefixItems": [inner(), inner()][: 1 + small % 2]},
            lambda: {"contains": inner()},
            lambda: {"contains": inner(), "minContains": small, "maxContains": 2},
            lambda: {"not": inner()},
            lambda: {"if": inner(), "then": inner(), "else": inner()},
            lambda: {"if": inner(), "then": inner()},
            lambda: {"allOf": [inner(), inner()]},
            lambda: {"anyOf": [inner(), inner()]},
            lambda: {"oneOf": [inner(), inner()]},
            lambda: {"oneOf": [inner(), inner(), inner()]},
            lambda: {"unevaluatedProperties": inner()},
            lambda: {"unevaluatedItems": inner()},
            lambda: {"$ref": pick(["#/$defs/x", "#/$defs/y"])},
            lambda: {"properties": {"a": inner()}, "additionalProperties": False},
            lambda: {"uniqueItems": True, "items": {"enum": [1, 2, "a"]}},
        ]
        return pick(deep)() if self.random.random() < 0.7 else pick(plain)


def spelled(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def check(seed: int) -> None:
    schema = Schemas(seed).document()
    judge = Draft202012Validator(schema)
    try:
        valid = [judge.is_valid(value) for value in VALUES]
    except RecursionError:
        return  # the schema refers to itself without end
    for options in (STANDARD, VERIFY):
        try:
            grammar = lower_schema(schema, options)
            automaton = ByteAutomaton(grammar)
        except UnsatisfiableError:
            assert not any(valid), schema
            continue
        except (SchemaError, LimitError) as error:
            if "cycle" in str(error):
                return  # the schema refers to itself without end
            assert options is STANDARD, (seed, error)
            continue
        for value, expected in zip(VALUES, valid, strict=True):
            text = spelled(value)
            found = automaton.is_accepting(automaton.run(automaton.start, text))
            if grammar.verify is not None:
                found = found and grammar.verify(text)
            assert found == expected, (seed, value, schema, options)
        word = automaton.shortest(automaton.start)
        if grammar.verify is None:
            assert judge.is_valid(json.loads(word)), (seed, word, schema)


@pytest.mark.parametrize("block", range(10))
def test_random_schemas_agree_with_jsonschema(block):
    for seed in range(block * 12, block * 12 + 12):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(50))
def test_many_random_schemas_agree_with_jsonschema(block):
    for seed in range(1000 + block * 40, 1000 + block * 40 + 40):
        check(seed)


def test_keywords_without_their_vocabulary_are_refused() -> None:
    base = "https://json-schema.org/draft/2020-12"
    core = {f"{base}/vocab/core": True, f"{base}/vocab/applicator": True}
    uri = "https://example.org/meta"
    registry = {uri: {"$schema": f"{base}/schema", "$id": uri, "$vocabulary": core}}
    options = SchemaOptions(registry=registry)
    lower_schema({"$schema": uri, "properties": {"a": True}}, options)
    with pytest.raises(SchemaError, match="minimum says nothing") as caught:
        lower_schema({"$schema": uri, "properties": {"a": {"minimum": 3}}}, options)
    assert caught.value.keyword == "minimum"
    registry[uri]["$vocabulary"] = {"https://example.org/vocab": True}
    with pytest.raises(SchemaError, match="is not known"):
        lower_schema({"$schema": uri}, options)


@pytest.mark.parametrize(
    ("schema", "inside", "outside"),
    [
        ({"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer"}, ["1"], ["1.0"]),
        ({"$schema": "http://json-schema.org/draft-06/schema#", "type": "integer"}, ["1.0"], []),
        (
            {"type": "number", "multipleOf": 1, "maximum": 99},
            ["3", "3.0", "-3.0"],
            ["3.5", "100.0"],
        ),
        ({"type": "number", "multipleOf": 2}, ["4.00", "0.0"], ["3.0", "4.5"]),
    ],
)
def test_integers_with_a_fraction_of_zeros(schema, inside, outside) -> None:
    automaton = ByteAutomaton(lower_schema(schema, STANDARD))
    judge = VALIDATORS[draft_of(schema)](schema)
    for text in (*inside, *outside):
        found = automaton.is_accepting(automaton.run(automaton.start, text.encode()))
        assert found == (text in inside) == judge.is_valid(json.loads(text)), text


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("^([^,]+(,|$)){3,}$", ["a,b,c", "a,b,c,"], ["a,b", "a,b,"]),
        (r"\bgov\b", ["gov", "a gov b"], ["govt"]),
        ("(?<!a)b$", ["b", "cb"], ["ab"]),
        ("^(?:a(?=b)|b)*$", ["abb"], ["ba"]),
    ],
)
def test_patterns_whose_assertions_are_marks(pattern, inside, outside) -> None:
    schema = {"type": "object", "required": ["x"], "properties": {"x": {"pattern": pattern}}}
    automaton = ByteAutomaton(lower_schema(schema, STANDARD))
    judge = Draft202012Validator(schema)
    for value in (*inside, *outside):
        found = automaton.is_accepting(automaton.run(automaton.start, spelled({"x": value})))
        assert found == (value in inside) == judge.is_valid({"x": value}), value
