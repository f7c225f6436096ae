"""JSON Schema of Python types, with the limits that pydantic's own schema leaves out.

Pydantic describes a limited `Decimal` as a number with bounds or a string with a pattern, and each
form lacks the other's limits. What the schema does not say cannot be constrained, so here a limited
`Decimal` is a JSON number with all of them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

EXACT_DIGITS = 15
"""A JSON number of more digits may change on its way through a double."""

_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_LIMITS = (*_BOUNDS, "multiple_of", "max_digits", "decimal_places")


class CompleteJsonSchema(GenerateJsonSchema):
    """Pydantic's schema generator with complete decimals."""

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
