"""Regular expressions against Python's own matcher."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ctrlgen.constraints.charset import escape_class, property_class
from ctrlgen.constraints.nodes import Choice, Node, Repeat, text
from ctrlgen.constraints.regex import any_char_string, lower_regex
from ctrlgen.constraints.utf8 import utf8_class, utf8_range
from ctrlgen.errors import LimitError, RegexError

from .recogniser import accepts

ALPHABET = "abAK1 _é\u212aß\u017f😀"

atoms = st.sampled_from(
    [
        *("a", "b", "K", "1", "é", "ß", "s", "😀", "", ".", r"\d", r"\W", r"\w", r"\s"),
        *("[ab]", "[^a]", r"[^\d_]", "[a-z]", "[À-ÿ]", r"[\w-]"),
        *("(?i:k)", "(?s:.)", "(?-i:A)", "(?!)"),
    ]
)
quantifiers = st.sampled_from(["*", "+", "?", "*?", "+?", "{2}", "{1,2}", "{,2}", "{2,}?"])


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.builds(lambda body, times: f"(?:{body}){times}", inner, quantifiers),
        inner.map(lambda body: f"({body})"),
    )


def with_assertions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    look = st.builds(lambda sign, body: f"(?{sign}{body})", st.sampled_from("=!"), inner)
    return compound(st.one_of(inner, look, st.sampled_from(["^", "$", r"\A", r"\Z"])))


plain = st.recursive(atoms, compound, max_leaves=8)
asserting = st.recursive(atoms, with_assertions, max_leaves=8)
flags = st.sampled_from([0, re.IGNORECASE, re.ASCII, re.IGNORECASE | re.ASCII, re.DOTALL])
subjects = st.lists(st.text(ALPHABET, max_size=5), min_size=1, max_size=8)


@settings(max_examples=250, deadline=None)
@given(plain, flags, subjects)
@example("[k]", re.IGNORECASE, ["K", "\u212a"])
@example("[^s]", re.IGNORECASE, ["S", "\u017f", "é"])
@example("(a?){3}", 0, ["", "a", "aaa", "aaaa"])
def test_plain_patterns_match_as_in_python(pattern: str, flags: int, subjects: list[str]) -> None:
    node = lower_regex(pattern, flags=flags)
    for subject in subjects:
        assert accepts(node, subject) == bool(re.fullmatch(pattern, subject, flags)), subject


@settings(max_examples=250, deadline=None)
@given(asserting, flags, st.lists(st.text(ALPHABET + "\n", max_size=5), min_size=1, max_size=8))
@example("(?!foo)[a-z]+$", 0, ["foo", "fo", "food", "afoo", "bar\n"])
@example("(?:(?!ab)[ab])*", 0, ["aab", "bba", "ab", ""])
def test_anchors_and_lookaheads(pattern: str, flags: int, subjects: list[str]) -> None:
    try:
        node = lower_regex(pattern, flags=flags)
    except RegexError:
        assume(False)
    for subject in subjects:
        assert accepts(node, subject) == bool(re.fullmatch(pattern, subject, flags)), subject


@settings(max_examples=250, deadline=None)
@given(asserting.filter(lambda pattern: r"\s" not in pattern), subjects)
@example("^a|b$", ["ab", "ba", "aa", "bb", "bab"])
@example("(^|b)a", ["a", "ba", "ca", "1ba"])
def test_search_is_unanchored(pattern: str, subjects: list[str]) -> None:
    try:
        node = lower_regex(pattern, search=True)
    except RegexError:
        assume(False)
    # ECMAScript reads a literal `{,2}`, has neither `\A` nor `\Z`, and folds case in Unicode.
    assume(not any(part in pattern for part in ("{,", r"\A", r"\Z", "(?i")))
    for subject in subjects:
        assert accepts(node, subject) == bool(re.search(pattern, subject, re.ASCII)), subject


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        (r"^\p{Lu}\p{L}*$", ["É", "Éa"], ["é", "E1"]),
        (r"^[^\p{L}]$", ["1"], ["é"]),
        (r"^\P{Letter}$", ["1"], ["é"]),
        (r"^a\/b$", ["a/b"], ["a\\/b"]),
        (r"^\u{1F600}$", ["😀"], ["u"]),
        (r"^[\ud83d\ude00]$", ["😀"], ["a"]),
        (r"^(?<year>\d)$", ["1"], ["\u0661"]),
        ("^[^]$", ["\n", "a"], [""]),
        ("^a[]$", [], ["a", "a]"]),
        (r"^[\w-.]$", ["-", ".", "a"], [","]),
        ("^a{,3}$", ["a{,3}"], ["a"]),
        ("^[[a]$", ["[", "a"], ["]"]),
        (r"^\s\S$", ["\ufeffa"], ["a "]),
        ("^.$", ["a"], ["\n", "\u2028"]),
        (r"^\cA$", ["\x01"], ["A"]),
        ("a$", ["a"], ["a\n"]),
    ],
)
def test_ecmascript_spellings(pattern: str, inside: list[str], outside: list[str]) -> None:
    node = lower_regex(pattern, search=True)
    assert [subject for subject in inside if not accepts(node, subject)] == []
    assert [subject for subject in outside if accepts(node, subject)] == []


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        (r"a\b", 1),
        (r"[\b]\b", 4),
        (r"(a)\1", 3),
        ("(?P<n>a)(?P=n)", 8),
        ("x(?<=a)b", 1),
        ("x(?<!a)b", 1),
        ("b(?>a)", 1),
        ("ba++", 2),
        ("a*^b", 2),
        ("(a$)*", 2),
        ("(a(?=bb))*", 2),
        ("(a)(?(1)b|c)", 3),
        ("ab(", 2),
        ("[z-a]", 1),
        (r"a\p{Zork}", 1),
        (r"\p{Lu}(", 6),
    ],
)
def test_refusals_point_at_the_construct(pattern: str, position: int) -> None:
    with pytest.raises(RegexError) as caught:
        lower_regex(pattern)
    assert caught.value.position == position


@pytest.mark.parametrize("pattern", ["a{99999999999}", "(" * 500 + ")" * 500, "a" * 70_000])
def test_oversized_patterns_hit_a_limit(pattern: str) -> None:
    with pytest.raises(LimitError):
        lower_regex(pattern)


@pytest.mark.parametrize("pattern", ["^a", "a$", "a(?!b)", "a(?=b)"])
def test_a_part_of_a_text_cannot_look_outside(pattern: str) -> None:
    with pytest.raises(RegexError):
        lower_regex(pattern, part=True)
    assert accepts(lower_regex("(?!ab)[a-z][a-z]", part=True), "aa")


def test_huge_counts_are_not_unrolled() -> None:
    began = time.perf_counter()
    node = lower_regex("(?:ab){0,1000000}")
    assert isinstance(node, Repeat)
    assert node.max == 1_000_000
    assert time.perf_counter() - began < 1


def test_an_encoder_writes_every_character() -> None:
    def doubled(first: int, last: int) -> Node:
        return Choice(tuple(text(chr(point) * 2) for point in range(first, last + 1)))

    node = lower_regex("a(?!b)[bc]?é", encoder=doubled)
    assert accepts(node, "aaccéé")
    assert accepts(node, "aaéé")
    assert not accepts(node, "aabbéé")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 0x10FFFF), st.integers(0, 0x3000)), max_size=5), st.data())
def test_classes_hold_exactly_their_code_points(
    spans: list[tuple[int, int]], data: st.DataObject
) -> None:
    ranges = [(first, min(first + size, 0x10FFFF)) for first, size in spans]
    node = utf8_class(ranges)
    edges = {point for pair in ranges for end in pair for point in (end - 1, end, end + 1)}
    edges.add(data.draw(st.integers(0, 0x10FFFF)))
    for point in edges:
        if 0 <= point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
            inside = any(first <= point <= last for first, last in ranges)
            assert accepts(node, chr(point)) == inside, hex(point)


@pytest.mark.parametrize("spelling", [b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80"])
def test_ill_formed_utf8_is_in_no_class(spelling: bytes) -> None:
    assert not accepts(utf8_range(0, 0x10FFFF), spelling)
    assert not accepts(any_char_string(), spelling)


def test_categories_are_those_of_python() -> None:
    word = {point for first, last in escape_class("w", ascii_only=False)
            for point in range(first, last + 1)}  # fmt: skip
    assert word == {point for point in range(0x110000) if re.match(r"\w", chr(point))}
    letters = sum(last - first + 1 for first, last in property_class("L"))
    cased = sum(last - first + 1 for first, last in property_class("Cased_Letter"))
    assert letters > cased > 2_000
