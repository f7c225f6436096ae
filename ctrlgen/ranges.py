"""Refusals of parameters that make no sense, by their names."""

from __future__ import annotations

from math import isfinite

from ctrlgen.errors import OptionError


def at_least_one(**numbers: int) -> None:
    """Refuse what is no whole number of 1 or more.

    Raises:
        OptionError: For the first such number.
    """
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise OptionError(f"{name} must be a whole number of 1 or more, not {value!r}")


def not_negative(**numbers: float) -> None:
    """Refuse what is no finite number of 0 or more.

    Raises:
        OptionError: For the first such number.
    """
    for name, value in numbers.items():
        if not isinstance(value, int | float) or not isfinite(value) or value < 0:
            raise OptionError(f"{name} must be a number of 0 or more, not {value!r}")


def within_one(**numbers: float) -> None:
    """Refuse what is no number from 0 to 1.

    Raises:
        OptionError: For the first such number.
    """
    for name, value in numbers.items():
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise OptionError(f"{name} must be a number from 0 to 1, not {value!r}")
