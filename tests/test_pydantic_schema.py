"""Limited decimals: what the constraint accepts, pydantic accepts."""

from decimal import Decimal
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

import ctrlgen
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.spec import to_spec

BYTES = Vocabulary([bytes([i]) for i in range(256)])
LIMITS = [
    {"max_digits": 5, "decimal_places": 2},
    {"decimal_places": 2},
    {"max_digits": 4},
    {"gt": 0, "le": 10},
    {"multiple_of": Decimal("0.05"), "max_digits": 4},
    {"max_digits": 5, "decimal_places": 2, "ge": Decimal("1.5")},
    {"max_digits": 3, "decimal_places": 5},
]
PAIRS = [
    (ctrlgen.compile(kind, BYTES), to_spec(kind).adapter)
    for kind in (Annotated[Decimal, Field(**limits)] for limits in LIMITS)
]


def accepted(adapter: TypeAdapter[Decimal], text: str) -> bool:
    try:
        adapter.validate_json(text)
    except ValueError:
        return False
    return True


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?", fullmatch=True))
def test_no_limit_is_weakened(text: str) -> None:
    for constraint, adapter in PAIRS:
        assert adapter is not None
        assert not constraint.accepts(text) or accepted(adapter, text)


@pytest.mark.parametrize("text", ["1.5", "9.25", "0.05", "10"])
def test_no_limit_is_overdone(text: str) -> None:
    for constraint, adapter in PAIRS:
        assert adapter is not None
        assert constraint.accepts(text) == accepted(adapter, text)


def test_a_plain_decimal_may_be_text() -> None:
    constraint = ctrlgen.compile(Decimal, BYTES)
    assert constraint.accepts("1.5")
    assert constraint.accepts('"1.5"')
