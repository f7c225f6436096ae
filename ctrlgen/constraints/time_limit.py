"""A limit of time for exploring automata, which are lazy and may be astronomically large.

Whoever must not be held up by somebody else's constraint, as a server must not, sets it; where new
states are made, it is checked. What was made before the end is complete and is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

from ctrlgen.errors import LimitError


class _Ends(threading.local):
    at: float = inf


_ends = _Ends()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let `check_time` raise on this thread once `seconds` are over."""
    before = _ends.at
    _ends.at = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.at = before


def check_time() -> None:
    """Called wherever new states are made.

    Raises:
        LimitError: The time of this thread is over.
    """
    if time.monotonic() > _ends.at:
        raise LimitError(
            "the constraint has too many states to be explored in time",
            hint="simplify the pattern or narrow the length bounds",
        )
