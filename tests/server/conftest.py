"""One server with the embedded model for all tests that only ask it something."""

from collections.abc import Iterator

import pytest

import ctrlgen

from .running import Address, running


@pytest.fixture(scope="session")
def server() -> Iterator[Address]:
    limits = {"header_seconds": 1.0, "body_seconds": 1.0, "step_seconds": 0.5}
    with running(ctrlgen.load(), compile_seconds=3.0, **limits) as it:
        yield it
