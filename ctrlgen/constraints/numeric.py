"""Bounds and `multipleOf` of JSON numbers as digit automata.

Everything is exact arithmetic on the decimal text. Two sound narrowings keep a text and the double
that a parser makes of it in step: an unbounded number has an exponent of at most two digits, and a
bounded one carries no more fraction digits than a double can tell apart near its bounds.
Whole numbers are written without a fraction, and zero without a sign.

The *wide* forms are for texts that others wrote: with any number of fraction digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from math import ceil, floor, inf, nextafter
from typing import Any

from ctrlgen.constraints.json_text import DIGIT, LEADING, MINUS, POINT, all_of, any_of, one_of
from ctrlgen.constraints.multiples import multiples
from ctrlgen.constraints.nodes import (
    NOTHING,
    Bytes,
    Choice,
    Node,
    Repeat,
    Seq,
    byte_range,
    optional,
    text,
)
from ctrlgen.errors import LimitError

MAX_DIGITS = 400
_MULTIPLE_DIGITS = 18  # a multiple has at most so many digits, unless its bounds have more
DOUBLE_DIGITS = 15  # decimals of up to 15 digits survive the way through a double

_FRACTION_DIGITS = 300  # below 1e-307 doubles are subnormal and lose digits


def exact(number: int | float | Fraction) -> Fraction:
    """The number as written in the schema: 0.1 is one tenth, not the double next to it."""
    return Fraction(Decimal(repr(number))) if isinstance(number, float) else Fraction(number)


@dataclass(frozen=True)
class Bounds:
    """What JSON Schema's four bounds allow."""

    minimum: Fraction | None = None
    maximum: Fraction | None = None
    exclusive_minimum: Fraction | None = None
    exclusive_maximum: Fraction | None = None

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> Bounds:
        """Those among the keywords of a schema, as exact numbers."""
        names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        return cls(*map(keywords.get, names))

    def scaled(self, scale: int) -> tuple[int | None, int | None]:
        """The least and greatest integer n with n / scale inside the bounds."""
        lows = [] if self.minimum is None else [ceil(self.minimum * scale)]
        highs = [] if self.maximum is None else [floor(self.maximum * scale)]
        if self.exclusive_minimum is not None:
            lows.append(floor(self.exclusive_minimum * scale) + 1)
        if self.exclusive_maximum is not None:
            highs.append(ceil(self.exclusive_maximum * scale) - 1)
        return max(lows, default=None), min(highs, default=None)

    def edges(self) -> list[Fraction]:
        """The bounds that are set."""
        edges = (self.minimum, self.maximum, self.exclusive_minimum, self.exclusive_maximum)
        return [edge for edge in edges if edge is not None]

    @property
    def is_empty(self) -> bool:
        """Whether no number lies inside."""
        lows = [edge for edge in (self.minimum, self.exclusive_minimum) if edge is not None]
        highs = [edge for edge in (self.maximum, self.exclusive_maximum) if edge is not None]
        if not lows or not highs:
            return False
        low, high = max(lows), min(highs)
        closed = self.exclusive_minimum != low and self.exclusive_maximum != high
        return low > high or (low == high and not closed)


def integer_node(bounds: Bounds, multiple: Fraction | None = None, *, divides: bool = True) -> Node:
    """The integers inside `bounds` that `multiple` divides; `NOTHING` when there are none.

    Args:
        bounds: What their values may be.
        multiple: What divides them, if anything has to.
        divides: Whether it does; otherwise it must not.

    Raises:
        LimitError: The bounds or the modulus are too large.
    """
    low, high = bounds.scaled(1)
    modulus = multiple.numerator if multiple else 1
    if (divides and _no_multiple(low, high, modulus)) or (not divides and modulus == 1):
        return NOTHING
    items: list[Node] = []
    if modulus == 1 or low is not None or high is not None:
        items.append(_signed(low, high, _naturals))
    if modulus > 1:
        items.append(multiples(modulus, 0, _width(low, high), divides))
    return all_of(items)


def number_node(
    bounds: Bounds, multiple: Fraction | None = None, *, divides: bool = True, wide: bool = False
) -> Node:
    """The decimals inside `bounds` that are multiples of `multiple`.

    Args:
        bounds: What their values may be.
        multiple: What they are multiples of, if anything.
        divides: Whether they are; otherwise they must not be.
        wide: As many fraction digits as you like.

    Raises:
        LimitError: The bounds or the modulus are too large.
    """
    if multiple is None and not bounds.edges():
        return _free_number()
    if multiple is None and wide:
        return _wide_decimals(bounds)
    places = _fraction_digits(bounds) if multiple is None else decimal_places(multiple)
    scale = 10**places
    low, high = bounds.scaled(scale)
    modulus = 1 if multiple is None else int(multiple * scale)
    if (divides and _no_multiple(low, high, modulus)) or (not divides and modulus == 1):
        return NOTHING
    items: list[Node] = []
    if modulus == 1 or bounds.edges():
        items.append(_signed(low, high, lambda a, b: _decimals(a, b, places)))
    if modulus > 1:
        items.append(multiples(modulus, places, _width(low, high, places), divides))
    return all_of(items)


