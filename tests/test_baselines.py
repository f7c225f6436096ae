"""S3 as published: what stands on the canvas, in which order it is filled, what comes out."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ctrlgen
from ctrlgen.baselines import SchemaScaffolding, decode
from ctrlgen.constraints.atoms import Floats
from ctrlgen.errors import SpecError
from ctrlgen.testing import RandomDenoiser

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "city": {"type": "string"}},
}


class Script(RandomDenoiser):
    """Writes a text from the first mask on, surest of its end; remembers what it was shown."""

    def __init__(self, *texts: str) -> None:
        super().__init__(max_length=2_000)
        self.wanted = [token for text in texts for token in self.encode(text)]
        self.shown: list[list[int]] = []
        self.first: list[int] = []

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        self.calls += 1
        (sequence,), (asked,) = sequences, positions
        self.shown.append(sequence)
        self.first = self.first or asked
        rows = np.zeros((len(asked), self.vocabulary.size))
        for row, at in zip(rows, asked, strict=True):
            i = self.first.index(at)
            row[self.wanted[i]] = 10.0 + i
        return [rows]

    def spelled(self, ids: list[int]) -> str:
        return "".join((self.vocabulary.tokens[i] or b"_").decode() for i in ids)


def test_the_scaffold_stands_on_the_canvas_and_the_null_literal_in_the_prompt() -> None:
    denoiser = Script("Bob<-><->", "<-><-><->")
    s3 = SchemaScaffolding(ctrlgen.Model(denoiser), SCHEMA, masks=9, steps=6, null="<->")
    found = s3("Bob lives here.")
    shown = denoiser.spelled(denoiser.shown[0])
    assert shown.startswith("Bob lives here.\n\n")
    assert '"name", "city"' in shown and "write <->," in shown
    assert shown.endswith('{"name":"' + "_" * 9 + '","city":"' + "_" * 9 + '"}')
    assert found.values == {"name": "Bob", "city": None}
    assert json.loads(found.text) == {"name": "Bob"}
    assert found.forward_passes == denoiser.calls == 6


def test_the_surest_tokens_commit_first_and_as_many_in_every_step() -> None:
    denoiser = Script("zyxwvutsrq")
    mask = denoiser.mask_token_id
    out = decode(denoiser, [7], [mask] * 5 + [65] + [mask] * 5, 4)
    assert denoiser.spelled(out) == "zyxwvAutsrq"
    left = [sequence.count(mask) for sequence in denoiser.shown]
    assert left == [10, 7, 4, 1]
    assert [i for i, token in enumerate(denoiser.shown[1][1:]) if token != mask] == [5, 8, 9, 10]


def test_nothing_makes_the_answer_valid() -> None:
    denoiser = Script('a"b', "c\\d")
    found = SchemaScaffolding(ctrlgen.Model(denoiser), SCHEMA, masks=3, steps=1)("x")
    assert found.values == {"name": 'a"b', "city": "c\\d"}
    with pytest.raises(json.JSONDecodeError):
        json.loads(found.text)


def test_values_may_bring_their_own_quotes_and_a_frame_may_stand_around() -> None:
    denoiser = Script('"zy"', "true")
    denoiser.wanted[4:] = [denoiser.fill_token_id] * 4
    s3 = SchemaScaffolding(
        ctrlgen.Model(denoiser), SCHEMA, masks=4, steps=2, null=None, quoted=False,
        before='{"name":"f","arguments":', after="}",
    )  # fmt: skip
    found = s3("x")
    assert denoiser.spelled(denoiser.shown[0]) == (
        'x{"name":"f","arguments":{"name":____,"city":____}}'
    )
    assert found.text == '{"name":"f","arguments":{"name":"zy"}}'
    assert found.values == {"name": '"zy"', "city": None}


def test_only_objects_have_a_scaffold() -> None:
    model = ctrlgen.Model(RandomDenoiser())
    with pytest.raises(SpecError, match="named properties"):
        SchemaScaffolding(model, int)
    with pytest.raises(ValueError, match="1 or more"):
        SchemaScaffolding(model, SCHEMA, steps=0)
