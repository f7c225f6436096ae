"""Lark grammars against lark's own Earley parser."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

import lark
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.grammar import lower_lark
from ctrlgen.constraints.nodes import Choice, Grammar, Node, Ref, Repeat, Seq
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.errors import GrammarError, UnsatisfiableError

from .oracle import sample
from .random_grammars import RandomGrammars
from .recogniser import accepts

SCHEMAS = Path(__file__).parents[2] / "schemas"
CATALOGUE = {path.stem: path.read_text() for path in SCHEMAS.glob("*.lark")}

HIDDEN = """
start: maybe start "b" | "c" | pair
maybe: "a"*
pair: pair2 "x" | maybe
pair2: pair "y" | start
"""
UNIT_CYCLE = """
start: start | other | "a"
other: start | other "b"
"""
AMBIGUOUS = 'start: start start | start "+" start | "a" | "(" start? ")"'
TEMPLATES = """
_list{item, mark}: item (mark item)*
start: _list{word, ","} ";"~1..3
word: WORD.. | "go"i
WORD.2: /[ab]+/
%ignore " "
"""
TEXTS = {
    "hidden": HIDDEN,
    "unit": UNIT_CYCLE,
    "ambiguous": AMBIGUOUS,
    "templates": TEMPLATES.replace("WORD..", "WORD"),
    **CATALOGUE,
}


LARKS_OWN = Path(lark.__file__).parent / "grammars"


def earley(text: str) -> lark.Lark:
    return lark.Lark(text, parser="earley", lexer="dynamic_complete")


def parses(parser: lark.Lark, subject: str) -> bool:
    try:
        parser.parse(subject)
    except lark.exceptions.LarkError:
        return False
    except RuntimeError as error:  # several trees at once, which lark does not expect
        assert "multiple start symbol" in str(error)
    return True


PARSERS = {name: earley(text) for name, text in TEXTS.items()}
EXACT = {name: lower_lark(text, ignore="any") for name, text in TEXTS.items()}
AUTOMATA = {name: ByteAutomaton(grammar) for name, grammar in EXACT.items()}
BOUNDED = {name: lower_lark(text) for name, text in TEXTS.items()}


def mutate(subject: str, alphabet: str, chance: random.Random) -> str:
    place = chance.randrange(len(subject) + 1)
    kind = chance.choice(["insert", "delete", "replace", "double"])
    new = "" if kind == "delete" else chance.choice(alphabet)
    if kind == "double":
        return subject[:place] + subject[max(0, place - 2) :]
    return subject[:place] + new + subject[place + (kind != "insert") :]


def reads(automaton: ByteAutomaton, subject: str) -> bool:
    return automaton.is_accepting(automaton.run(automaton.start, subject.encode()))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(set(TEXTS) - {"c_like"})), st.integers(0, 2**32))
def test_words_are_accepted_by_lark_and_mutations_agree(name: str, seed: int) -> None:
    bounded, exact, parser = BOUNDED[name], AUTOMATA[name], PARSERS[name]
    word = sample(bounded, random.Random(seed), fuel=60).decode()
    assume(len(word) <= 60)
    assert parses(parser, word), word
    assert accepts(bounded, word)
    mutation = mutate(word, (word or "a") + " ax1", random.Random(seed))
    assert reads(exact, mutation) == parses(parser, mutation), mutation


SMALL = st.lists(
    st.lists(st.sampled_from(["start", "one", "two", '"a"', '"b"']), max_size=3).map(" ".join),
    min_size=1,
    max_size=3,
).map(" | ".join)


@settings(max_examples=150, deadline=None)
@given(SMALL, SMALL, SMALL)
def test_any_small_grammar_agrees_with_lark(start: str, one: str, two: str) -> None:
    text = f"start: {start}\none: {one}\ntwo: {two}\n"
    try:
        grammar = lower_lark(text)
    except UnsatisfiableError:
        grammar = None
    except GrammarError:
        assume(False)
    parser = earley(text)
    for subject in ["", "a", "b", "aa", "ab", "ba", "bb", "aab", "abab", "bbba"]:
        expected = parses(parser, subject)
        assert (grammar is not None and accepts(grammar, subject)) == expected, (text, subject)


SEEDS = [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 90))]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_grammars_agree_with_lark(seed: int) -> None:
    text = RandomGrammars(seed).grammar()
    try:
        parser, grammar = earley(text), lower_lark(text)
    except (lark.exceptions.LarkError, UnsatisfiableError):
        pytest.skip("nothing to read")
    bounded, exact = ByteAutomaton(grammar), ByteAutomaton(lower_lark(text, ignore="any"))
    for turn in range(6):
        chance = random.Random(turn)
        word = walk(bounded, chance, chance.randrange(1, 6))
        if len(word) > 14:  # Earley's parser takes its time with ambiguous rules
            continue
        assert parses(parser, word), (text, word)
        mutation = mutate(word, word + ' abcx1"', chance)
        verdict = parses(parser, mutation)
        assert reads(exact, mutation) == verdict, (text, mutation)
        assert verdict or not reads(bounded, mutation), (text, mutation)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_no_rule_is_left_recursive(name: str) -> None:
    grammar = BOUNDED[name]
    heads = {rule: _heads(node, grammar) for rule, node in grammar.rules.items()}
    for rule in heads:
        seen, waiting = set(), [rule]
        while waiting:
            new = heads[waiting.pop()] - seen
            seen |= new
            waiting.extend(new)
        assert rule not in seen


def _heads(node: Node, grammar: Grammar) -> set[str]:
    """The rules that `node` can begin with, directly."""
    match node:
        case Ref(name):
            return {name}
        case Seq(items):
            found: set[str] = set()
            for item in items:
                found |= _heads(item, grammar)
                if not accepts(Grammar(item, grammar.rules), b""):
                    break
            return found
        case Choice(items):
            return {name for item in items for name in _heads(item, grammar)}
        case Repeat(item):
            return _heads(item, grammar)
    return set()


@pytest.mark.parametrize(
    ("name", "opening"),
    [("arithmetic", "("), ("arithmetic", "f("), ("json", '[{"a":'), ("ambiguous", "(")],
)
def test_nesting_multiplies_no_stacks(name: str, opening: str) -> None:
    automaton = ByteAutomaton(BOUNDED[name])
    shallow = automaton.run(automaton.start, opening.encode() * 3)
    deep = automaton.run(shallow, opening.encode() * 60)
    assert len(automaton.stacks_of(deep)) == len(automaton.stacks_of(shallow))


def walk(automaton: ByteAutomaton, chance: random.Random, length: int) -> str:
    """A word of the automaton: random bytes, then the shortest end."""
    state, word = automaton.start, bytearray()
    while len(word) < length:
        row = automaton.row(state)
        ahead = chance.choice(sorted({int(each) for each in row} - {-1}) or [-1])
        if ahead < 0:
            break
        # Of the bytes that lead there, those of plain text are more telling.
        members = [byte for byte in range(256) if row[byte] == ahead]
        printable = [byte for byte in members if 32 <= byte < 127]
        word.append(chance.choice(printable or members))
        state = ahead
    return (bytes(word) + automaton.shortest(state)).decode()


@pytest.mark.parametrize(
    ("path", "start", "inside"),
    [
        (LARKS_OWN / "lark.lark", "start", ["a: b+ -> c\n", 'A.2: /x\\/y/i | "b"~2..3\n# c']),
        (LARKS_OWN / "python.lark", "eval_input", ["f(x)[1:2] if not y else {**z}", "'c' \"d\""]),
        (SCHEMAS / "c_like.lark", "start", ["int f(char *s){/* c */ if(!s) return -1; } // d\n"]),
    ],
    ids=["lark", "python", "c_like"],
)
def test_grammars_of_languages(path: Path, start: str, inside: list[str]) -> None:
    text = path.read_text(encoding="utf-8")
    automaton = ByteAutomaton(lower_lark(text, start=start))
    exact = ByteAutomaton(lower_lark(text, start=start, ignore="any"))
    parser = lark.Lark(text, start=start, parser="earley", lexer="dynamic_complete")
    for word in inside:
        assert reads(exact, word), word
        assert parses(parser, word), word
    found = {True}
    for seed in range(8):
        chance = random.Random(seed)
        word = walk(automaton, chance, chance.randrange(4, 12))
        assert parses(parser, word), word
        mutation = mutate(word, word + " a:(", chance)
        verdict = parses(parser, mutation)
        assert reads(exact, mutation) == verdict, mutation
        assert verdict or not reads(automaton, mutation), mutation
        found.add(verdict)
    assert found == {True, False}


def test_what_a_postlexer_makes_is_refused() -> None:
    text = (LARKS_OWN / "python.lark").read_text(encoding="utf-8")
    with pytest.raises(GrammarError, match="DENT is declared, but has no pattern") as caught:
        lower_lark(text, start="file_input")
    assert caught.value.line == text[: text.index("%declare")].count("\n") + 1
    assert "postlexer" in caught.value.hint


LAZY = [
    *(r'".*?"', r'(".*?)"', "(?:a+?)b*", "a*?b", "(a|b)*?ab", r'".*?"a?', r'(?:".*?"|b)+'),
    *(r"\/\*(.|\n)*?\*\/", "<.+?>", "a??b", "a+?", "(ab??)*b", "a.*?aa", "(?=ab).*?b(?!a)"),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(LAZY), st.text('ab"*/<>', max_size=8))
def test_lazy_quantifiers_stop_as_in_a_lexer(pattern: str, subject: str) -> None:
    text = f'start: A+ "!"\nA: /{pattern}/'
    automaton, parser = lexers(text)
    found = automaton.is_accepting(automaton.run(automaton.start, f"{subject}!".encode()))
    assert found == parses(parser, f"{subject}!"), (pattern, subject)


@cache
def lexers(text: str) -> tuple[ByteAutomaton, lark.Lark]:
    return ByteAutomaton(lower_lark(text)), earley(text)


def test_ignored_text_is_bounded_on_request() -> None:
    text = 'start: "a" "b"\n%import common.WS\n%ignore WS\n'
    words = ["ab", "a b", " ab ", "a  b", "a \t b"]
    accepted = {
        mode: [accepts(lower_lark(text, ignore=mode), word) for word in words]
        for mode in ("none", "single", "any")
    }
    assert accepted["none"] == [True, False, False, False, False]
    assert accepted["single"] == [True, True, True, False, False]
    assert accepted["any"] == [True] * 5


def test_common_strings_end_at_their_quote() -> None:
    grammar = lower_lark("%import common.ESCAPED_STRING\nstart: ESCAPED_STRING\n")
    assert accepts(grammar, r'"a\"b\\"')
    assert not accepts(grammar, r'"a"b"')
    assert not accepts(grammar, r'"a\"')


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("start: a", 1, 8, "not defined"),
        ('start: "a"\n  | zork\n', 2, 5, "zork"),
        ("start: %%", 1, 8, "Unexpected"),
        ('start: "a" "', 1, 12, "Unexpected"),
        ("%declare _INDENT\nstart: _INDENT", 2, 8, "declared"),
        ("start: A\nA: /(a)\\1/", 2, 1, "backreference"),
        ("start: A\nA: /a(?=b(?<!c))/", 2, 1, "look-behind"),
        ("start: /a/ /(b)\\1/", 1, 12, "backreference"),
        ("start: A\nA: /a*/", 2, 1, "zero-width"),
        ('start: A\nA: "a" B', 2, 8, "not defined"),
        ('start: "a"\n%ignore X', 2, 9, "ignore"),
        ("start: A\nA: /(/", 0, 0, "regular expression is invalid"),
        ("start: X\n%import nothing.X", 2, 1, "'nothing.lark' cannot be imported"),
        ("%import .other.X\nstart: X", 1, 1, "'other.lark' cannot be imported"),
        ('begin: "a"', 0, 0, "start"),
    ],
)
def test_errors_point_into_the_grammar(text: str, line: int, column: int, says: str) -> None:
    with pytest.raises(GrammarError, match=says) as caught:
        lower_lark(text)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_a_grammar_without_finite_words_is_unsatisfiable() -> None:
    with pytest.raises(UnsatisfiableError):
        lower_lark('start: "(" start ")"')


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("iso_date", ["2024-02-29", "1999-12-31"], ["2024-02-30", "2024-04-31", "24-01-01"]),
        ("phone", ["+49 30 1234567", "(555) 123-4567", "555-123-4567"], ["555", "+0 1 2"]),
        ("semver", ["1.0.0", "1.2.3-rc.1+build.5"], ["1.0", "01.0.0", "1.0.0-01"]),
    ],
)
def test_catalogue_of_patterns(name: str, inside: list[str], outside: list[str]) -> None:
    pattern = (SCHEMAS / f"{name}.regex").read_text().removesuffix("\n")
    node = lower_regex(pattern)
    for subject in inside + outside:
        assert accepts(node, subject) == (subject in inside), subject
        assert bool(re.fullmatch(pattern, subject)) == (subject in inside), subject
