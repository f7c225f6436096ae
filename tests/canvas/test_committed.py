"""The committed prefix only grows, and the whole answer begins with it."""

import itertools

import pytest

import ctrlgen
from ctrlgen.canvas.committed import committed_text
from ctrlgen.errors import ConstraintError
from ctrlgen.loop import advance, fill, look_at
from ctrlgen.testing import ADVERSARIES, RandomDenoiser, ScriptedDenoiser
from tests.random_schemas import RandomSchemas

TEXTS = [ctrlgen.regex("[ab日]{3,20}"), ctrlgen.cfg('start: "(" start* ")" | "x"'), str, int]
ROWS = list(ADVERSARIES.values())


def prefixes(generator: ctrlgen.Generator) -> list[str]:
    """What is committed after each step, and in the end the answer."""
    seat = generator.seat("x", seed=0)
    found = [committed_text(seat.run.canvas)]
    while not seat.finish():
        advance(seat, look_at([seat])[0])
        found.append(committed_text(seat.run.canvas))
    fill(seat.run)
    return [*found, committed_text(seat.run.canvas), generator.result(seat.run).text]


def check(generator: ctrlgen.Generator) -> None:
    found = prefixes(generator)
    assert found[-2] == found[-1]
    for earlier, later in itertools.pairwise(found):
        assert later.startswith(earlier)


@pytest.mark.parametrize("seed", range(16))
def test_the_prefix_grows_to_the_answer(seed: int) -> None:
    rows = ROWS[seed % len(ROWS)]
    denoiser = ScriptedDenoiser(rows, seed) if seed % 3 == 0 else RandomDenoiser(seed)
    schema = TEXTS[seed // 3] if seed < 3 * len(TEXTS) else RandomSchemas(seed).document()
    model = ctrlgen.Model(denoiser)
    try:
        generator = ctrlgen.Generator(model, schema, steps=1 + seed % 9, max_new_tokens=40)
        seat = generator.seat("x")
    except (ConstraintError, ctrlgen.errors.CanvasTooSmallError):
        pytest.skip("no constraint, or too small")
    del seat
    check(generator)


def test_what_is_pinned_is_sent_before_the_first_step() -> None:
    properties = {"name": {"type": "string"}, "age": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": ["name", "age"]}
    model = ctrlgen.Model(RandomDenoiser())
    generator = ctrlgen.Generator(model, schema, max_new_tokens=40)
    assert prefixes(generator)[0] == '{"name":'
