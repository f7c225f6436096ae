"""Digit automata against arithmetic, by brute force over windows of numbers."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrlgen.constraints.nodes import NOTHING
from ctrlgen.constraints.numeric import Bounds, exact, integer_node, number_node
from ctrlgen.errors import LimitError
from tests.constraints.oracle import matches, sample

_EDGES = st.none() | st.integers(-130, 130)
_DECIMALS = st.none() | st.integers(-300, 300).map(lambda n: Fraction(n, 100))


def _inside(value: Fraction, bounds: Bounds) -> bool:
    low, high = bounds.minimum, bounds.maximum
    above, below = bounds.exclusive_minimum, bounds.exclusive_maximum
    return (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _bounds(*edges: int | Fraction | None) -> Bounds:
    return Bounds(*(None if edge is None else Fraction(edge) for edge in edges))


@settings(max_examples=40, deadline=None)
@given(_EDGES, _EDGES, _EDGES, _EDGES, st.sampled_from([1, 1, 2, 3, 7, 10, 15, 25]))
def test_integers_of_a_window(low, high, above, below, multiple):
    bounds = _bounds(low, high, above, below)
    node = integer_node(bounds, Fraction(multiple))
    for value in (*range(-140, 141, 1), 998, 999, 1000, 1001, 1050, -1000, -999):
        wanted = _inside(Fraction(value), bounds) and value % multiple == 0
        assert matches(node, str(value).encode()) == wanted, value


def test_integer_spelling():
    node = integer_node(Bounds())
    for word in (b"", b"-", b"-0", b"00", b"01", b"+1", b"1.0", b"1e3"):
        assert not matches(node, word)
    assert matches(node, b"-12345678901234567890123")


def test_large_integer_bounds():
    low, high = 10**19 - 3, 3 * 10**40
    node = integer_node(_bounds(low, high))
    for value in (low - 1, low, low + 1, 10**19, 10**25, high - 1, high, high + 1):
        assert matches(node, str(value).encode()) == (low <= value <= high)
    with pytest.raises(LimitError):
        integer_node(_bounds(10**500))


def test_empty_ranges():
    assert integer_node(_bounds(3, 2)) is NOTHING
    assert integer_node(_bounds(None, None, 1, 2)) is NOTHING
    assert integer_node(_bounds(11, 14), Fraction(5)) is NOTHING
    assert number_node(_bounds(2, 1)) is NOTHING


@settings(max_examples=40, deadline=None)
@given(_DECIMALS, _DECIMALS, _DECIMALS, _DECIMALS)
def test_decimals_of_a_window(low, high, above, below):
    bounds = _bounds(low, high, above, below)
    node = number_node(bounds)
    for hundredths in range(-312, 313, 3):
        value = Decimal(hundredths) / 100
        for text in {f"{value:f}", f"{value:.2f}", f"{value:.4f}"}:
            wanted = _inside(Fraction(value), bounds)
            if not (hundredths == 0 and text.startswith("-")):
                assert matches(node, text.encode()) == wanted, text


@settings(max_examples=30, deadline=None)
@given(_DECIMALS, _DECIMALS, st.sampled_from(["0.01", "0.05", "0.25", "1.5", "0.7", "3"]))
def test_decimal_multiples(low, high, multiple):
    bounds, step = _bounds(low, high), Fraction(Decimal(multiple))
    node = number_node(bounds, step)
    places = len(multiple.partition(".")[2])
    for hundredths in range(-312, 313):
        text = f"{hundredths / 100:.2f}".rstrip("0").rstrip(".")
        text = "0" if text in ("-0", "") else text
        value = Fraction(hundredths, 100)
        wanted = _inside(value, bounds) and value % step == 0
        if len(text.partition(".")[2]) <= places:
            assert matches(node, text.encode()) == wanted, text
        else:
            assert not wanted


@settings(max_examples=60, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(0, 10), st.booleans(), st.integers(0, 2**20))
def test_doubles_respect_exclusive_bounds(low, width, exclusive, seed):
    high = low + width
    first, last = exact(low), exact(high)
    bounds = Bounds(None, last, first) if exclusive else Bounds(first, None, None, last)
    node = number_node(bounds)
    if node is NOTHING:
        return
    try:
        value = float(sample(node, random.Random(seed)))
    except LookupError:
        return  # the window is too narrow to draw from blindly
    assert (low < value <= high) if exclusive else (low <= value < high)


def test_bounds_among_subnormal_doubles():
    tiny = exact(2.2250738585e-313)
    assert number_node(Bounds(tiny, None, None, 2 * tiny)) is NOTHING
    assert matches(number_node(Bounds(tiny, Fraction(1, 10**299))), b"0." + b"0" * 299 + b"1")


def test_free_numbers():
    node = number_node(Bounds())
    for word in (b"0", b"-0", b"1.50", b"1e5", b"1E-07", b"-12.5e+3"):
        assert matches(node, word)
    for word in (b".5", b"1.", b"01", b"1e", b"1e400", b"+1", b"NaN", b"Infinity"):
        assert not matches(node, word)


def test_limits():
    with pytest.raises(LimitError):
        integer_node(Bounds(), Fraction(1009))
    with pytest.raises(LimitError):
        number_node(_bounds(None, None, 10**15))
    assert matches(integer_node(Bounds(), Fraction(1_000_000)), b"-7000000")


def test_exact_reads_floats_as_written():
    assert exact(0.1) == Fraction(1, 10)
    assert exact(1e-7) == Fraction(1, 10**7)
