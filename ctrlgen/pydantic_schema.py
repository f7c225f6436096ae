"""JSON Schema of Python types, with the limits that pydantic's own schema leaves out.

Pydantic describes a limited `Decimal` as a number with bounds or a string with a pattern, and each
form lacks the other's limits. What the schema does not say cannot be constrained, so here a limited
`Decimal` is a JSON number with all of them. Bounds of dates, keys that are no strings, date-times
without a zone, fractions and texts that are stripped before they are judged have patterns. A type
of which nothing true can be said is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ctrlgen.errors import SpecError

EXACT_DIGITS = 15
"""A JSON number of more digits may change on its way through a double."""

_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_LIMITS = (*_BOUNDS, "multiple_of", "max_digits", "decimal_places")

_UNEVEN = "(?:[02468][1235679]|[13579][01345789])"  # two digits that four does not divide
_NAIVE = (
    rf"^(?!.{{5}}(?:02-30|(?:0[2469]|11)-31)|(?:..{_UNEVEN}|{_UNEVEN}00)-02-29)"
    r"[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}(?:\.[0-9]{1,6})?$"
)
_COUNT = "(?:0|[1-9][0-9]{0,17})"
_FRACTION = f"^-?{_COUNT}(?:/[1-9][0-9]{{0,17}})?$"
# Rust's idea of white space has U+0085, that of ECMA 262 has not.
_STRIPPED = r"^(?:[^\s\u0085](?:[\s\S]*[^\s\u0085])?)?$"

_INTEGER_KEY = "^(?:0|-?[1-9][0-9]{0,17})$"
_NUMBER_KEY = r"^-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,6})?$"
_KEYS_FROM = {0: f"^{_COUNT}$", 1: "^[1-9][0-9]{0,17}$"}
_MAX_KEYS = 256
_KEY_LIMITS = f"integers may have ge=0, ge=1, or both bounds of at most {_MAX_KEYS} keys"
_NO_KEYS = frozenset(
    ("none", "tuple", "list", "set", "frozenset", "dict", "model", "typed-dict", "dataclass")
)


class CompleteJsonSchema(GenerateJsonSchema):
    """Pydantic's schema generator, as narrow as the types are.

    Raises:
        SpecError: If no schema describes what a type takes.
    """

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """The schema of a type; of fractions and imports pydantic knows next to nothing."""
        if _function(schema) == "import_string":
            raise _unsaid("ImportString", "use Literal[...] of the names that may be imported")
        found = super().generate_inner(schema)
        if found.get("format") == "fraction":
            return {"type": "string", "pattern": _FRACTION}
        return found

    def complex_schema(self, schema: core_schema.ComplexSchema) -> JsonSchemaValue:
        """Refused: pydantic says no more than that it is a string."""
        raise _unsaid("complex", "use tuple[float, float]")

    def json_schema(self, schema: core_schema.JsonSchema) -> JsonSchemaValue:
        """Refused: JSON inside a JSON string has a schema for what is inside only."""
        raise _unsaid("Json[...]", "use the type itself: int for Json[int]")

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        """The bounds too: dates of one length are ordered as their texts are."""
        patterns = [
            {"pattern": _dates_from(schema[name], name)}
            for name in ("ge", "gt", "le", "lt")
            if schema.get(name) is not None
        ]
        found = super().date_schema(schema)
        return found | {"allOf": patterns} if patterns else found

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """The format of date-times demands a zone, which a naive one must not have."""
        if schema.get("tz_constraint") == "naive":
            return {"type": "string", "pattern": _NAIVE}
        return super().datetime_schema(schema)

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """A text that is judged once it is stripped, without what is stripped from it."""
        found = super().str_schema(schema)
        strips = schema.get("strip_whitespace", self._config.str_strip_whitespace)
        if strips and ("pattern" in found or found.get("minLength")):
            return found | {"allOf": [{"pattern": _STRIPPED}]}
        return found

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """The keys too, where they are no strings."""
        found = super().dict_schema(schema)
        if "patternProperties" in found:  # the pattern of the keys: there are no others
            found["additionalProperties"] = False
        if "keys_schema" not in schema:
            return found
        names = _keys(schema["keys_schema"])
        if not names:
            raise _unsaid(f"a dict with keys of type {schema['keys_schema']['type']}", "use str")
        if {} not in names:
            found["propertyNames"] = names[0] if len(names) == 1 else {"anyOf": names}
        return found

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A plain decimal as pydantic has it; a limited one as a number with every limit."""
        limits: dict[str, Any] = {k: v for k, v in schema.items() if k in _LIMITS}
        if not any(v is not None for v in limits.values()):
            return super().decimal_schema(schema)
        base: JsonSchemaValue = {"type": "number"}
        for name, keyword in _BOUNDS.items():
            if limits.get(name) is not None:
                base[keyword] = _number(limits[name])
        if limits.get("multiple_of") is not None:
            base["multipleOf"] = _number(limits["multiple_of"])
        grids = _digit_grids(limits.get("max_digits"), limits.get("decimal_places"))
        cases = [{"allOf": [base, grid]} for grid in grids]
        return base if not cases else cases[0] if len(cases) == 1 else {"anyOf": cases}