def _wide_decimals(bounds: Bounds) -> Node:
    """Decimals of any length inside `bounds`, compared as the doubles that a parser makes of them.

    A text that is greater than an exclusive bound may still be read as the bound itself: the least
    text is the first one that is nearer to the next double.
    """
    lows = [] if bounds.minimum is None else [bounds.minimum]
    highs = [] if bounds.maximum is None else [bounds.maximum]
    if bounds.exclusive_minimum is not None:
        lows.append(_beyond(bounds.exclusive_minimum, inf))
    if bounds.exclusive_maximum is not None:
        highs.append(_beyond(bounds.exclusive_maximum, -inf))
    low, high = max(lows, default=None), min(highs, default=None)
    places = max(decimal_places(edge) for edge in (low, high) if edge is not None)
    scale = 10**places
    floor_, ceiling = (None if edge is None else int(edge * scale) for edge in (low, high))
    return _signed(floor_, ceiling, lambda a, b: _decimals(a, b, places, endless=True), least=0)


def _beyond(edge: Fraction, direction: float) -> Fraction:
    """A number with few digits that every double past `edge` reaches, and `edge` does not."""
    if edge == 0:
        return Fraction(1 if direction > 0 else -1, 10**_FRACTION_DIGITS)
    following = Fraction(nextafter(float(edge), direction))
    distance = abs(following - edge)
    places = 0
    while Fraction(1, 10**places) > distance / 8:
        places += 1
    step = Fraction(1, 10**places)
    middle = (edge + following) / 2
    # The first multiple of `step` past the middle, away from `edge`.
    return (floor(middle / step) + 1) * step if direction > 0 else (ceil(middle / step) - 1) * step


