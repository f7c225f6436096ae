"""GBNF and EBNF grammars against lark's Earley parser and llguidance's own reading of GBNF."""

from __future__ import annotations

import random
import re
from pathlib import Path

import lark
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import gbnf_to_lark

from ctrlgen import spec
from ctrlgen.constraints import lower
from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.ebnf import lower_ebnf
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.errors import GrammarError, LimitError, SpecError, UnsatisfiableError

from .oracle import sample
from .test_grammar import earley, mutate, parses

SCHEMAS = Path(__file__).parents[2] / "schemas"
CATALOGUE = {path.stem: path.read_text(encoding="utf-8") for path in SCHEMAS.glob("*.gbnf")}


def accepts(grammar: Grammar, text: str) -> bool:
    automaton = ByteAutomaton(grammar)
    return automaton.is_accepting(automaton.run(automaton.start, text.encode()))


# Each pair is the same grammar in GBNF and in Lark.
Pairs = st.SearchStrategy[tuple[str, str]]
ATOMS: Pairs = st.sampled_from(
    [
        *(('"a"', '"a"'), ('"ab"', '"ab"'), ('""', "()"), ("one", "one"), ("two", "two")),
        *(("[ab]", "/[ab]/"), ("[^a]", "/[^a]/"), (".", "/(?s:.)/"), ("[b-d\\]-]", r"/[b-d\]\-]/")),
    ]
)
QUANTIFIERS = st.sampled_from(
    [("*", "*"), ("+", "+"), ("?", "?"), ("{2}", "~2"), ("{1,2}", "~1..2"), ("{0,2}", "~0..2")]
)


def compound(inner: Pairs) -> Pairs:
    def joined(parts: list[tuple[str, str]], by: str) -> tuple[str, str]:
        ours, theirs = zip(*parts, strict=True)
        return f"({by.join(ours)})", f"({by.join(theirs)})"

    def repeated(body: tuple[str, str], times: tuple[str, str]) -> tuple[str, str]:
        return f"({body[0]}){times[0]}", f"({body[1]}){times[1]}"

    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        several.map(lambda parts: joined(parts, " ")),
        several.map(lambda parts: joined(parts, " | ")),
        st.builds(repeated, inner, QUANTIFIERS),
    )


BODIES = st.recursive(ATOMS, compound, max_leaves=5)
SUBJECTS = ["", "a", "b", "ab", "aa", "ba", "aab", "abb", "b-", "abab", "d]a", "é"]


@settings(max_examples=120, deadline=None)
@given(BODIES, BODIES, BODIES)
def test_gbnf_means_what_the_same_grammar_means_in_lark(
    root: tuple[str, str], one: tuple[str, str], two: tuple[str, str]
) -> None:
    names = ("start", "one", "two")
    bodies = (root, one, two)
    ours = "\n".join(f"{n} ::= {b[0]}" for n, b in zip(names, bodies, strict=True))
    theirs = "\n".join(f"{n}: {b[1]}" for n, b in zip(names, bodies, strict=True))
    try:
        parser = earley(theirs)
    except lark.exceptions.GrammarError:
        assume(False)
    try:
        grammar = lower_ebnf(ours, start="start")
    except UnsatisfiableError:
        grammar = None
    for subject in SUBJECTS:
        found = grammar is not None and accepts(grammar, subject)
        assert found == parses(parser, subject), (ours, subject)


BYTES = LLTokenizer("byte")


