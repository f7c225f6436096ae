"""Synthetic examples with the type of their answer: patterns, grammars, records, lists of them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from .augment import Pool
from .corpora import Example
from .synthetic import key_values, plain, records

SHAPES = ("regex", "formula", "sql", "records", "nested")
PATTERNS = (
    r"[0-9]{3}-[0-9]{3}-[0-9]{4}", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}",
    r"[a-z0-9]+@[a-z]+\.com", r"\$[0-9]+(\.[0-9]+)?", r"[0-9]+\.[0-9]+\.[0-9]+",
)  # fmt: skip
GRAMMARS = {"formula": "arithmetic.lark", "sql": "sql_select.lark"}
"""Files in schemas/."""


def typed(shape: str, pool: Pool, rng: random.Random) -> tuple[Example, dict[str, Any]]:
    """An example of one of SHAPES and its type: a `schema`, a `regex`, the file of a `grammar`."""
    if shape in ("records", "nested"):
        example = (records if shape == "records" else key_values)(pool, rng)
        return example, {"schema": schema_of([example.answer], example.keys)}
    while True:
        example = plain(pool, rng)
        found = next((p for p in PATTERNS if re.fullmatch(p, example.free)), None)
        if shape == "regex" and found is not None:
            return example, {"regex": found}
        query = example.free.startswith("SELECT ")
        formula = found is None and re.fullmatch("[-+*/0-9]+", example.free)
        if query if shape == "sql" else (shape == "formula" and formula):
            return example, {"grammar": GRAMMARS[shape]}


def schema_of(values: Sequence[Any], keys: Sequence[str] = ()) -> dict[str, Any]:
    """As loose a schema as a user would write for such values; named keys may be absent."""
    kinds = {dict: "object", list: "array", bool: "boolean", str: "string"}
    found = sorted({kinds.get(type(value), "number") for value in values}) or ["string"]
    if found == ["object"]:
        parts = {k: schema_of([v[k] for v in values if k in v]) for k in keys or values[0]}
        return {"type": "object", "properties": parts, "required": [] if keys else list(parts)}
    if found == ["array"]:
        items = schema_of([each for value in values for each in value])
        return {"type": "array", "items": items, "minItems": 1}
    return {"type": found}
