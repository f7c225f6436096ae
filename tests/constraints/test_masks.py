"""Masks of undeclared keys, which are those of all keys without a few tokens."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.constraints.vocabulary import Vocabulary

PIECES = [
    *('"', '":', '": ', '":1', '": "', 'type"', 'type": ', 'e"', 'e":', "type", "ty", "name", "na"),
    *(
        'me"',
        'name": "x',
        '"type"',
        '"type": ',
        '{"',
        '{"ty',
        ', "',
        ', "name"',
        '"}',
        '\\"',
        "\\u",
    ),
    *("0000", "é", '", "', '"na', 'pe", ', "}}", '{"type": 1}', ', "type', '", "name": '),
]
VOCABULARY = Vocabulary([*(bytes([byte]) for byte in range(256)), *(p.encode() for p in PIECES)])
DECLARED = {"type": {"type": "integer"}, "name": {"type": "string"}, "": {"type": "null"}}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": DECLARED},
    {"type": "object", "properties": DECLARED, "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": DECLARED, "propertyNames": {"maxLength": 4}},
    {"type": "object", "properties": DECLARED, "patternProperties": {"^t": {"type": "integer"}}},
    {"type": "object", "properties": {"a": {"type": "object", "properties": DECLARED}}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
@pytest.mark.parametrize("order", ["declared", "any"])
def test_a_mask_has_the_tokens_that_lead_somewhere(schema: dict[str, Any], order: str) -> None:
    options = SchemaOptions(whitespace="spaced", key_order=order, extra="allow")  # type: ignore[arg-type]
    constraint = Constraint(lower_schema(schema, options), VOCABULARY)
    automaton = constraint.automaton
    for seed in range(12):
        chance = random.Random(seed)
        state = constraint.start()
        for _ in range(12):
            ends = [automaton.run(state, token or b"") for token in VOCABULARY.tokens]
            mask = constraint.mask(state)
            assert [bool(each) for each in mask] == [end >= 0 for end in ends]
            live = [token for token, end in enumerate(ends) if end >= 0]
            long = [token for token in live if token >= 256]
            if not live:
                break
            token = chance.choice(long if long and chance.random() < 0.8 else live)
            assert constraint.next(state, token) == ends[token]
            state = ends[token]


def test_the_same_head_before_another_delimiter() -> None:
    """Automata of a vocabulary share what they know of heads, but not what ends these."""
    vocabulary = Vocabulary(VOCABULARY.tokens)
    for delimiter in '"-"':
        pattern = f'["{delimiter}](?:[a-z]|[à-ÿ]|\\\\")*{delimiter}'
        constraint = Constraint(Grammar(lower_regex(pattern)), vocabulary)
        state = constraint.automaton.run(constraint.start(), b'"' if delimiter == '"' else b"-")
        mask = constraint.mask(state)
        ends = [constraint.automaton.run(state, token or b"") for token in vocabulary.tokens]
        assert [bool(each) for each in mask] == [end >= 0 for end in ends]
        assert mask[ord(delimiter)]