def llguidance_accepts(text: str, word: str) -> bool:
    matcher = LLMatcher(BYTES, LLMatcher.grammar_from_lark(text), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = BYTES.tokenize_str(word)
    return matcher.validate_tokens(tokens) == len(tokens) and (
        not tokens or matcher.consume_tokens(tokens)
    ) and matcher.is_accepting()  # fmt: skip


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_words_of_the_catalogue_agree_with_llguidance(name: str) -> None:
    grammar, peer = lower_ebnf(CATALOGUE[name]), gbnf_to_lark(CATALOGUE[name])
    automaton = ByteAutomaton(grammar)
    verdicts = set()
    for seed in range(60):
        chance = random.Random(seed)
        word = sample(grammar, chance, fuel=60).decode()
        assert llguidance_accepts(peer, word), word
        mutation = mutate(word, (word or "a") + ' a1"', chance)
        found = automaton.is_accepting(automaton.run(automaton.start, mutation.encode()))
        assert found == llguidance_accepts(peer, mutation), mutation
        verdicts.add(found)
    assert verdicts == {True, False}


def test_what_w3c_ebnf_writes_in_its_own_way() -> None:
    text = """
    /* two quotes, code points */
    Name  ::= Start ( Start | '-' | #xB7 )*
    Start ::= [a-z#x41-#x5A] | "_" | ["']
    """
    grammar = lower_ebnf(text, syntax="ebnf")
    assert [accepts(grammar, word) for word in ("aZ-", "_·", "'", '"a', "-a", "#", "x4")] == [
        *(True, True, True, True, False, False, False)
    ]
    with pytest.raises(GrammarError):
        lower_ebnf(text)


def test_rules_go_on_over_lines_and_start_where_they_should() -> None:
    text = 'other ::= "x"\nroot ::= # a comment\n  other\n  | "y"\n  "z"\n'
    assert [accepts(lower_ebnf(text), word) for word in ("x", "yz", "y", "xz")] == [
        *(True, True, False, False)
    ]
    assert accepts(lower_ebnf(text, start="other"), "x")
    assert accepts(lower_ebnf('first ::= "1"\nsecond ::= "2"'), "1")


def test_escapes() -> None:
    grammar = lower_ebnf(r'root ::= "\"\\\n\x41\u00e9\U0001F600" [\]\-\^\[\x42]')
    for last in "]-^[B":
        assert accepts(grammar, f'"\\\nAé😀{last}')
    assert not accepts(grammar, '"\\\nAé😀a')


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ('root ::= "a', 1, 10, "does not end"),
        ("root ::= [a", 1, 10, "ends with ]"),
        ("root ::= []", 1, 10, "empty class"),
        ("root ::= [^]", 1, 10, "empty class"),
        ('root ::= "a"\n  <think>', 2, 3, "tokens of a model"),
        ("root = a", 1, 6, "name ::="),
        ('root ::= a\nb ::= "x"', 1, 10, "'a' is not defined"),
        ('root ::= ("a" | ', 1, 10, "not closed"),
        ("root ::= 'a'", 1, 10, 'quoted with "'),
        (r'root ::= "\q"', 1, 10, "stands for no character"),
        (r'root ::= "\ud800"', 1, 10, "stands for no character"),
        (r'root ::= "\U00110000"', 1, 10, "stands for no character"),
        ("root ::= [z-a]", 1, 10, "wrong way round"),
        ('root ::= "a"{3,2}', 1, 13, "at least 3"),
        ('root ::= "a"{}', 1, 13, "without a number"),
        ('root ::= "a"\nroot ::= "b"', 2, 1, "defined twice"),
        ("root ::= *", 1, 10, re.escape("unexpected '*'")),
        ('root ::= "a" )', 1, 14, "the name of a rule"),
        ("root ::= A - B", 1, 12, "exceptions"),
        ("root ::= /a/", 1, 10, "regular expressions"),
        ("root", 1, 5, "::= after"),
        ("", 0, 0, "no rules"),
    ],
)
def test_errors_point_into_the_grammar(text: str, line: int, column: int, says: str) -> None:
    with pytest.raises(GrammarError, match=says) as caught:
        lower_ebnf(text)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        "root ::= " + "(" * 3_000 + '"a"' + ")" * 3_000,
        'root ::= ("a" root){1,2000}',
        'root ::= "' + "a" * 1_000_001 + '"',
    ],
)
def test_limits(text: str) -> None:
    with pytest.raises(LimitError):
        lower_ebnf(text)


def test_no_word_at_all() -> None:
    with pytest.raises(UnsatisfiableError):
        lower_ebnf('root ::= "(" root ")"')


def test_counts_of_characters_are_not_unrolled() -> None:
    grammar = lower_ebnf("root ::= [a-z]{2,1000000}")
    assert accepts(grammar, "a" * 500)
    assert not accepts(grammar, "a")
    assert ByteAutomaton(grammar).n_states < 10


def test_the_door(tmp_path: Path) -> None:
    file = tmp_path / "a.gbnf"
    file.write_text('root ::= "yes"\n', encoding="utf-8")
    for door in (
        spec.to_spec(file),
        spec.cfg(file),
        spec.cfg(file.read_text(), syntax="gbnf"),
        spec.cfg('x ::= "no"\nroot ::= "yes"', syntax="ebnf"),
        spec.cfg('x ::= "yes"', syntax="ebnf", start="x"),
    ):
        assert accepts(lower(door), "yes")
        assert not accepts(lower(door), "no")
    with pytest.raises(SpecError, match="bnf"):
        spec.cfg("x", syntax="bnf")
