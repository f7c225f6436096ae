"""Lowered schemas against jsonschema and pydantic, in both directions."""

from __future__ import annotations

import itertools
import json
import random
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ctrlgen.constraints.nodes import And, Choice, Grammar, Join, Ref, Repeat, Seq, Slot
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.errors import ConstraintError, LimitError, SchemaError, UnsatisfiableError
from tests.constraints.oracle import matches, sample


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    number: int = Field(ge=1, le=9999)
    zip: Annotated[str, Field(pattern=r"^\d{5}$")] | None = None


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=6)]
    born: date
    color: Color = Color.RED
    home: Address | None = None
    tags: list[str] = []
    scores: dict[str, float] = {}
    pair: tuple[int, bool]
    price: Decimal
    both: set[Color] = set()
    at: datetime | None = None
    by_color: dict[Color, int] = {}
    ratio: Annotated[float, Field(gt=0, lt=1)]
    step: Annotated[int, Field(multiple_of=5, gt=-20, le=100)]


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool


class Walk(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    either: list[Cat | Dog | int | None]


MODELS = [
    Person, Tree, Walk, list[Tree], dict[str, Tree], int | str, Literal["a", 1, None], bool,
    tuple[int, ...], Any, list[Any], dict[Annotated[str, Field(pattern="^[a-c]+$")], int],
    Annotated[list[int], Field(min_length=2, max_length=3)], dict[Literal["x", "y"], Address],
    Annotated[str, Field(pattern="b", min_length=2, max_length=4)],
    Decimal,
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_pydantic_takes_every_word(model):
    adapter = TypeAdapter(model)
    schema = adapter.json_schema()
    grammar = lower_schema(schema)
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    rng = random.Random(11)
    for _ in range(25):
        word = sample(grammar, rng, fuel=150)
        adapter.validate_json(word)
        value = json.loads(word)
        assert validator.is_valid(value) or "multipleOf" in str(schema)
        assert matches(grammar, word)


def test_pydantic_dumps_are_matched():
    person = Person(
        name="Zoë😀", born=date(2024, 2, 29), pair=(1, True), price=Decimal("1.5"), ratio=0.25,
        step=-15, home=Address(street='a"\\\n', number=7), tags=["x", ""], scores={"a b": 1.5},
    )  # fmt: skip
    grammar = lower_schema(Person.model_json_schema())
    assert matches(grammar, dump(person.model_dump(mode="json")))
    tree = Tree(value=1, children=[Tree(value=2, children=[Tree(value=3)])])
    grammar = lower_schema(Tree.model_json_schema())
    assert matches(grammar, dump(tree.model_dump()))
    assert not matches(grammar, b'{"value":1,"children":[{"value":"2"}]}')


# Small schemas, and the values to judge them by.

_KEYS = ("a", "b", "c")
_VALUES: list[Any] = [
    None, True, False, 0, 1, -3, 5, 12, 0.5, 2.25, "", "a", "ab", "é", 'q"\n', [], [1], [1, 2],
    ["a"], [1, "a", None], [[1]], [True, True], {}, {"a": 1}, {"a": "ab"}, {"a": 1, "b": 2},
    {"b": None}, {"a": {}, "c": [1]}, {"a": {"a": 1}}, {"a": 0, "b": 0, "c": 0}, {"z": 1},
    {"a": 5, "z": "ab"}, {"aa": 1}, {"b": 1, "c": "a"},
]  # fmt: skip


def _scalars() -> st.SearchStrategy[dict[str, Any]]:
    small = st.integers(0, 3)
    number = st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": st.integers(-4, 2),
            "maximum": st.sampled_from([5, 0.5, 12]),
            "exclusiveMinimum": st.integers(-4, 1),
            "multipleOf": st.sampled_from([1, 5, 0.25]),
        },
    )
    string = st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": small,
            "maxLength": small,
            "pattern": st.sampled_from(["a", "^a", "b$", "^[^a]*$"]),
        },
    )
    others = st.sampled_from(
        [{"type": "null"}, {"type": ["boolean", "string"]}, {"enum": [1, "a", None, [1]]}, {},
         {"const": {"a": 1}}, {"type": "string", "enum": ["ab", 1]}, {"minimum": 1}]
    )  # fmt: skip
    return number | string | others


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    small = st.integers(0, 3)
    array = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "minItems": small,
            "maxItems": small,
        },
    )
    mapping = st.fixed_dictionaries(
        {},
        optional={
            "type": st.just("object"),
            "properties": st.dictionaries(st.sampled_from(_KEYS), inner, max_size=3),
            "required": st.lists(st.sampled_from(_KEYS), unique=True, max_size=2),
            "additionalProperties": st.booleans() | inner,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "z"]), inner, max_size=1),
            "propertyNames": st.sampled_from([{"maxLength": 1}, {"enum": ["a", "z"]}]),
            "minProperties": st.integers(0, 1),
            "maxProperties": small,
        },
    )
    unions = st.lists(inner, min_size=1, max_size=3)
    return (
        array
        | mapping
        | st.fixed_dictionaries({"anyOf": unions})
        | st.fixed_dictionaries({"allOf": unions})
        | st.fixed_dictionaries({"allOf": st.lists(mapping, min_size=2, max_size=2)})
    )