def _no_multiple(low: int | None, high: int | None, modulus: int) -> bool:
    """Whether no multiple of `modulus` lies between `low` and `high`."""
    return low is not None and high is not None and -(-low // modulus) * modulus > high


def _width(low: int | None, high: int | None, places: int = 0) -> int:
    """Digits that a multiple may have before its point; a parser must not round it to another."""
    usual = max(1, DOUBLE_DIGITS - places) if places else _MULTIPLE_DIGITS
    return max(usual, *(len(str(abs(edge or 0) // 10**places)) for edge in (low, high)))


@cache
def _free_number() -> Node:
    integer = Choice((Bytes(b"0"), Seq((LEADING, Repeat(DIGIT)))))
    exponent = Seq((one_of("eE"), optional(one_of("+-")), Repeat(DIGIT, 1, 2)))
    fraction = Seq((POINT, Repeat(DIGIT, 1)))
    return Seq((optional(MINUS), integer, optional(fraction), optional(exponent)))


def _fraction_digits(bounds: Bounds) -> int:
    """Fraction digits for which distinct decimals near the bounds are distinct doubles."""
    largest = max(abs(edge) for edge in bounds.edges())
    exclusive = (bounds.exclusive_minimum, bounds.exclusive_maximum)
    if largest >= 10**DOUBLE_DIGITS and any(edge is not None for edge in exclusive):
        raise LimitError(
            f"an exclusive bound of a number must be below 1e{DOUBLE_DIGITS}",
            hint="use an inclusive bound, or an integer",
        )
    magnitude = 0
    while largest and largest * 10**-magnitude < 1 and magnitude > -_FRACTION_DIGITS:
        magnitude -= 1
    while largest >= 10**magnitude:
        magnitude += 1
    return max(0, min(DOUBLE_DIGITS - magnitude, _FRACTION_DIGITS))


def decimal_places(multiple: Fraction) -> int:
    """The fraction digits of `multiple`; every JSON number has finitely many."""
    places = 0
    while (multiple * 10**places).denominator != 1:
        places += 1
        if places > MAX_DIGITS:
            raise LimitError(f"multipleOf {multiple} has more than {MAX_DIGITS} digits")
    return places


def _signed(
    low: int | None,
    high: int | None,
    magnitudes: Callable[[int, int | None], Node],
    least: int = 1,
) -> Node:
    """The integers of an interval, `magnitudes` spelling those of one sign.

    The negative ones begin with `least`: decimals of any length have some between zero and one.
    """
    items: list[Node] = []
    if high is None or high >= 0:
        items.append(magnitudes(max(low or 0, 0), high))
    if low is None or low < 0:
        least = least if high is None else max(least, -high)
        items.append(Seq((MINUS, magnitudes(least, None if low is None else -low))))
    return any_of(items)


def _naturals(low: int, high: int | None) -> Node:
    """The integers from `low` to `high` (None: all), `low` not negative."""
    shortest = len(_digits_of(low))
    if high is None:
        longer: Node = Seq((LEADING, Repeat(DIGIT, shortest)))
        return any_of([_same_length(low, 10**shortest - 1), longer])
    longest = len(_digits_of(high))
    if shortest == longest:
        return _same_length(low, high)
    items = [_same_length(low, 10**shortest - 1), _same_length(10 ** (longest - 1), high)]
    if longest - shortest > 1:
        items.append(Seq((LEADING, Repeat(DIGIT, shortest, longest - 2))))
    return any_of(items)


def _digits_of(number: int) -> str:
    if number >= 10**MAX_DIGITS:
        raise LimitError(f"a bound has more than {MAX_DIGITS} digits")
    return str(number)


def _same_length(low: int, high: int) -> Node:
    """The integers from `low` to `high`, which have equally many digits."""
    first, last = str(low), str(high)
    if first == "1" + "0" * (len(first) - 1) and last == "9" * len(last):
        return Seq((LEADING, Repeat(DIGIT, len(first) - 1, len(first) - 1)))
    split = next((i for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b), None)
    if split is None:
        return text(first)
    between = _span(first[:split], chr(ord(first[split]) + 1), chr(ord(last[split]) - 1))
    rest = len(first) - split - 1
    items: list[Node] = []
    if between is not NOTHING:
        items.append(Seq((between, Repeat(DIGIT, rest, rest))))
    items += _beside(first, split + 1, above=True) + _beside(last, split + 1, above=False)
    return any_of([*items, text(first), text(last)])


def _beside(digits: str, start: int, *, above: bool) -> list[Node]:
    """Numbers that share `digits[:start]` and lie strictly above (or below) `digits`."""
    items: list[Node] = []
    for i in range(start, len(digits)):
        code = ord(digits[i])
        span = (chr(code + 1), "9") if above else ("0", chr(code - 1))
        first = _span(digits[:i], *span)
        if first is not NOTHING:
            rest = len(digits) - i - 1
            items.append(Seq((first, Repeat(DIGIT, rest, rest))))
    return items


def _span(prefix: str, first: str, last: str) -> Node:
    """`prefix` and one digit from `first` to `last`."""
    if first > last:
        return NOTHING
    return Seq((text(prefix), byte_range(ord(first), ord(last))))


def _decimals(low: int, high: int | None, places: int, endless: bool = False) -> Node:
    """Decimals from low / 10^places to high / 10^places, with at most so many fraction digits.

    With `endless`, they may have more.
    """
    if places == 0 and not endless:
        return _naturals(low, high)
    scale = 10**places
    first, floor_digits = low // scale, str(low % scale).zfill(places).rstrip("0")
    limit = None if endless else places
    at_first = _fraction_from(floor_digits, limit)
    if high is None:
        further = _with_fraction(first + 1, None, limit)
        return Choice((Seq((text(_digits_of(first)), at_first)), further))
    last, ceiling_digits = high // scale, str(high % scale).zfill(places).rstrip("0")
    at_last = _fraction_to(ceiling_digits, limit)
    if first == last:
        return Seq((text(_digits_of(first)), all_of([at_first, at_last])))
    items: list[Node] = [Seq((text(str(first)), at_first)), Seq((text(_digits_of(last)), at_last))]
    if last - first > 1:
        items.append(_with_fraction(first + 1, last - 1, limit))
    return any_of(items)


def _with_fraction(low: int, high: int | None, places: int | None) -> Node:
    return Seq((_naturals(low, high), _fraction_from("", places)))


def _more(node: Node, used: int, places: int | None) -> Node:
    """Copies of `node` for the fraction digits after the first `used` ones."""
    return Repeat(node, 0, None if places is None else places - used)


def _fraction_from(digits: str, places: int | None) -> Node:
    """`.ddd` texts, or none, that are at least `.digits`; None for any number of digits."""
    if not digits:
        return optional(Seq((POINT, DIGIT, _more(DIGIT, 1, places))))
    items: list[Node] = [Seq((text(digits), _more(DIGIT, len(digits), places)))]
    for i, digit in enumerate(digits):
        first = _span(digits[:i], chr(ord(digit) + 1), "9")
        if first is not NOTHING:
            items.append(Seq((first, _more(DIGIT, i + 1, places))))
    return Seq((POINT, any_of(items)))


def _fraction_to(digits: str, places: int | None) -> Node:
    """`.ddd` texts, or none, that are at most `.digits`."""
    zero = Bytes(b"0")
    if not digits:
        return optional(Seq((POINT, zero, _more(zero, 1, places))))
    items: list[Node] = [Seq((text(digits), _more(zero, len(digits), places)))]
    for i, digit in enumerate(digits):
        first = _span(digits[:i], "0", chr(ord(digit) - 1))
        if first is not NOTHING:
            items.append(Seq((first, _more(DIGIT, i + 1, places))))
        if i:
            items.append(text(digits[:i]))
    return optional(Seq((POINT, any_of(items))))
