"""Regular expressions against Python's own matcher."""

from __future__ import annotations

import os
import re
from re import _parser

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.charset import escape_class, property_class
from ctrlgen.constraints.nodes import Choice, Grammar, Node, Repeat, text
from ctrlgen.constraints.regex import any_char_string, lower_regex
from ctrlgen.constraints.regex_characters import members
from ctrlgen.constraints.regex_marks import Marks
from ctrlgen.constraints.utf8 import utf8_class, utf8_range
from ctrlgen.errors import LimitError, RegexError, UnsatisfiableError

from .recogniser import accepts

EXAMPLES = int(os.environ.get("CTRLGEN_EXAMPLES", "60"))
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
    behind = st.sampled_from(["(?<=a)", "(?<!b)", "(?<=ab|K1)", r"(?<!\d)", "(?<=[^a])"])
    anchors = st.sampled_from(["^", "$", r"\A", r"\Z", "(?m:^)", "(?m:$)", r"\b", r"\B"])
    return compound(st.one_of(inner, look, behind, anchors))


def without_backtracking(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    possessive = st.builds("(?:{}){}+".format, inner, st.sampled_from(["*", "+", "?", "{1,2}"]))
    return compound(st.one_of(inner, possessive, inner.map("(?>{})".format)))


def reads(node: Node, subject: str) -> bool:
    """Whether the automaton of `node` reads all of `subject`."""
    try:
        automaton = automata.setdefault(node, None) or ByteAutomaton(Grammar(node))
    except UnsatisfiableError:
        return False
    automata[node] = automaton
    return automaton.is_accepting(automaton.run(automaton.start, subject.encode()))


automata: dict[Node, ByteAutomaton | None] = {}
plain = st.recursive(atoms, compound, max_leaves=8)
asserting = st.recursive(atoms, with_assertions, max_leaves=8)
committing = st.recursive(atoms, without_backtracking, max_leaves=8)
flags = st.sampled_from([0, re.IGNORECASE, re.ASCII, re.IGNORECASE | re.ASCII, re.DOTALL])
subjects = st.lists(st.text(ALPHABET, max_size=5), min_size=1, max_size=8)


@settings(max_examples=EXAMPLES, deadline=None)
@given(plain, flags, subjects)
@example("[k]", re.IGNORECASE, ["K", "\u212a"])
@example("[^s]", re.IGNORECASE, ["S", "\u017f", "é"])
@example("(a?){3}", 0, ["", "a", "aaa", "aaaa"])
def test_plain_patterns_match_as_in_python(pattern: str, flags: int, subjects: list[str]) -> None:
    node = lower_regex(pattern, flags=flags)
    for subject in subjects:
        assert accepts(node, subject) == bool(re.fullmatch(pattern, subject, flags)), subject


@settings(max_examples=EXAMPLES, deadline=None)
@given(asserting, flags, st.lists(st.text(ALPHABET + "\n", max_size=5), min_size=1, max_size=8))
@example("(?!foo)[a-z]+$", 0, ["foo", "fo", "food", "afoo", "bar\n"])
@example("(?:(?!ab)[ab])*", 0, ["aab", "bba", "ab", ""])
@example(r"(?:\ba\b|\B.)*", 0, ["a", "a b", "ab", "", "  "])
@example("(?:a(?=bb)|b)*", 0, ["abb", "ab", "bbabb", "abbab"])
@example("(?m:(?:^a$\n?)*)", 0, ["a\na", "a\n", "aa", ""])
@example(r"^(?!.*\bab\b)[ab ]*$", re.ASCII, ["ab", "abb ab", "abb a b"])
def test_assertions_hold_as_in_python(pattern: str, flags: int, subjects: list[str]) -> None:
    try:
        node = lower_regex(pattern, flags=flags)
    except (RegexError, LimitError):
        assume(False)
    for subject in subjects:
        assert reads(node, subject) == bool(re.fullmatch(pattern, subject, flags)), subject


@settings(max_examples=EXAMPLES, deadline=None)
@given(committing, flags, subjects)
@example("[^b]*+b", 0, ["ab", "b", "aa"])
@example("a*+a", 0, ["a", "aa"])
@example("(?>a|ab)1", 0, ["a1", "ab1"])
@example("(?>a*?)b", 0, ["b", "ab"])
def test_atomic_groups_as_in_python(pattern: str, flags: int, subjects: list[str]) -> None:
    try:
        node = lower_regex(pattern, flags=flags)
    except RegexError:
        assume(False)
    for subject in subjects:
        assert reads(node, subject) == bool(re.fullmatch(pattern, subject, flags)), subject


@settings(max_examples=EXAMPLES, deadline=None)
@given(asserting.filter(lambda pattern: r"\s" not in pattern), subjects)
@example(r"\bab\b", ["ab", "a ab b", "aab", "1 ab"])
@example("^a|b$", ["ab", "ba", "aa", "bb", "bab"])
@example("(^|b)a", ["a", "ba", "ca", "1ba"])
@example("(((?!((?<!b)))))", ["b", "", "a", "ab", "ba"])
def test_search_is_unanchored(pattern: str, subjects: list[str]) -> None:
    try:
        node = lower_regex(pattern, search=True)
    except (RegexError, LimitError):
        assume(False)
    # ECMAScript reads a literal `{,2}`, has neither `\A` nor `\Z`, and folds case in Unicode.
    assume(not any(part in pattern for part in ("{,", r"\A", r"\Z", "(?i", r"\B")))
    for subject in subjects:
        assert reads(node, subject) == bool(re.search(pattern, subject, re.ASCII)), subject


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
        (r"(a)\1", 3),
        ("(?P<n>a)(?P=n)", 8),
        ("a(?:a?b?)++", 9),
        ("a(?>(?:a|ab)c)", 1),
        ("a(?<=^)b", 5),
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
    lower_regex(pattern, part=True, marks=Marks())
    assert accepts(lower_regex("(?!ab)[a-z][a-z]", part=True), "aa")


def test_huge_counts_are_not_unrolled() -> None:
    node = lower_regex("(?:ab){0,1000000}")
    assert isinstance(node, Repeat)
    assert node.max == 1_000_000


@pytest.mark.parametrize(
    ("pattern", "same"),
    [
        ("(?:(?:(?:a{0,100}){0,100}){0,100})", "a{0,1000000}"),
        ("(?:a*){1000}", "a*"),
        ("(?:a{2,3}){2,}", "a{4,}"),
        ("(?:a{4,5}){1,3}", None),
        ("(?:a{2}){0,9}", None),
        ("(?:a{2,}){0,3}", None),
    ],
)
def test_counters_in_counters_are_multiplied(pattern: str, same: str | None) -> None:
    node = lower_regex(pattern)
    assert isinstance(node, Repeat)
    assert isinstance(node.item, Repeat) == (same is None)
    for length in range(16):
        assert accepts(node, "a" * length) == bool(re.fullmatch(same or pattern, "a" * length))


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:a*)*b",
        "(?:x+x+)+y",
        "(?:a|a?)+b",
        "(?:a?){60}a{60}",
        "(?:.*a){12}",
        "(?:(?:ab?)*c?)*d",
    ],
)
def test_patterns_that_make_backtracking_explode(pattern: str) -> None:
    automaton = ByteAutomaton(Grammar(lower_regex(pattern)))
    state = automaton.run(automaton.start, (b"a" if "x" not in pattern else b"x") * 40)
    assert state >= 0
    assert len(automaton.stacks_of(state)) < 2_000


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d",
        r"\W",
        "[a-z]",
        "[^k]",
        "ſ",
        "[İ-ı]",
        r"[^\W]",
        r"[\Wa]",
        r"[^\dß]",
        "[\U00010400-\U00010427]",
    ],
)
def test_every_character_ignoring_case(pattern: str) -> None:
    everything = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)
    found = {ord(c) for c in re.findall(pattern, everything, re.IGNORECASE)}
    [(operation, argument)] = _parser.parse(pattern, re.IGNORECASE).data
    ranges = members(str(operation), argument, re.IGNORECASE | re.UNICODE, ecma=False)
    assert {c for first, last in ranges for c in range(first, last + 1)} == found


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