_SCHEMAS = st.recursive(_scalars(), _containers, max_leaves=5)


def _orders(value: Any) -> list[Any]:
    """`value` with its keys in every order: a schema's own order is declared keys first."""
    if not isinstance(value, dict):
        return [value]
    return [dict(items) for items in itertools.permutations(value.items())]


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(_SCHEMAS, st.integers(0, 2**16))
def test_small_schemas_are_exact(schema, seed):
    schema = _sorted_properties(schema)
    validator = Draft202012Validator(schema)
    try:
        grammar = lower_schema(schema, SchemaOptions(extra="allow"))
    except UnsatisfiableError:
        assert not any(validator.is_valid(value) for value in _VALUES)
        return
    except SchemaError as error:
        assert error.keyword in ("minProperties",)
        return
    for value in _VALUES:
        if _two_patterns(schema) and isinstance(value, dict):
            continue
        found = any(matches(grammar, dump(ordered)) for ordered in _orders(value))
        assert found == validator.is_valid(value), value
    _check_words(schema, seed)


def _check_words(schema: dict[str, Any], seed: int) -> None:
    validator, rng = Draft202012Validator(schema), random.Random(seed)
    for extra in ("allow", "forbid"):
        try:
            grammar = lower_schema(schema, SchemaOptions(extra=extra))
        except UnsatisfiableError:
            continue  # nothing is left of it without further members
        for _ in range(4):
            try:
                word = sample(grammar, rng, fuel=60)
            except (LookupError, ValueError):
                break  # an intersection that is empty or hard to draw from
            assert validator.is_valid(json.loads(word)), word


