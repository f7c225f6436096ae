"""`ctrlgen serve`: options become settings, and the command serves until it is interrupted."""

import os
import re
import signal
import subprocess
import sys
from types import ModuleType
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

import ctrlgen.server.ray
from ctrlgen.cli import app
from ctrlgen.server import Settings
from ctrlgen.server.ray import Replicas
from ctrlgen.testing import RandomDenoiser


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["serve", *arguments])


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []
    monkeypatch.setattr(ctrlgen, "load", lambda path: ctrlgen.Model(RandomDenoiser()))
    monkeypatch.setattr(
        ctrlgen.server, "serve", lambda model, settings, **where: calls.append((settings, where))
    )
    return calls


def test_options_become_settings(served: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTRLGEN_API_KEY", "sesame")
    result = run("--port", "1", "--queue", "3", "--deadline", "2.5", "--name", "tiny")
    assert result.exit_code == 0, result.output
    settings = Settings(model_name="tiny", api_key="sesame", queue=3, deadline=2.5)
    assert served == [(settings, {"host": "127.0.0.1", "port": 1})]
    assert run("--model", "some/where").exit_code == 0
    assert served[1][0].describe is True


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--queue", "0"], ["--api-key", "é"]])
def test_bad_options(served: list[Any], arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
    assert served == []


def test_only_ray_has_replicas(served: list[Any]) -> None:
    for option in (("--replicas", "2"), ("--max-replicas", "3"), ("--gpus", "1")):
        result = run(*option)
        assert result.exit_code == 2
        assert f"{option[0]} says how --ray serves (add --ray)" in result.stderr
    assert served == []


def test_ray_gets_what_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, "ray.serve", ModuleType("ray.serve"))
    monkeypatch.setattr(ctrlgen.server.ray, "serve_on_ray", lambda *a, **k: calls.append((a, k)))
    monkeypatch.setattr(ctrlgen, "load", lambda *a, **k: (a, k))
    options = ("--replicas", "2", "--max-replicas", "4", "--gpus", "0.5", "--ray-address", "auto")
    result = run("--ray", *options, "--port", "1", "--queue", "3", "--model", "a/b")
    assert result.exit_code == 0, result.output
    ((build, settings, replicas), where) = calls[0]
    assert build() == (("a/b",), {"device_map": "auto"})
    assert settings == Settings(queue=3, describe=True)
    assert replicas == Replicas(2, 4, gpus=0.5)
    assert where == {"host": "127.0.0.1", "port": 1, "address": "auto"}
    assert run("--ray", "--replicas", "3", "--max-replicas", "2").exit_code == 2
    monkeypatch.setitem(sys.modules, "ray.serve", None)
    assert "pip install 'ctrlgen[scale]'" in run("--ray").stderr
    assert len(calls) == 1


@pytest.mark.slow
def test_the_command_serves_until_interrupted() -> None:
    command = [sys.executable, "-c", "from ctrlgen.cli import app; app()", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # A shell in the background may have told its children to ignore the signal.
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=_heed_interrupts
    )
    assert process.stderr is not None
    with process:
        found = next(m for line in process.stderr if (m := re.search(r"http://[\d.:]+", line)))
        assert httpx2.get(f"{found[0]}/health", timeout=30).json() == {"status": "ok"}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 130)  # as a shell tells an interrupt
        process.stderr.read()


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
