"""Sets of Unicode code points as sorted tuples of inclusive ranges."""

from __future__ import annotations

import re
import unicodedata
from _sre import unicode_tolower  # type: ignore[import-not-found]
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache
from re import _casefix  # type: ignore[attr-defined]

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF
NEWLINE = ((10, 10),)
_SURROGATES = (0xD800, 0xDFFF)
_LAST_CASED = 0x1FFFF

# ECMAScript's WhiteSpace and LineTerminator, which `\s` means there; Zs holds the rest.
_ECMA_SPACE = ((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x2028, 0x2029), (0xFEFF, 0xFEFF))

_PROPERTY_NAMES = {
    "letter": "L", "cased_letter": "LC", "uppercase_letter": "Lu", "lowercase_letter": "Ll",
    "titlecase_letter": "Lt", "modifier_letter": "Lm", "other_letter": "Lo",
    "mark": "M", "combining_mark": "M", "nonspacing_mark": "Mn", "spacing_mark": "Mc",
    "enclosing_mark": "Me",
    "number": "N", "decimal_number": "Nd", "digit": "Nd", "letter_number": "Nl",
    "other_number": "No",
    "punctuation": "P", "punct": "P", "connector_punctuation": "Pc", "dash_punctuation": "Pd",
    "open_punctuation": "Ps", "close_punctuation": "Pe", "initial_punctuation": "Pi",
    "final_punctuation": "Pf", "other_punctuation": "Po",
    "symbol": "S", "math_symbol": "Sm", "currency_symbol": "Sc", "modifier_symbol": "Sk",
    "other_symbol": "So",
    "separator": "Z", "space_separator": "Zs", "line_separator": "Zl",
    "paragraph_separator": "Zp",
    "other": "C", "control": "Cc", "cntrl": "Cc", "format": "Cf", "surrogate": "Cs",
    "private_use": "Co", "unassigned": "Cn",
}  # fmt: skip


def normalise(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted, merged, and without surrogates, which no UTF-8 text can hold."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(_without_surrogates(ranges)):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return tuple(merged)


def _without_surrogates(ranges: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    low, high = _SURROGATES
    for first, last in ranges:
        if first <= min(last, low - 1):
            yield first, min(last, low - 1)
        if max(first, high + 1) <= last:
            yield max(first, high + 1), last


def clip(ranges: Ranges, first: int, last: int) -> Ranges:
    """The part of `ranges` between `first` and `last`, both included."""
    return tuple((max(a, first), min(b, last)) for a, b in ranges if a <= last and b >= first)


def complement(ranges: Ranges) -> Ranges:
    """All code points outside `ranges`."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for first, last in normalise(ranges):
        if first > start:
            gaps.append((start, first - 1))
        start = last + 1
    gaps.append((start, LAST))
    return normalise(gaps)


@cache
def escape_class(letter: str, *, ascii_only: bool, ecma: bool = False) -> Ranges:
    r"""The characters of `\d`, `\s` or `\w`, capital letters for their complements.

    Args:
        letter: One of `dswDSW`.
        ascii_only: Whether the ASCII flag is set.
        ecma: Whether `\s` means ECMAScript's white space.
    """
    if letter.isupper():
        return complement(escape_class(letter.lower(), ascii_only=ascii_only, ecma=ecma))
    if ecma and letter == "s":
        return normalise((*_ECMA_SPACE, *property_class("Zs")))
    everything = "".join(map(chr, range(128))) if ascii_only else _every_character()
    # Code points are in order in this text, so each run of matches is a range.
    runs = re.finditer(rf"\{letter}+", everything)
    return normalise((run.start(), run.end() - 1) for run in runs)


def _every_character() -> str:
    return array("I", range(LAST + 1)).tobytes().decode("utf-32", "surrogatepass")


@cache
def property_class(name: str) -> Ranges:
    r"""The characters of `\p{name}` for a general category, `Any` or `ASCII`.

    Raises:
        KeyError: The property is not one that the standard library has data for.
    """
    if name in ("Any", "ASCII"):
        return normalise([(0, LAST if name == "Any" else 0x7F)])
    short = name.removeprefix("gc=").removeprefix("General_Category=")
    short = _PROPERTY_NAMES.get(short.lower(), short)
    wanted = ("Lu", "Ll", "Lt") if short == "LC" else (short,)
    found = [run for category, runs in _categories().items() for run in runs
             if category.startswith(wanted)]  # fmt: skip
    if not found and short not in ("C", "Cs"):
        raise KeyError(name)
    return normalise(found)


@cache
def _categories() -> dict[str, list[tuple[int, int]]]:
    """The runs of equal general category."""
    runs: dict[str, list[tuple[int, int]]] = {}
    # From plane 4 on no character is assigned but tags in plane 14 and private ones at the end.
    names = [unicodedata.category(chr(point)) for point in range(0x40000)]
    names += ["Cn"] * (0xE0000 - 0x40000)
    names += [unicodedata.category(chr(point)) for point in range(0xE0000, 0xF0000)]
    names += (["Co"] * 0xFFFE + ["Cn"] * 2) * 2
    start = 0
    for point in range(1, LAST + 2):
        if point > LAST or names[point] != names[start]:
            runs.setdefault(names[start], []).append((start, point - 1))
            start = point
    return runs


def contains(ranges: Ranges, point: int) -> bool:
    """Whether `point` is in the normalised `ranges`."""
    index = bisect_right(ranges, (point, LAST + 1)) - 1
    return index >= 0 and ranges[index][1] >= point


def fold_case(ranges: Ranges, *, ascii_only: bool) -> Ranges:
    """`ranges` with every character that `re.IGNORECASE` holds equal to one of them."""
    extra: list[tuple[int, int]] = []
    for group in _case_groups(ascii_only):
        if any(contains(ranges, point) for point in group):
            extra.extend((point, point) for point in group)
    return normalise((*ranges, *extra))


def is_cased(ranges: Ranges, *, ascii_only: bool) -> bool:
    """Whether one of these characters has an upper or lower case."""
    groups = _case_groups(ascii_only)
    return any(contains(ranges, point) for group in groups for point in group)


def lower_case_in(ranges: Ranges, *, ascii_only: bool) -> Ranges:
    """The characters whose lower case is in `ranges`."""
    moved = _lower_cases(ascii_only)
    gone = normalise((point, point) for point in moved)
    kept = complement(normalise((*complement(ranges), *gone)))
    back = [(point, point) for point, lower in moved.items() if contains(ranges, lower)]
    return normalise((*kept, *back))


@cache
def _lower_cases(ascii_only: bool) -> dict[int, int]:
    """The lower case of each character that is not itself."""
    if ascii_only:
        return {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
    cases = ((point, unicode_tolower(point)) for point in range(_LAST_CASED + 1))
    return {point: lower for point, lower in cases if lower != point}


@cache
def _case_groups(ascii_only: bool) -> tuple[tuple[int, ...], ...]:
    """Characters that ignoring case makes equal, by the tables that `re` itself compiles with."""
    if ascii_only:
        return tuple((upper, upper + 32) for upper in range(ord("A"), ord("Z") + 1))
    groups: dict[int, set[int]] = {}
    for point, lower in _lower_cases(ascii_only).items():
        groups.setdefault(lower, {lower}).add(point)
    for lower, others in _casefix._EXTRA_CASES.items():
        for other in others:
            joined = groups.get(lower, {lower}) | groups.get(other, {other})
            groups.update(dict.fromkeys(joined, joined))
    distinct = {tuple(sorted(group)) for group in groups.values()}
    return tuple(sorted(distinct))