def _sorted_properties(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_sorted_properties(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _sorted_properties(item) for key, item in schema.items()}
    for key in ("properties", "required"):
        if key in inner:
            inner[key] = (
                dict(sorted(inner[key].items())) if key == "properties" else sorted(inner[key])
            )
    return inner


def _two_patterns(schema: dict[str, Any]) -> bool:
    text = json.dumps(schema)
    return '"^a": ' in text and '"z": ' in text


PERSON = {"type": "object", "properties": {"a": {"type": "integer"}}}


def _accepts(schema: Any, *words: str, **options: Any) -> list[bool]:
    grammar = lower_schema(schema, SchemaOptions(**options))
    return [matches(grammar, word.encode()) for word in words]


def test_extra_members():
    assert _accepts(PERSON, '{"a":1}', "{}", '{"a":1,"b":2}') == [True, True, False]
    assert _accepts(PERSON, '{"a":1,"b":2}', '{"b":[]}', extra="allow") == [True, True]
    # a further member never repeats a declared one, however it is spelled
    words = ('{"a":1,"a":"x"}', '{"a":1,"\\u0061":"x"}')
    assert _accepts(PERSON, *words, extra="allow") == [False, False]


def test_keys_that_property_names_list_are_declared():
    names = {"anyOf": [{"enum": ["b", "a"]}, {"pattern": "^x-"}]}
    schema = {"additionalProperties": {"type": "string"}, "propertyNames": names, "type": "object"}
    words = ['{"b":"","a":""}', '{"b":"","x-1":""}', '{"a":"","b":""}', '{"b":"","b":""}']
    assert _accepts(schema, *words, '{"c":""}') == [True, True, False, False, False]
    schema = {"properties": {"x": {"type": "null"}}, "propertyNames": {"enum": ["x", "y"]}}
    schema["type"] = "object"
    assert _accepts(schema, '{"x":null,"y":[1]}', '{"z":1}') == [True, False]
    whole = {**schema, "additionalProperties": {"type": "integer"}}
    assert "y" in {slot.name for slot in _slots(lower_schema(whole))}
    schema["additionalProperties"] = False
    assert _accepts(schema, '{"x":null}', '{"x":null,"y":1}') == [True, False]


def test_conjunctions_keep_the_order_of_their_members():
    parts = [{"type": "object", "properties": {key: {"type": "null"}}} for key in "zma"]
    words = ['{"z":null,"m":null,"a":null}', '{"a":null,"z":null}']
    assert _accepts({"allOf": parts}, *words) == [True, False]
    assert _accepts({"allOf": parts[::-1]}, *words) == [False, True]


def test_members_are_counted_once_whatever_they_are_witnesses_of():
    """A key that is and one that is not what a negation asks for may be the same key."""
    schema = {
        "type": "object",
        "patternProperties": {"a": True},
        "additionalProperties": False,
        "not": {"patternProperties": {"c": False}},
        "minProperties": 2,
    }
    words = ['{"a":0,"ac":0}', '{"ac":0,"ac":0}', '{"a":0,"a":0}', '{"a":0,"a":0,"ac":0}']
    assert _accepts(schema, *words, key_order="any") == [True, False, False, True]


def test_counted_members():
    schema = {
        "type": "object",
        "properties": {key: {"type": "null"} for key in "abc"},
        "minProperties": 2,
        "maxProperties": 2,
        "additionalProperties": {"type": "boolean"},
    }
    words = ('{"a":null}', '{"a":null,"c":null}', '{"b":null,"x":true}', '{"x":true,"y":true}')
    # two undeclared keys might be one: left out, the one unsound case of counting
    assert _accepts(schema, *words) == [False, True, True, False]


def test_string_spelling():
    schema = {"type": "string", "minLength": 1, "maxLength": 1}
    good = ('"a"', '"é"', '"😀"', r'"\n"', r'"\u00e9"', r'"\ud83d\ude00"', r'"\/"')
    assert all(_accepts(schema, *good))
    bad = ('""', '"ab"', '"\n"', r'"\ud83d"', r'"\ude00"', r'"\x"', '"', '"""')
    assert not any(_accepts(schema, *bad))
    grammar = lower_schema({"type": "string"})
    for broken in (b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"'):
        assert not matches(grammar, broken)


def test_patterns_constrain_the_decoded_text():
    schema = {"type": "string", "pattern": r'^[\n"\\]$'}
    assert _accepts(schema, r'"\n"', r'"\""', r'"\\"', '"n"') == [True, True, True, False]
    schema = {"type": "string", "pattern": "a", "minLength": 2, "maxLength": 3}
    assert _accepts(schema, '"a"', '"ba"', '"éaé"', '"baaa"') == [False, True, True, False]


def test_numbers_survive_a_parser():
    options = {"breadth": "standard", "extra": "allow"}
    eleven = {"type": "integer", "multipleOf": 11}
    words = ["121.0", "596323520851164128", "596323520851164128.0", "-1e+22"]
    assert _accepts(eleven, *words, **options) == [True, True, False, False]
    assert _accepts({"type": "integer"}, *words, **options) == [True] * 4
    high = {"type": "integer", "minimum": 2**53 + 1}
    assert _accepts(high, "9007199254740993", "9007199254740993.0", **options) == [True, False]
    halves = {"type": "number", "multipleOf": 1.5}
    assert _accepts(halves, "1.5", "59632352085116412.5") == [True, False]
    draft4 = {"$schema": "http://json-schema.org/draft-04/schema#", "enum": [1]}
    assert _accepts(draft4, "1", "1.0", **options) == [True, True]
    assert _accepts({**draft4, "type": "integer"}, "1", "1.0", **options) == [True, False]


def test_multiples_are_judged_as_decimals():
    schema = {"type": "number", "multipleOf": 0.0001}
    assert _accepts({**schema, "enum": [9.6366, 9.63665]}, "9.6366", "9.63665") == [True, False]
    distinct = {"type": "array", "items": schema, "uniqueItems": True}
    judge = lower_schema(distinct, SchemaOptions(on_unsupported="verify")).verify
    assert judge is not None
    words = (b"[9.6366,-0.6174]", b"[9.6366,9.6366]", b"[9.63665]", b"[1e400]")
    assert list(map(judge, words)) == [True, False, False, False]


def test_references():
    schema = {
        "$id": "https://example.com/root",
        "$defs": {
            "a/b~c": {"$anchor": "here", "type": "integer"},
            "list": {"type": "array", "items": {"$ref": "#here"}},
            "nested": {"$id": "inner", "$defs": {"x": {"type": "null"}}, "$ref": "#/$defs/x"},
        },
        "prefixItems": [
            {"$ref": "#/$defs/a~1b~0c", "minimum": 5},
            {"$ref": "#/$defs/list"},
            {"$ref": "inner"},
        ],
        "type": "array", "minItems": 3, "items": False,
    }  # fmt: skip
    words = ("[5,[1],null]", "[4,[1],null]", "[5,[null],null]", "[5,[],1]")
    assert _accepts(schema, *words) == [True, False, False, False]


def test_annotation_next_to_reference_keeps_the_rule():
    tree = TypeAdapter(Tree).json_schema()["$defs"]
    member = {"$ref": "#/$defs/Tree", "description": "x", "default": {}}
    grammar = lower_schema({"$defs": tree, "properties": {"t": member}, "type": "object"})
    assert list(grammar.rules) == ["#/$defs/Tree"]


def test_recursive_conjunctions_end():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}, "v": {"type": "null"}}}
    schema = {"$defs": {"N": node}, "$ref": "#/$defs/N", "properties": {"next": {"$ref": "#"}}}
    assert _accepts(schema, '{"next":{"next":{},"v":null}}', '{"next":1}') == [True, False]


