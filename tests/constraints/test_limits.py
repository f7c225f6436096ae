"""Bad and oversized input: each ends in a clear error, or compiles lazily."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctrlgen.constraints import compile
from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.nodes import And, Grammar
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import (
    ConstraintError,
    GrammarError,
    LimitError,
    RegexError,
    SchemaError,
    SpecError,
    UnsatisfiableError,
)
from ctrlgen.spec import cfg, choice, json_schema, regex, to_spec

BYTES = Vocabulary([bytes([byte]) for byte in range(256)])


def nested(depth: int, wrap: Callable[[Any], Any], value: Any) -> Any:
    for _ in range(depth):
        value = wrap(value)
    return value


def compiled(schema: Any, **options: Any) -> Constraint:
    return compile(json_schema(schema, **options), BYTES)


def some(name: str, inner: str) -> dict[str, Any]:
    """An object that must hold another one."""
    return {"type": "object", "required": [name], "properties": {name: {"$ref": inner}}}


ENDLESS: list[tuple[str, Any, type[ConstraintError], str]] = [
    ("itself", {"$ref": "#"}, SchemaError, "references form a cycle"),
    ("its own negation", {"not": {"$ref": "#"}}, SchemaError, "references form a cycle"),
    (
        "references to each other",
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        SchemaError,
        "references form a cycle",
    ),
    (
        "no base case",
        {
            "$defs": {"a": some("b", "#/$defs/b"), "b": some("a", "#/$defs/a")},
            "$ref": "#/$defs/a",
        },
        UnsatisfiableError,
        "would be infinite",
    ),
]
CONTRADICTIONS: list[Any] = [
    {"type": "integer", "minimum": 5, "maximum": 4},
    {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
    {"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6},
    {"type": "string", "minLength": 5, "maxLength": 4},
    {"type": "string", "pattern": "^a$", "minLength": 2},
    {"type": "array", "minItems": 5, "maxItems": 4},
    {"type": "object", "required": ["a", "b"], "maxProperties": 1},
    {"type": "string", "enum": [1]},
    {"enum": [1, 2], "not": {"type": "integer"}},
    False,
]


@pytest.mark.parametrize(("name", "schema", "error", "says"), ENDLESS, ids=[e[0] for e in ENDLESS])
def test_schemas_without_end(
    name: str, schema: Any, error: type[ConstraintError], says: str
) -> None:
    with pytest.raises(error, match=says):
        compiled(schema)


@pytest.mark.parametrize("schema", CONTRADICTIONS, ids=json.dumps)
def test_contradictions(schema: Any) -> None:
    with pytest.raises(UnsatisfiableError):
        compiled(schema)


@pytest.mark.parametrize(
    "pattern",
    ["(?:(?:(?:a{1,100}){1,100}){1,100}){1,100}", "((a*)*){1000}", "(a|aa){1,1000}b",
     "(.*a){1,20}b", "(?:a?){1000}a{1000}", "(a|b|ab){1000,2000}", "((a|b){1,50}c{1,50}){1,50}"],
)  # fmt: skip
def test_patterns_that_explode_elsewhere(pattern: str) -> None:
    constraint = compile(regex(pattern), BYTES)
    state: int | None = constraint.start()
    for byte in b"ab" * 15 if "b" in pattern and "b{" not in pattern else b"a" * 30:
        state = None if state is None else constraint.next(state, byte)
    assert constraint.automaton.n_states < 2_000


def test_patterns_that_are_refused() -> None:
    with pytest.raises(RegexError, match="multiple repeat at position 5"):
        compile(regex("(a*)*{1000}"), BYTES)
    with pytest.raises(SchemaError, match="multiple repeat") as caught:
        compiled({"properties": {"x": {"type": "string", "pattern": "^(a*)*{1000}$"}}})
    assert (caught.value.pointer, caught.value.keyword) == ("/properties/x", "pattern")
    with pytest.raises(LimitError):
        compile(regex("a" * 70_000), BYTES)


def test_an_intersection_takes_no_longer_than_it_may() -> None:
    far = And((lower_regex("(?:[ab]*a){9}[ab]*c"), lower_regex("(?:[ab]*b){3,}[ab]{9,}c")))
    assert ByteAutomaton(Grammar(far)).shortest(0)
    with pytest.raises(LimitError, match="no word of an intersection was found"):
        ByteAutomaton(Grammar(far), seconds=0.0)
    with pytest.raises(LimitError):
        ByteAutomaton(Grammar(far), max_states=20)


@pytest.mark.parametrize(
    "schema",
    ["[" * 100_000 + "]" * 100_000, '{"items":' * 100_000 + "true" + "}" * 100_000],
    ids=["no schema", "schema"],
)
def test_text_nested_without_end(schema: str) -> None:
    with pytest.raises(SchemaError, match="nested too deeply"):
        json_schema(schema)


def test_values_nested_without_end() -> None:
    for deep in (
        nested(100_000, lambda inner: {"items": inner}, True),
        {"const": nested(100_000, lambda inner: [inner], None)},
    ):
        with pytest.raises(LimitError, match="nested more than"):
            compiled(deep)


def test_groups_nested_without_end() -> None:
    deep = "(" * 5_000 + '"a"' + ")" * 5_000
    for spec in (
        cfg(f"start: {deep}"),
        cfg(f"root ::= {deep}", syntax="gbnf"),
        regex(deep.replace('"', "")),
    ):
        with pytest.raises(LimitError):
            compile(spec, BYTES)


def test_compiling_takes_no_longer_than_it_may() -> None:
    bomb = regex("(.*a.*b.*c){1,50}(?=.*d)(?!.*e{5})x{1000000}")
    with pytest.raises(LimitError, match="explored in time"):
        compile(bomb, BYTES, seconds=0.5)


def test_numbers_without_end() -> None:
    with pytest.raises(SchemaError, match="a number is too long"):
        json_schema('{"minimum": 1' + "0" * 5_000 + "}")
    for keyword in ("minimum", "const", "multipleOf", "maxLength"):
        with pytest.raises(ConstraintError):
            compiled({keyword: 10**5_000})


def test_too_many_of_anything() -> None:
    either = [{"anyOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]} for i in range(20)]
    with pytest.raises(LimitError, match="alternatives"):
        compiled({"allOf": either})
    with pytest.raises(LimitError, match="values"):
        compiled({"enum": list(range(1_000_001))})
    with pytest.raises(LimitError, match="characters"):
        compile(cfg('start: "' + "a" * 1_000_000 + '"'), BYTES)
    with pytest.raises(LimitError, match="400 digits"):
        compiled({"type": "integer", "minimum": 10**401})


def test_what_only_a_reference_sees_is_checked() -> None:
    draft = "http://json-schema.org/draft-07/schema#"
    with pytest.raises(SchemaError, match="-1 is not a reference"):
        compiled({"$schema": draft.replace("7", "4"), "items": {"$ref": -1}})
    for inner in ({"properties": {"a": [1]}}, {"items": {"type": "number", "minimum": "1"}}):
        with pytest.raises(SchemaError, match="not valid JSON Schema") as caught:
            compiled({"$schema": draft, "$defs": {"x": inner}, "$ref": "#/$defs/x"})
        assert caught.value.pointer.startswith("/$defs/x/")


def test_grammars_without_a_word() -> None:
    for grammar in (cfg('start: "(" start ")"'), cfg('root ::= "(" root ")"', syntax="gbnf")):
        with pytest.raises(UnsatisfiableError, match="no finite word"):
            compile(grammar, BYTES)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_have(number: str) -> None:
    for schema in ({"const": float(number)}, f'{{"maximum": {number}}}'):
        with pytest.raises(SchemaError, match="not a JSON number"):
            compiled(schema)


def test_texts_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="'type' stands twice"):
        json_schema('{"items": {"type": "string", "type": "integer"}}')
    file = tmp_path / "a.json"
    file.write_bytes(b'{"type": "str\xff"}')
    with pytest.raises(SpecError, match="not UTF-8"):
        to_spec(file)
    for schema in ({"const": "\ud800"}, '{"const": "\\ud800"}', {"properties": {"\udc00": True}}):
        with pytest.raises(SchemaError, match="not a Unicode text"):
            compiled(schema)
    with pytest.raises(SpecError, match="not a Unicode text"):
        choice(["a", "\ud800"])
    with pytest.raises(UnsatisfiableError):
        compile(regex("\ud800"), BYTES)
    for grammar in (cfg('start: "\ud800"'), cfg('root ::= "\ud800"', syntax="gbnf")):
        with pytest.raises(GrammarError, match="surrogate") as caught:
            compile(grammar, BYTES)
        assert caught.value.line == 1


def chain(length: int, wrap: Callable[[Any], Any]) -> dict[str, Any]:
    links = {f"d{i}": wrap({"$ref": f"#/$defs/d{i + 1}"}) for i in range(length)}
    return {"$defs": {**links, f"d{length}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


def test_references_that_leave_the_document() -> None:
    there = {"http://a.b/c.json": {"$defs": {"x": {"type": "integer"}}}}
    for base, reference in (
        ("", "http://a.b/c.json#/$defs/x"),
        ("http://a.b/d", "c.json#/$defs/x"),
    ):
        constraint = compiled({"$id": base, "$ref": reference}, registry=there)
        assert constraint.accepts("7") and not constraint.accepts('"7"')
    with pytest.raises(SchemaError, match="names no schema in this document"):
        compiled({"$ref": "http://a.b/d.json"}, registry=there)
    for wrong in ({"type": 5}, 7, [True]):
        with pytest.raises(SchemaError):
            compiled({"$ref": "http://a.b/c.json"}, registry={"http://a.b/c.json": wrong})


def test_a_dynamic_reference_finds_the_outermost_anchor() -> None:
    tree = {
        "$id": "http://a.b/tree",
        "$dynamicAnchor": "node",
        "type": "object",
        "properties": {"data": {"type": "integer"}, "kids": {"items": {"$dynamicRef": "#node"}}},
    }
    strict = {
        "$id": "http://a.b/strict",
        "$dynamicAnchor": "node",
        "$ref": "tree",
        "unevaluatedProperties": False,
        "$defs": {"tree": tree},
    }
    texts = ['{"data":1,"kids":[{"kids":[]}]}', '{"kids":[{"daat":1}]}']
    for schema, expected in ((tree, [True, True]), (strict, [True, False])):
        constraint = compiled(schema, extra="allow")
        assert [constraint.accepts(each) for each in texts] == expected


LARGE: list[tuple[str, Any, str]] = [
    (
        "a megabyte",
        {"properties": {f"k{i}": {"type": "null", "title": "x" * 300} for i in range(3_000)}},
        '{"k17":null,"k2999":null}',
    ),
    (
        "2,000 optional keys",
        {"properties": {f"k{i}": {"type": "integer"} for i in range(2_000)}},
        '{"k3":1,"k1999":2}',
    ),
    ("long strings", {"type": "string", "maxLength": 100_000}, '"' + "é" * 3_000 + '"'),
    (
        "many items",
        {"type": "array", "items": {"type": "integer"}, "maxItems": 1_000_000},
        "[" + ",".join(["1"] * 1_000) + "]",
    ),
    ("200 references", chain(200, lambda inner: inner), "7"),
    (
        "200 levels of references",
        chain(200, lambda inner: {"type": "array", "items": inner}),
        "[" * 200 + "7" + "]" * 200,
    ),
]


@pytest.mark.parametrize(("name", "schema", "text"), LARGE, ids=[each[0] for each in LARGE])
def test_large_schemas_compile_as_far_as_they_are_looked_at(
    name: str, schema: dict[str, Any], text: str
) -> None:
    constraint = compiled({"type": "object", **schema} if "properties" in schema else schema)
    assert constraint.automaton.n_states < 20
    assert constraint.accepts(text)
    assert not constraint.accepts(text[:-1] + "?")
    assert constraint.automaton.n_states < 2 * len(text) + 200
