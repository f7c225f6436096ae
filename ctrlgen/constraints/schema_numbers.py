"""Numbers: bounds, multiples and what negations leave of them."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

from ctrlgen.constraints.json_text import all_of, any_of
from ctrlgen.constraints.nodes import NOTHING, Node, Seq, optional
from ctrlgen.constraints.numeric import (
    DOUBLE_DIGITS,
    Bounds,
    decimal_places,
    exact,
    integer_node,
    number_node,
)
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.constraints.schema_branches import NUMBER
from ctrlgen.constraints.schema_options import Breadth

_SMALL = Fraction(1)
_LARGE = Fraction(10**16)


def numbers(
    keywords: dict[str, Any], types: frozenset[str], breadth: Breadth, whole: bool = False
) -> Node:
    """The texts of the numbers that `keywords` allow; `NOTHING` when there are none.

    Args:
        keywords: Of a branch.
        types: "integer", "fraction" or both.
        breadth: Whether every spelling counts.
        whole: An integer has neither fraction nor exponent: `1.0` is none up to draft 4.

    Raises:
        LimitError: The bounds or a modulus are too large.
    """
    kinds = types & NUMBER
    wide = breadth == "standard" and not (whole and kinds == {"integer"})
    pieces = [_piece(keywords, bounds, kinds, wide) for bounds in _intervals(keywords)]
    return any_of([piece for piece in pieces if piece is not NOTHING])


def _intervals(keywords: dict[str, Any]) -> list[Bounds]:
    """The bounds, cut at every value that is excluded."""
    excluded = {
        exact(value)
        for value in keywords.get("excluded", ())
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    found = [Bounds.of(keywords)]
    for value in sorted(excluded):
        last = found.pop()
        found.append(_narrowed(last, "exclusive_maximum", value))
        found.append(_narrowed(last, "exclusive_minimum", value))
    return [bounds for bounds in found if not bounds.is_empty]


def _narrowed(bounds: Bounds, edge: str, value: Fraction) -> Bounds:
    old = getattr(bounds, edge)
    if old is not None:
        value = min(old, value) if edge == "exclusive_maximum" else max(old, value)
    given = {**vars(bounds), edge: value}
    return Bounds(**given)


def _piece(keywords: dict[str, Any], bounds: Bounds, kinds: frozenset[str], wide: bool) -> Node:
    multiple, spoiled = keywords.get("multipleOf"), keywords.get("notMultipleOf", ())
    if kinds == {"integer"}:
        node = all_of(
            [integer_node(bounds, multiple)]
            + [integer_node(bounds, each, divides=False) for each in spoiled]
        )
        return _spelled_wide(node, bounds, not (multiple or spoiled)) if wide else node
    plain = multiple is None and not spoiled and "fraction" in kinds
    if plain and kinds == NUMBER and (wide or not bounds.edges()):
        return any_of([number_node(bounds, wide=True), *_with_exponent(bounds)])
    node = number_node(bounds, multiple, wide=wide)
    if node is NOTHING:
        return NOTHING
    if wide and multiple is not None and multiple == int(multiple):
        node = any_of([node, _with_zeros(integer_node(bounds, multiple))])
    parts = [node, *(_spoiled(bounds, each) for each in spoiled)]
    if kinds == {"fraction"}:
        parts.append(_fractional())
    if not bounds.edges() and multiple is None and len(parts) > 1:
        parts.append(lower_regex(r"-?[0-9]+(?:\.[0-9]+)?"))
    return all_of(parts)


def _spelled_wide(node: Node, bounds: Bounds, free: bool) -> Node:
    """An integer may have a fraction of zeros, and a great one an exponent."""
    if node is NOTHING:
        return NOTHING
    if not free or bounds.edges():
        forms: list[Node] = [node, _with_zeros(node)]
    else:
        forms = [Seq((node, optional(_zeros())))]
    for sign, side in (("", bounds), ("-", _flipped(bounds))) if free else ():
        unbounded = side.maximum is None and side.exclusive_maximum is None
        if unbounded and _reaches(side, _LARGE):
            forms.append(_large_integer(sign))
    return any_of(forms)


def _with_zeros(node: Node) -> Node:
    """Integers as decimals, if the double that a parser makes of one is the same number."""
    return Seq((all_of([node, lower_regex(rf"-?[0-9]{{1,{DOUBLE_DIGITS}}}")]), _zeros()))


def _spoiled(bounds: Bounds, multiple: Fraction) -> Node:
    """Decimals that are no multiple: those with a remainder, and those with too many digits."""
    places = decimal_places(multiple)
    long = lower_regex(rf"-?[0-9]+\.[0-9]{{{places}}}[0-9]*[1-9][0-9]*")
    return any_of([number_node(bounds, multiple, divides=False), long])


@cache
def _zeros() -> Node:
    return lower_regex(r"\.0+")


@cache
def _fractional() -> Node:
    return lower_regex(r"-?[0-9]+\.[0-9]*[1-9][0-9]*")


@cache
def _large_integer(sign: str) -> Node:
    return lower_regex(rf"{sign}[1-9](?:\.[0-9]{{1,15}})?[eE]\+?(?:1[6-9]|[2-9][0-9])")


@cache
def _small(sign: str) -> Node:
    """Between zero and one."""
    return lower_regex(rf"{sign}[1-9](?:\.[0-9]+)?[eE]-0?(?:[1-9]|[1-9][0-9])")


@cache
def _large(sign: str) -> Node:
    """At least 1e16."""
    return lower_regex(rf"{sign}[1-9](?:\.[0-9]+)?[eE]\+?(?:1[6-9]|[2-9][0-9])")


def _with_exponent(bounds: Bounds) -> list[Node]:
    """Spellings with an exponent whose whole range lies inside `bounds`."""
    if not bounds.edges():
        return []  # they are part of a number without bounds
    found = []
    for sign, side in (("", bounds), ("-", _flipped(bounds))):
        tops = [edge for edge in (side.maximum, side.exclusive_maximum) if edge is not None]
        if _reaches(side, Fraction(0)) and all(top >= _SMALL for top in tops):
            found.append(_small(sign))
        if not tops and _reaches(side, _LARGE):
            found.append(_large(sign))
    return found


def _flipped(bounds: Bounds) -> Bounds:
    """The bounds of the opposite numbers."""
    edges = (
        bounds.maximum, bounds.minimum, bounds.exclusive_maximum, bounds.exclusive_minimum,
    )  # fmt: skip
    return Bounds(*(None if edge is None else -edge for edge in edges))


def _reaches(bounds: Bounds, low: Fraction) -> bool:
    """Whether all numbers above `low` are above the lower bounds."""
    edges = (bounds.minimum, bounds.exclusive_minimum)
    return all(edge is None or edge <= low for edge in edges)
