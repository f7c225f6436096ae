"""Layout of schemas, and what a canvas promises about its size and text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ctrlgen.canvas import Canvas, Scaffold
from ctrlgen.canvas.parts import Gap, Members, Part, Pinned
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.errors import CanvasTooSmallError, ConstraintError
from ctrlgen.testing import RandomDenoiser
from tests.random_schemas import RandomSchemas

DENOISER = RandomDenoiser()
INTEGER, STRING, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}


def scaffold_of(schema: dict[str, Any]) -> Scaffold:
    constraint = Constraint(lower_schema(schema), DENOISER.vocabulary)
    return Scaffold(constraint, DENOISER.encode, DENOISER.fill_token_id)


def canvas_of(schema: dict[str, Any], budget: int = 200) -> Canvas:
    return Canvas(scaffold_of(schema), DENOISER.mask_token_id, budget)


def object_of(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names}


def picture(parts: list[Part]) -> str:
    """The parts in one line: `<kind>` for a gap, `?` behind what may be absent."""
    out = ""
    for part in parts:
        if isinstance(part, Pinned):
            out += part.text.decode()
        elif isinstance(part, Gap):
            out += part.lead.decode() + f"<{part.kind}>" + "?" * part.slack.absent
        else:
            assert isinstance(part, Members)
            out += part.separator.decode().join(picture(m.parts) for m in part.members)
    return out


CAT = object_of(kind={"const": "cat"}, lives=INTEGER)
DOG = object_of(kind={"const": "dog"}, name=STRING)
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": object_of(
            ["value"],
            value=INTEGER,
            left={"$ref": "#/$defs/tree"},
            right={"anyOf": [{"$ref": "#/$defs/tree"}, NULL]},
        )
    },
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (object_of(a=INTEGER, b=STRING), '{"a":<integer>,"b":<string>}'),
        (object_of(["b"], a=INTEGER, b=STRING), '{"a":<integer>?,"b":<string>}'),
        (object_of([], a={"const": 1}), '{"a":<enum>?}'),
        (object_of(a=object_of(b=INTEGER), c={"const": 1}), '{"a":{"b":<integer>},"c":1}'),
        (object_of([], a=object_of(b=INTEGER)), '{"a":<fork>?}'),
        (object_of(a={"anyOf": [CAT, NULL]}), '{"a":<fork>}'),
        (object_of([], a={"anyOf": [CAT, NULL]}), '{"a":<fork>?}'),
        (object_of([], a={"anyOf": [CAT, DOG]}), '{"a":<fork>?}'),
        ({"anyOf": [CAT, DOG]}, '{"kind":<fork>'),
        ({"type": "array", "items": CAT}, "[<fork>?]"),
        ({"type": "array", "items": {"anyOf": [CAT, DOG]}}, "[<fork>?]"),
        (
            {"type": "array", "items": object_of(a=INTEGER), "minItems": 2, "maxItems": 2},
            '[{"a":<integer>},{"a":<integer>}]',
        ),
        (
            {"type": "array", "items": object_of(a=INTEGER), "minItems": 1},
            '[{"a":<integer>}<fork>?]',
        ),
        ({"type": "array", "items": INTEGER}, "<array>"),
        (TREE, '{"value":<integer>,"left":<fork>?,"right":<fork>?}'),
        ({"type": "object"}, "<text>"),
        ({"const": {"a": [1]}}, '{"a":[1]}'),
    ],
)
def test_layout(schema: dict[str, Any], expected: str) -> None:
    canvas = canvas_of(schema)
    assert picture(canvas.parts) == expected
    assert canvas.scaffold.constraint.accepts(canvas.text())


def take(canvas: Canvas, gap: Gap, text: str) -> None:
    """Settle a gap on a text."""
    tokens = DENOISER.encode(text)
    gap.witness = np.array(tokens + [DENOISER.fill_token_id] * (gap.length - len(tokens)))
    canvas.commit(gap, np.ones(gap.length, dtype=bool))
    if gap.is_fork:
        canvas.collapse(gap)


def fork(canvas: Canvas) -> Gap:
    return next(gap for gap in canvas.gaps() if gap.is_fork)


def heads(gap: Gap) -> list[bytes]:
    return [getattr(option.head, "data", b"<slot>") for option in gap.options]


def test_a_discriminator_decides_the_rest() -> None:
    canvas = canvas_of({"anyOf": [CAT, DOG, NULL]})
    assert heads(fork(canvas)) == [b'{"kind":"cat"', b'{"kind":"dog"', b"null"]
    take(canvas, fork(canvas), '{"kind":"dog"')
    assert picture(canvas.parts) == '{"kind":"dog","name":<string>}'
    canvas = canvas_of({"anyOf": [CAT, DOG]})
    take(canvas, fork(canvas), '"cat"')
    assert picture(canvas.parts) == '{"kind":"cat","lives":<integer>}'


def test_one_tag_may_begin_with_another() -> None:
    tags = [object_of(kind={"const": tag}, **{tag: INTEGER}) for tag in ("d", "dog", "do")]
    canvas = canvas_of({"anyOf": tags})
    take(canvas, fork(canvas), '"do"')
    assert json.loads(canvas.text()) == {"kind": "do", "do": 0}


def test_a_list_goes_on_or_ends() -> None:
    canvas = canvas_of({"type": "array", "items": object_of(a=INTEGER), "maxItems": 2})
    take(canvas, fork(canvas), "{")
    assert picture(canvas.parts) == '[{"a":<integer>}<fork>?]'
    take(canvas, fork(canvas), ",")
    assert picture(canvas.parts) == '[{"a":<integer>},{"a":<integer>}]'
    canvas = canvas_of({"type": "array", "items": object_of(a=INTEGER)})
    take(canvas, fork(canvas), "")
    assert canvas.text() == "[]" and not fork_left(canvas)


def fork_left(canvas: Canvas) -> bool:
    return any(gap.is_fork for gap in canvas.gaps())


def test_recursion_unfolds_as_far_as_it_is_taken() -> None:
    canvas = canvas_of(TREE)
    for depth in range(1, 6):
        take(canvas, fork(canvas), "{")
        assert picture(canvas.parts).count('"value":') == depth + 1
        assert canvas.text() == '{"value":0' + ',"left":{"value":0' * depth + "}" * (depth + 1)


def test_an_optional_union_can_be_present() -> None:
    canvas = canvas_of(object_of([], a={"anyOf": [CAT, DOG]}))
    assert canvas.text() == "{}"
    take(canvas, fork(canvas), "{")
    assert picture(canvas.parts) == '{"a":{"kind":<fork>}'
    take(canvas, fork(canvas), '"cat"')
    assert json.loads(canvas.text()) == {"a": {"kind": "cat", "lives": 0}}


def test_forks_that_took_each_others_room_are_open_again() -> None:
    schema = object_of([], a=CAT, b=CAT)
    scaffold = scaffold_of(schema)
    one = int(scaffold.minimum.of(scaffold_of(object_of(a=CAT)).constraint.grammar.root))
    canvas = Canvas(scaffold, DENOISER.mask_token_id, one + 6)
    first, second = canvas.gaps()
    for gap in (first, second):
        assert canvas.affordable(gap)
        gap.witness = np.array(DENOISER.encode("{") + [DENOISER.fill_token_id] * (gap.length - 1))
        canvas.commit(gap, np.ones(gap.length, dtype=bool))
    canvas.collapse(first)
    canvas.collapse(second)
    assert canvas.size() <= canvas.budget
    assert json.loads(canvas.text()) == {"a": {"kind": "cat", "lives": 0}}
    assert not second.settled and not canvas.affordable(second)


def test_growth_stays_within_the_budget() -> None:
    canvas = canvas_of(object_of(a=STRING, b=STRING), 40)
    first = next(canvas.gaps())
    assert canvas.grow(first, 1_000)
    assert canvas.size() == 40
    assert not canvas.grow(first, 1_000)
    assert canvas.scaffold.constraint.accepts(canvas.text())


def test_a_tight_canvas_shrinks_the_longest_gaps_first() -> None:
    canvas = canvas_of(object_of(a=STRING, b=STRING, c={"type": "boolean"}))
    size = canvas.size()
    canvas = Canvas(canvas.scaffold, DENOISER.mask_token_id, size - 8)
    lengths = [gap.length for gap in canvas.gaps()]
    assert max(lengths) - min(lengths) <= 1
    assert canvas.size() <= size - 8


def test_a_fork_saves_no_more_than_its_options_need() -> None:
    """Seed 226 of the slow run: shortening a fork below its reserve frees nothing."""
    members = [object_of(kind={"const": tag}) for tag in ("catfish", "d")]
    rest = [{"type": "string", "minLength": 5}, INTEGER]
    schema = {"type": "array", "prefixItems": [{"oneOf": members}, *rest], "items": False}
    scaffold = scaffold_of({**schema, "minItems": 3})
    needed = int(scaffold.minimum.of(scaffold.constraint.grammar.root))
    assert Canvas(scaffold, DENOISER.mask_token_id, needed).size() == needed


def random_commits(canvas: Canvas, rng: np.random.Generator) -> None:
    """Settle what is open on the witness, bit by bit, with forks on a random option."""
    accepts: Callable[[str], bool] = canvas.scaffold.constraint.accepts
    for _ in range(12):
        open_gaps = [gap for gap in canvas.gaps() if not gap.settled]
        if not open_gaps:
            break
        gap = open_gaps[int(rng.integers(len(open_gaps)))]
        options = canvas.affordable(gap)
        if options:
            option = options[int(rng.integers(len(options)))]
            start = canvas.scaffold.start_of(option.head)
            tokens = canvas.scaffold.constraint.tokens.shortest(start)
            if len(tokens) <= gap.length:
                fill = [DENOISER.fill_token_id] * (gap.length - len(tokens))
                gap.witness = np.array(tokens + fill)
            canvas.commit(gap, np.ones(gap.length, dtype=bool))
            canvas.collapse(gap)
        else:
            canvas.commit(gap, rng.random(gap.length) < 0.5)
        assert accepts(canvas.text())
        assert canvas.size() <= canvas.budget
        assert len(canvas.view().ids) <= canvas.budget


@pytest.mark.parametrize("number", range(50))
def test_the_text_is_always_valid_and_the_minimum_exact(number: int) -> None:
    try:
        scaffold = scaffold_of(RandomSchemas(number).document())
    except ConstraintError:
        return
    needed = int(scaffold.minimum.of(scaffold.constraint.grammar.root))
    with pytest.raises(CanvasTooSmallError) as caught:
        Canvas(scaffold, DENOISER.mask_token_id, needed - 1)
    assert caught.value.needed == needed
    rng = np.random.default_rng(number)
    for budget in (needed, needed + 5, needed + 40, needed + 200):
        canvas = Canvas(scaffold, DENOISER.mask_token_id, budget)
        assert scaffold.constraint.accepts(canvas.text())
        assert canvas.size() <= budget
        random_commits(canvas, rng)


def test_two_thousand_optional_members_and_deep_nesting() -> None:
    wide = object_of([], **{f"key{i}": STRING for i in range(2_000)})
    assert canvas_of(wide, 300).text() == "{}"
    deep: dict[str, Any] = INTEGER
    for _ in range(30):
        deep = object_of(a=deep)
    assert json.loads(canvas_of(deep, 400).text())
