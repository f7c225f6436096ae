"""`ctrlgen train block-policy` and `commit-policy` with the embedded model, on a few rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ctrlgen
from ctrlgen.cli import app
from ctrlgen.controllers.blocks import LearnedBlocks
from ctrlgen.schedulers import TraceLock, tracelock
from ctrlgen.schedulers.perceptron import load_policy

ROWS = [
    {"prompt": "Ann is 41.", "gold": {"name": "Ann", "age": 41}},
    {"prompt": "Bob is 7."},
]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def test_a_block_policy_is_trained_saved_and_used(tasks: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    options = ("--schema", "name, age int", "--held-out", tasks, "--prompts", 2, "--group", 2)
    done = run("block-policy", tasks, "--out", out, *options, "--updates", 2, "--order", "left")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()[1:3]] == ["whole", "policy"]
    assert {file.name for file in out.iterdir()} == {
        "config.json", "model.safetensors", "curves.jsonl", "curves.png",
    }  # fmt: skip
    curve = [json.loads(line) for line in (out / "curves.jsonl").read_text().splitlines()]
    assert len(curve) == 2 and set(curve[0]) == {"reward", "quality", "forwards"}
    block = LearnedBlocks.load(out)
    assert block.order == "left"
    fields = {"name": {"type": "string"}, "age": {"type": "integer"}}
    schema = {"type": "object", "properties": fields, "required": ["name", "age"]}
    answer = ctrlgen.load()("Cid is 9.", schema, block=block)
    assert isinstance(answer["age"], int)
    options = (*options, "--updates", 1, "--commits", "tracelock", "--start", out)
    again = run("block-policy", tasks, "--out", out, *options)
    assert again.exit_code == 0, again.output
    assert json.loads((out / "config.json").read_text())["scheduler"] == "TraceLock(threshold=0.9)"


def test_a_commit_policy_is_trained_saved_and_used(tasks: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    done = run("commit-policy", tasks, "--out", out, "--schema", "name, age int",
               "--held-out", tasks, "--epochs", 2)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "proposed tokens" in done.stdout
    lock = TraceLock(0.5, load_policy(out, len(tracelock.FEATURES)))
    assert isinstance(ctrlgen.load()("Ann is 41.", int, scheduler=lock), int)


def test_what_is_wrong_is_said_in_one_line(tasks: Path, tmp_path: Path) -> None:
    done = run("block-policy", tasks, "--out", tmp_path)
    assert done.exit_code == 2 and "needs one of `schema`, `tools`" in done.output
    done = run("commit-policy", tasks, "--out", tmp_path, "--schema", "name")
    assert done.exit_code == 2 and "10 or more" in done.output
