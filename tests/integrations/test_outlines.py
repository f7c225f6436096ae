"""outlines' interface on a ctrlgen model: every way of calling, every kind of output type."""

import json
from typing import Any, Literal

import outlines
import pytest
from outlines.generator import BlackBoxGenerator
from pydantic import BaseModel

import ctrlgen
from ctrlgen.errors import SpecError
from ctrlgen.integrations.outlines import OutlinesModel
from ctrlgen.testing import RandomDenoiser


class Place(BaseModel):
    name: str
    age: int


@pytest.fixture
def model() -> OutlinesModel:
    return OutlinesModel(ctrlgen.Model(RandomDenoiser()), max_new_tokens=60, steps=4)


@pytest.mark.parametrize(
    ("output_type", "check"),
    [
        (Place, Place.model_validate_json),
        (outlines.json_schema(Place), Place.model_validate_json),
        (Literal["yes", "no"], lambda text: json.loads(text) in ("yes", "no")),
        (outlines.types.Choice(["yes", "no"]), lambda text: text in ("yes", "no")),
        (outlines.regex(r"\d{3}"), str.isdigit),
        (outlines.cfg('start: "x" | "(" start ")"'), lambda text: text.strip("()") == "x"),
        (outlines.types.date, lambda text: text.count("-") == 2),
        (int, lambda text: int(text) is not None),
        (None, str),
    ],
)
def test_types(model: OutlinesModel, output_type: Any, check: Any) -> None:
    assert check(model("Who?", output_type))


def test_batch_and_stream(model: OutlinesModel) -> None:
    texts = model.batch(["a", "b"], Place)
    assert all(Place.model_validate_json(text) for text in texts)
    pieces = list(model.stream("a", Place))
    assert "".join(pieces) == texts[0]
    assert pieces[0].startswith('{"name":')


def test_chats_and_black_box_generators(model: OutlinesModel) -> None:
    chat = outlines.inputs.Chat([{"role": "user", "content": "Who?"}])
    generator = BlackBoxGenerator(model, Place)
    assert generator(chat) == model("Who?", Place)
    assert Place.model_validate_json(generator("Who?", steps=1))


def test_backends_are_refused(model: OutlinesModel) -> None:
    with pytest.raises(SpecError, match="xgrammar"):
        model("Who?", Place, "xgrammar")
