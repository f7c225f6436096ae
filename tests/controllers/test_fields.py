"""Gaps have JSON pointers, and rows belong to positions."""

import json

import numpy as np
import pytest

from ctrlgen.canvas import Canvas, Scaffold
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.controllers.fields import pointers, regions
from ctrlgen.testing import RandomDenoiser

DENOISER = RandomDenoiser()
SCHEMA = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "a/b~c": {"type": "integer"},
        'q"{': {"type": "string"},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "zip": {"type": "string"}},
            "required": ["street"],
        },
        "reviews": {
            "type": "array",
            "minItems": 2,
            "items": {
                "type": "object",
                "properties": {"text": {"type": "string"}, "stars": {"type": "integer"}},
                "required": ["text", "stars"],
            },
        },
    },
    "required": ["summary", "a/b~c", 'q"{', "address", "reviews"],
}


def canvas_of(schema: dict) -> Canvas:
    constraint = Constraint(lower_schema(schema), DENOISER.vocabulary)
    scaffold = Scaffold(constraint, DENOISER.encode, DENOISER.fill_token_id)
    return Canvas(scaffold, DENOISER.mask_token_id, 300)


def test_pointers() -> None:
    canvas = canvas_of(SCHEMA)
    found = pointers(canvas, canvas.view())
    assert found == [
        "/summary", "/a~1b~0c", '/q"{', "/address/street", "/address/zip",
        "/reviews/0/text", "/reviews/0/stars", "/reviews/1/text", "/reviews/1/stars", "/reviews/1",
    ]  # fmt: skip


def test_pointers_after_every_gap_is_written() -> None:
    """What earlier values hold, braces and quotes included, does not lead astray."""
    canvas = canvas_of(SCHEMA)
    for gap in canvas.gaps():
        if gap.kind == "string":
            gap.resize(canvas.scaffold.filling(gap, 12))
            text = DENOISER.encode(json.dumps('{"[,:\\'))
            gap.witness[:] = [*text, *[DENOISER.fill_token_id] * (12 - len(text))]
            canvas.commit(gap, np.ones(12, dtype=bool))
    found = pointers(canvas, canvas.view())
    assert found[:2] == ["/summary", "/a~1b~0c"]
    assert found[-3:] == ["/reviews/1/text", "/reviews/1/stars", "/reviews/1"]


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        (["/summary"], 1),
        (["/address"], 2),
        (["/reviews/*/text"], 2),
        (["/reviews/1/text"], 1),
        (["/summary", "/address/zip"], 2),
        (["/sum"], 0),
        ([""], 10),
    ],
)
def test_fields(fields: list[str], count: int) -> None:
    assert len(regions(canvas_of(SCHEMA), fields)) == count


def test_a_field_must_be_a_pointer() -> None:
    with pytest.raises(ValueError, match="JSON pointer"):
        regions(canvas_of(SCHEMA), ["summary"])


def test_rows_are_those_of_the_loop() -> None:
    canvas = canvas_of(SCHEMA)
    first, second, *_ = canvas.gaps()
    canvas.commit(first, np.ones(first.length, dtype=bool))
    canvas.commit(second, np.arange(second.length) == 1)
    (region,) = regions(canvas)
    offsets = [p.offset + i for p in canvas.view().places[1:] for i in range(p.gap.length)]
    assert np.flatnonzero(region.rows >= 0).tolist() == offsets
    assert region.rows[offsets].tolist() == list(range(len(offsets)))
    assert region.open.sum() == len(offsets) - 1
    assert region.fill.sum() == (first.committed == DENOISER.fill_token_id).sum() + 1
