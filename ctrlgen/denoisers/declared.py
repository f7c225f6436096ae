"""What a denoiser declares of itself that steers the engine."""

from __future__ import annotations

from math import isfinite
from typing import Any, Literal, get_args

from ctrlgen.errors import ModelError

Lengths = Literal["slack", "open", "several"]
"""Where the lengths of slots come from: fill tokens it was trained with, rows with an open end, or
several lengths side by side (docs/lengths.md)."""

Commits = Literal["threshold", "tracelock"]
"""What commits by default: sure tokens, or those that the commit policy of the package, which was
trained for one model, calls final (docs/blocks.md)."""


def commits_of(config: Any) -> Commits:
    """The default scheduler of a checkpoint: `commits` of the config, else the threshold.

    Raises:
        ModelError: If there is none of that name.
    """
    found = getattr(config, "commits", None) or "threshold"
    chosen: Commits = _known(found, Commits, "commits", "default scheduler")
    return chosen


def closing_of(config: Any) -> tuple[float, float]:
    """Slope and offset that calibrate closing masses: `closing` of the config, else none.

    `scripts/fit_lengths.py` fits them.

    Raises:
        ModelError: If that is not two numbers, the first above 0.
    """
    found = getattr(config, "closing", None)
    if found is None:
        return 1.0, 0.0
    try:
        slope, offset = map(float, found)
    except (TypeError, ValueError):
        slope, offset = 0.0, 0.0
    if slope <= 0.0:
        raise ModelError(f"closing in config.json is two numbers, the first above 0: {found!r}")
    return slope, offset


def absence_of(config: Any) -> float:
    """How many nats likelier absence is than the model says: `absence` of the config, else 0.

    `scripts/fit_lengths.py` fits it.

    Raises:
        ModelError: If that is not a number.
    """
    found = getattr(config, "absence", 0.0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not isfinite(found):
        raise ModelError(f"absence in config.json is a number of nats: {found!r}")
    return float(found)


def declared(given: Lengths | None, config: Any) -> Lengths:
    """The length source of a checkpoint.

    Args:
        given: What the user says, if anything.
        config: The config of the model.

    Raises:
        ModelError: If there is no source of that name.
    """
    trained = getattr(config, "fill_token_id", None) is not None
    found = given or getattr(config, "lengths", None) or ("slack" if trained else "open")
    chosen: Lengths = _known(found, Lengths, "lengths", "length source")
    return chosen


def _known(found: Any, names: Any, key: str, noun: str) -> Any:
    """The name, if it is one of a `Literal`."""
    if found not in get_args(names):
        hint = f"{key} is one of {', '.join(map(repr, get_args(names)))}"
        raise ModelError(f"there is no {noun} {found!r}", hint=hint)
    return found