def _dates_from(bound: date, side: str) -> str:
    """A pattern of the dates on one side of a bound: equal up to a digit, and beyond it there."""
    text = bound.isoformat()
    beyond = [
        f"{text[:i]}[{int(digit) + 1}-9]" if side[0] == "g" else f"{text[:i]}[0-{int(digit) - 1}]"
        for i, digit in enumerate(text)
        if digit not in ("-9" if side[0] == "g" else "-0")
    ]
    same = [f"{text}$"] if side[1] == "e" else []
    return f"^(?:{'|'.join([*beyond, *same])})" if beyond or same else "^(?!)"


def _unsaid(what: str, hint: str) -> SpecError:
    return SpecError(f"{what} has no JSON Schema that says what it takes", hint=hint)


def _function(schema: Mapping[str, Any]) -> str:
    """The name of the function that judges values before anything else does, "" without one."""
    if schema["type"] not in ("function-plain", "function-before"):
        return ""
    return getattr(schema["function"]["function"], "__name__", "")


def _keys(schema: Mapping[str, Any]) -> list[JsonSchemaValue]:
    """What keys may be, as alternatives; {} for what pydantic describes itself."""
    match schema["type"]:
        case "int" | "float" | "decimal" as kind:
            limits = {k: v for k, v in schema.items() if k in _LIMITS and v is not None}
            return [_number_keys(kind, limits)]
        case "bool":
            return [{"enum": ["true", "false"]}]
        case "literal":
            return _texts([each for each in schema["expected"] if isinstance(each, str)])
        case "enum":
            values = [member.value for member in schema["members"]]
            whole = schema.get("sub_type") == "int"
            return _texts([str(v) for v in values if whole or isinstance(v, str)])
        case "nullable":
            return _keys(schema["schema"])
        case "union":
            choices = [c[0] if isinstance(c, tuple) else c for c in schema["choices"]]
            return [names for choice in choices for names in _keys(choice)]
        case kind:
            return [] if kind in _NO_KEYS else [{}]


def _texts(texts: list[str]) -> list[JsonSchemaValue]:
    return [{"enum": texts}] if texts else []


def _number_keys(kind: str, limits: dict[str, Any]) -> JsonSchemaValue:
    """The keys of numbers; limits are said where that is possible."""
    if not limits:
        return {"pattern": _INTEGER_KEY if kind == "int" else _NUMBER_KEY}
    if kind == "int" and not limits.keys() - _BOUNDS.keys():
        low = max(limits.get("ge", -math.inf), limits.get("gt", -math.inf) + 1)
        high = min(limits.get("le", math.inf), limits.get("lt", math.inf) - 1)
        if high - low < _MAX_KEYS:
            return {"enum": [str(number) for number in range(low, high + 1)]}
        if high == math.inf and low in _KEYS_FROM:
            return {"pattern": _KEYS_FROM[low]}
    raise _unsaid(f"a dict with limited keys ({', '.join(sorted(limits))})", _KEY_LIMITS)


def _number(value: Any) -> int | float:
    return int(value) if value == int(value) else float(value)


def _digit_grids(total: int | None, places: int | None) -> list[JsonSchemaValue]:
    """Numbers with at most `total` digits, `places` of them decimal, as a union of grids."""
    if total is None:
        return [] if places is None else [_grid(places)]
    total = min(total, EXACT_DIGITS)
    if places is None:
        return [_grid(p) | _whole_digits(total - p) for p in range(total + 1)]
    if places <= total:
        return [_grid(places) | _whole_digits(total - places)]
    # Pydantic counts the 0 before the point of zero itself, and of nothing else, as a whole digit.
    grid = _grid(total) | _whole_digits(0)
    return [grid | {"exclusiveMinimum": 0}, grid | {"exclusiveMaximum": 0}]


def _grid(places: int) -> JsonSchemaValue:
    return {"multipleOf": float(Decimal(1).scaleb(-places)) if places else 1}


def _whole_digits(count: int) -> JsonSchemaValue:
    return {"exclusiveMinimum": -(10**count), "exclusiveMaximum": 10**count}
