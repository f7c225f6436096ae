"""Reading tasks, and what answers are worth."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import ctrlgen
from ctrlgen.errors import ModelError, SchemaError
from ctrlgen.generator import Model
from ctrlgen.testing import RandomDenoiser
from ctrlgen.training.rewards import Reward, exact, field_f1, likelihood
from ctrlgen.training.rollouts import Branch, Chooser, play
from ctrlgen.training.tasks import UNKNOWN, divided, read_tasks
from tests.training.worlds import SCHEMA

TOOL = {"name": "go", "parameters": {"type": "object", "properties": {"to": {"type": "string"}}}}


def written(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return path


def test_rows_of_every_kind(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"prompt": "hi", "schema": SCHEMA, "gold": {"a": "x", "b": "y"}},
        {"prompt": [{"role": "user", "content": "go"}], "tools": [TOOL], "gold": None},
        "",
        {"prompt": "ho", "schema": SCHEMA},
        {"prompt": "plain"},
        {"prompt": "number", "regex": "[0-9]+", "gold": "12"},
        {"prompt": "sum", "grammar": 'start: "1" ("+" "1")*'},
    )
    tasks = read_tasks(path, Model(RandomDenoiser()), ctrlgen.choice(["p", "q"]))
    assert [task.gold for task in tasks] == [
        {"a": "x", "b": "y"}, None, UNKNOWN, UNKNOWN, "12", UNKNOWN,
    ]  # fmt: skip
    assert tasks[0].generator is tasks[2].generator
    assert tasks[1].generator.spec.tool_names == ("go",)
    assert tasks[3].generator.spec.kind == "choice"
    assert [task.generator.spec.kind for task in tasks[4:]] == ["regex", "grammar"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "tasks.jsonl:2: not JSON"),
        ([1], "tasks.jsonl:2: a row must be"),
        ({"schema": SCHEMA}, "tasks.jsonl:2: a row must be"),
        ({"prompt": 3, "schema": SCHEMA}, "tasks.jsonl:2: a prompt is"),
        ({"prompt": "a"}, "tasks.jsonl:2: a row needs one of"),
        ({"prompt": "a", "schema": SCHEMA, "tools": [TOOL]}, "tasks.jsonl:2: a row needs one of"),
    ],
)
def test_rows_that_are_none(tmp_path: Path, row: object, message: str) -> None:
    path = written(tmp_path, {"prompt": "hi", "schema": SCHEMA}, row)
    with pytest.raises(ValueError, match=message):
        read_tasks(path, Model(RandomDenoiser()))


def test_files_that_say_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no rows"):
        read_tasks(written(tmp_path, ""), Model(RandomDenoiser()))
    with pytest.raises(SchemaError):
        read_tasks(
            written(tmp_path, {"prompt": "a", "schema": {"type": 3}}), Model(RandomDenoiser())
        )


def test_a_tenth_is_held_out(tmp_path: Path) -> None:
    path = written(tmp_path, *({"prompt": str(i), "schema": SCHEMA} for i in range(20)))
    tasks = read_tasks(path, Model(RandomDenoiser()))
    train, test = divided(tasks, None)
    assert len(train) == 18 and len(test) == 2 and not set(map(id, train)) & set(map(id, test))
    assert divided(tasks[:3], tasks[3:4]) == (tasks[:3], tasks[3:4])
    with pytest.raises(ValueError, match="10 or more"):
        divided(tasks[:9], None)


def test_quality_by_the_gold_answer() -> None:
    gold = {"name": "go", "arguments": {"to": "Rome", "n": 2, "via": []}}
    same, wrong = json.dumps(gold), json.dumps(gold | {"arguments": {"to": "Rome", "n": 3}})
    assert exact(same, gold) == field_f1(same, gold) == 1
    assert exact(wrong, gold) == 0
    assert field_f1(wrong, gold) == pytest.approx(2 * 2 / (3 + 4))
    assert exact("ab", "ab") == field_f1("ab", "ab") == 1 and field_f1("ab", "b") == 0
    assert exact("12", "12") == field_f1("12", "12") == 1  # of a regular expression
    assert field_f1("{}", {}) == 1 and field_f1("null", {}) == 0


def test_likelihood_of_a_finished_canvas() -> None:
    class Known(RandomDenoiser):
        """Gives x three times the weight of y, whatever it sees."""

        def __call__(self, sequences, positions):
            out = [np.full((len(p), self.vocabulary.size), -50.0) for p in positions]
            for rows in out:
                rows[:, ord("x")], rows[:, ord("y")] = np.log(0.75), np.log(0.25)
            return out

        leave_one_out = __call__

    model = Model(Known())
    seat = ctrlgen.Generator(model, SCHEMA).seat("hi")
    play([Branch(seat, Chooser(np.random.default_rng(0)))])
    assert likelihood(seat.run, model.denoiser) == pytest.approx(0.75, rel=1e-3)
    reward, quality = Reward("f1", 0.1)(seat.run, UNKNOWN, model.denoiser)
    assert reward == pytest.approx(quality - 0.1 * seat.run.passes)
    assert quality == pytest.approx(0.75, rel=1e-3)
    assert Reward("likelihood")(seat.run, {"a": "q"}, model.denoiser)[1] == quality
    with pytest.raises(ModelError, match="cannot score"):
        likelihood(seat.run, object())


def test_more_passes_cost_more() -> None:
    model = Model(RandomDenoiser())
    seat = ctrlgen.Generator(model, SCHEMA).seat("hi")
    play([Branch(seat, Chooser(np.random.default_rng(0)))])
    rewards = [Reward("f1", cost)(seat.run, {}, None)[0] for cost in (0.0, 0.1, 0.2)]
    assert all(b < a for a, b in pairwise(rewards))
