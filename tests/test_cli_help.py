"""What `--help` says of every command, word for word.

After a change: python -m tests.test_cli_help > tests/data/cli_help.txt
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.rich_utils
from typer.testing import CliRunner

from ctrlgen.cli import app

GOLDEN = Path(__file__).parent / "data" / "cli_help.txt"
WIDTH = 96


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups before what they hold."""
    yield path
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def pages() -> str:
    """The help of all commands, as in a terminal without colours."""
    out = []
    for words in commands(typer.main.get_command(app)):
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="ctrlgen", color=False)
        assert shown.exit_code == 0, shown.output
        lines = [line.rstrip() for line in shown.stdout.strip().splitlines()]
        out.append("\n".join([f"$ ctrlgen {' '.join([*words, '--help'])}", *lines, ""]))
    return "\n".join(out)


def test_help_is_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typer.rich_utils, "MAX_WIDTH", WIDTH)
    monkeypatch.delenv("CTRLGEN_API_KEY", raising=False)
    assert pages() == GOLDEN.read_text(encoding="utf-8"), __doc__


if __name__ == "__main__":
    typer.rich_utils.MAX_WIDTH = WIDTH
    print(pages(), end="")


def test_the_package_is_the_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "ctrlgen", "compile", "--no-such"], capture_output=True, text=True
    )
    assert shown.returncode == 2
    assert "Usage: ctrlgen compile" in shown.stderr
