"""benchmarks/agents.py: its questions, its judgement, and that it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import ctrlgen

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from agents import _bfcl_judge, bfcl, measured, panel, separation, sgd, told_apart  # noqa: E402

DATA = ROOT / "tests" / "data"


def test_a_bfcl_call_fits_one_of_the_listed_values() -> None:
    right = _bfcl_judge([("f", {"a": [1, 2], "b": ["x", ""]}), ("g", {})])
    assert right([("g", {}), ("f", {"a": 2})])
    assert right([("f", {"a": 1, "b": "x"}), ("g", {})])
    assert not right([("f", {"a": 1})])
    assert not right([("f", {"a": 3}), ("g", {})])
    assert not right([("f", {"b": "x"}), ("g", {})])
    assert not right([("f", {"a": 1, "c": 1}), ("g", {})])
    assert not right([("g", {}), ("g", {})])


def test_separation_is_the_area_under_the_curve() -> None:
    assert separation([2.0, 3.0], [0.0, 1.0]) == 1
    assert separation([1.0, 1.0], [1.0]) == 0.5
    assert separation([0.0], [1.0, 2.0]) == 0


def test_where_the_system_still_asks_no_call_is_gold() -> None:
    questions = sgd(DATA, 3)
    for question in questions["call"]:
        assert (question.calls, len(question.names)) == (1, 1)
    for question in questions["text"]:
        assert (question.calls, question.names) == (0, [])
        assert question.messages[-1]["role"] == "user"
    assert [len(each) for each in bfcl(DATA, 2).values()] == [2, 2, 2]


def test_a_table_of_two_rows() -> None:
    model, questions = ctrlgen.load(), sgd(DATA, 1)
    rows = [
        (f"{kind} {choice}", measured(model, questions[kind], choice, False))
        for kind, choice in (("call", "named"), ("text", "auto"))
    ]
    assert [tally.count for _, tally in rows] == [1, 1]
    assert all(tally.share("valid") == 100 for _, tally in rows)
    assert rows[0][1].share("tool") == 100
    assert "AUC" in told_apart(model, questions)
    assert panel(rows).lines["tool"][0] == 100
