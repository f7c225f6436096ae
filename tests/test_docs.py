"""The code of README and docs runs as it stands, each page from top to bottom."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer.main

import ctrlgen.cli

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("docs/getting_started.md", "docs/guidance.md")  # below, and in tests/controllers
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 120


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Language of each block, the block, and the block behind as many lines as it has in front."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        yield block[1], block[2], "\n" * text.count("\n", 0, block.start(2)) + block[2]


PAGES = sorted(
    name
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    if (name := path.relative_to(ROOT).as_posix()) not in ELSEWHERE
    and any(language == "python" for language, *_ in blocks(name))
)


def execute(code: str, page: str, names: dict[str, object]) -> None:
    # Not with the annotations of this file, which are texts.
    exec(compile(code, str(ROOT / page), "exec", dont_inherit=True), names)


@pytest.mark.parametrize("page", PAGES)
def test_python_of_a_page_runs(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {"__name__": page}
    for language, _, placed in blocks(page):
        if language == "python":
            execute(placed, page, names)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of every `ctrlgen` that a shell block shows."""
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for language, block, _ in blocks(path.relative_to(ROOT).as_posix()):
            for line in block.replace("\\\n", " ").splitlines() if language == "bash" else ():
                words = shlex.split(line, comments=True)
                if words[:1] == ["ctrlgen"]:
                    yield path.name, words[1:]


def test_commands_that_pages_show_have_their_options() -> None:
    app: Any = typer.main.get_command(ctrlgen.cli.app)
    shown = list(commands())
    assert len(shown) > 10
    for page, words in shown:
        command = app
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        unknown = {word for word in words if word.startswith("--")} - known
        assert command is not app and not unknown, f"{page}: {words}"


class Shell:
    """Runs blocks of a page in a folder, with a `ctrlgen` of this interpreter on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.groups = folder, list[int]()
        command = folder / "bin" / "ctrlgen"
        command.parent.mkdir()
        code = "from ctrlgen.cli import app; app()"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
        command.chmod(0o755)
        (folder / "schemas").symlink_to(ROOT / "schemas")
        path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}

    def run(self, script: str) -> str:
        """What a block prints; what it starts in the background goes on."""
        with (self.folder / "out").open("w+") as out, (self.folder / "err").open("w+") as err:
            process = subprocess.Popen(
                ["bash", "-e", "-c", script], cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
            )  # fmt: skip
            self.groups.append(process.pid)
            code = process.wait(SECONDS)
            assert code == 0, (self.folder / "err").read_text()
        return (self.folder / "out").read_text(encoding="utf-8")

    def close(self) -> None:
        for group in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def test_getting_started_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python and shell in their order; a text behind a shell block is what that prints."""
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shell, printed = Shell(tmp_path), ""
    names: dict[str, object] = {"__name__": "getting_started"}
    try:
        for language, block, placed in blocks("docs/getting_started.md"):
            match language:
                case "python":
                    execute(placed.replace("8000", port), "docs/getting_started.md", names)
                case "bash":
                    printed = shell.run(block.replace("8000", port))
                case "text":
                    assert printed == block
                case _:
                    pytest.fail(f"a block of {language} that nobody runs")
        names["client"].close()  # type: ignore[attr-defined]
    finally:
        shell.close()
    assert (tmp_path / "run.html").stat().st_size > 1000