def test_long_chains_of_references():
    chain = {f"A{i}": {"$ref": f"#/$defs/A{i + 1}"} for i in range(200)}
    schema = {"$defs": {**chain, "A200": PERSON}, "$ref": "#/$defs/A0"}
    assert _accepts(schema, '{"a":1}', '{"a":"1"}') == [True, False]
    least = {f"A{i}": {"$ref": f"#/$defs/A{i + 1}", "minimum": i} for i in range(300)}
    schema = {"$defs": {**least, "A300": {"type": "integer"}}, "$ref": "#/$defs/A0"}
    assert _accepts(schema, "299", "298") == [True, False]
    strict = {**schema, "$defs": {**schema["$defs"], "A300": {"$ref": "#/$defs/A7", "maximum": 9}}}
    with pytest.raises(SchemaError, match="cycle"):
        lower_schema(strict)
    objects = {
        f"A{i}": {"type": "array", "items": {"$ref": f"#/$defs/A{i + 1}"}} for i in range(200)
    }
    grammar = lower_schema({"$defs": {**objects, "A200": PERSON}, "$ref": "#/$defs/A0"})
    assert matches(grammar, b"[[[[]]]]")


@pytest.mark.parametrize(
    ("schema", "pointer", "keyword"),
    [
        ({"properties": {"a": {"not": {"uniqueItems": True}}}}, "/properties/a", "uniqueItems"),
        ({"$ref": "#"}, "", "$ref"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "/anyOf/1", "$ref"),
        ({"$ref": "#/$defs/none"}, "", "$ref"),
        ({"$ref": "https://example.com/other"}, "", "$ref"),
        ({"type": "strange"}, "/type", "type"),
        ({"properties": {"a": {"minimum": "x"}}}, "/properties/a/minimum", "minimum"),
        ({"properties": {"a": {"type": "array", "uniqueItems": True}}},
         "/properties/a", "uniqueItems"),
        ({"type": "object", "minProperties": 2}, "", "minProperties"),
        ({"type": "string", "pattern": r"(a)\1"}, "", "pattern"),
    ],
)  # fmt: skip
def test_refusals_say_where(schema, pointer, keyword):
    with pytest.raises(SchemaError) as caught:
        lower_schema(schema)
    assert (caught.value.pointer, caught.value.keyword) == (pointer, keyword)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"enum": []},
        {"enum": ["a"], "type": "integer"},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        {"type": "object", "required": ["b"], "additionalProperties": False},
        {"type": "array", "items": False, "minItems": 1},
        {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True, "minItems": 3},
        {"allOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]},
        {"type": "object", "minProperties": 1, "additionalProperties": False},
        {"not": {}},
        {"oneOf": [True, True]},
        {"allOf": [{"type": "integer"}, {"not": {"type": "number"}}]},
    ],
    ids=str,
)
def test_contradictions(schema):
    with pytest.raises(UnsatisfiableError):
        lower_schema(schema)


def test_optional_members_without_instances_disappear():
    node = {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "required": ["n"]}
    schema = {"$defs": {"N": node}, "properties": {"n": {"$ref": "#/$defs/N"}}, "type": "object"}
    assert _accepts(schema, "{}", '{"n":{}}') == [True, False]


