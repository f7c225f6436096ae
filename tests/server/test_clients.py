"""Other people's clients, each a program of its own, in an environment where they install.

`make clients` makes the environment and runs this; without it they are skipped. outlines is here
anyway.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .running import Address

PROGRAMS = Path(__file__).parent / "clients"
ELSEWHERE = os.environ.get("CTRLGEN_CLIENTS_PYTHON")


def last_line(python: str, name: str, server: Address) -> str:
    """What a program says at its end; it asserts for itself, and fails if it must."""
    command = [python, str(PROGRAMS / f"with_{name}.py"), server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_outlines(server: Address) -> None:
    assert last_line(sys.executable, "outlines", server) == "ok"


@pytest.mark.slow
@pytest.mark.skipif(ELSEWHERE is None, reason="run `make clients`, or set CTRLGEN_CLIENTS_PYTHON")
@pytest.mark.parametrize("name", ["outlines", "instructor", "langchain", "pydantic_ai"])
def test_clients(server: Address, name: str) -> None:
    assert ELSEWHERE is not None
    assert last_line(ELSEWHERE, name, server) == "ok"