def test_limits():
    deep: Any = True
    for _ in range(5000):
        deep = {"items": deep}
    with pytest.raises(LimitError):
        lower_schema(deep)
    with pytest.raises(LimitError):
        lower_schema({"enum": list(range(1_000_001))})
    unions = [{"anyOf": [{"minimum": i} for i in range(20)]} for _ in range(5)]
    with pytest.raises(LimitError):
        lower_schema({"allOf": unions, "type": "integer"})
    links = {f"A{i}": {"allOf": [{"$ref": f"#/$defs/A{i + 1}"}]} for i in range(300)}
    with pytest.raises(LimitError):
        lower_schema({"$defs": {**links, "A300": {"type": "string"}}, "$ref": "#/$defs/A0"})


def test_exclusive_unions():
    schema = TypeAdapter(Annotated[Cat | Dog, Field(discriminator="kind")]).json_schema()
    words = ('{"kind":"cat","lives":9}', '{"kind":"dog","good":true}', '{"lives":9}')
    # pydantic demands the tag of a discriminated union, whatever its default
    assert _accepts(schema, *words) == [True, True, False]
    del schema["discriminator"]
    # Dog requires its tag, so a cat may do without
    assert _accepts(schema, *words) == [True, True, True]
    for definition in schema["$defs"].values():
        definition["required"] = []
    assert _accepts(schema, *words) == [True, True, False]
    assert _accepts({"oneOf": [{"type": "null"}, PERSON]}, "null", "{}") == [True, True]


def test_distinct_items():
    schema = {"type": "array", "items": {"enum": ["a", "b", 1, 1.0]}, "uniqueItems": True}
    words = ('["a","b"]', "[]", '["b",1.0,"a"]', '["a","a"]', '["a","b","a"]')
    assert _accepts(schema, *words) == [True, True, True, False, False]


def test_formats():
    schema = {"type": "string", "format": "date"}
    assert _accepts(schema, '"2024-02-29"', '"2023-02-29"', '"x"') == [True, False, False]
    odd = {"type": "string", "format": "odd"}
    assert _accepts(odd, '"x"') == [True]
    with pytest.raises(SchemaError, match="odd"):
        lower_schema(odd, SchemaOptions(formats="strict"))
    lower_schema({"type": "number", "format": "double"}, SchemaOptions(formats="strict"))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [("uri-template", "a{b}", "{"), ("relative-json-pointer", "0/a", "/a"), ("regex", "a+", "(")],
)
def test_formats_without_a_narrow_form_are_enforced(name, good, bad):
    texts = [json.dumps(good), json.dumps(bad)]
    assert _accepts({"type": "string", "format": name}, *texts) == [True, False]


def _slots(grammar: Grammar) -> list[Slot]:
    """All slots; asserts that none holds another, or a reference."""
    found: list[Slot] = []
    seen: set[tuple[int, bool]] = set()  # nodes are shared: a remainder automaton is a graph
    pending = [(node, False) for node in (grammar.root, *grammar.rules.values())]
    while pending:
        node, inside = pending.pop()
        if (id(node), inside) in seen:
            continue
        seen.add((id(node), inside))
        if isinstance(node, Slot):
            assert not inside
            found.append(node)
            pending.append((node.item, True))
        assert not (inside and isinstance(node, Ref)), "a slot is regular"
        if isinstance(node, Seq | Choice | Join | And):
            pending += [(item, inside) for item in node.items]
        if isinstance(node, Repeat):
            pending.append((node.item, inside))
    return found


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_slots_do_not_nest(model):
    grammar = lower_schema(TypeAdapter(model).json_schema())
    assert _slots(grammar) or "bool" not in str(model)


def test_slot_kinds():
    grammar = lower_schema(Person.model_json_schema())
    slots = {slot.name: slot.kind for slot in _slots(grammar)}
    assert slots == {
        "name": "string", "born": "format", "color": "enum", "tags": "array", "scores": "object",
        "pair": "array", "price": "text", "both": "array", "at": "format", "red": "integer",
        "blue": "integer", "street": "string", "number": "integer", "zip": "string",
        "ratio": "number", "step": "integer",
    }  # fmt: skip


def test_invalid_texts_are_errors():
    for schema in ({"const": "\ud800"}, {"minimum": float("inf")}, {"properties": {"\udc00": {}}}):
        with pytest.raises(ConstraintError):
            lower_schema(schema)
