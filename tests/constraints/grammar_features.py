"""What is taken of Lark, GBNF, EBNF and regular expressions: the table of docs/grammars.md.

    python -m tests.constraints.grammar_features

writes the table. A feature is *exact* when the words inside and outside get the verdict of the
reference (lark's Earley parser, Python's `re`), *narrowed* when some words that the reference takes
are left out on purpose, *refused* when it is an error with a place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lark

from ctrlgen.constraints import lower
from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.errors import ConstraintError
from ctrlgen.spec import Spec, cfg, regex

PAGE = Path(__file__).parents[2] / "docs" / "grammars.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


@dataclass(frozen=True)
class Feature:
    """One row.

    Args:
        syntax: lark, gbnf, ebnf or regex.
        name: What the row is about.
        text: A grammar or pattern that has it.
        inside: Words that the reference takes; none for what is refused.
        outside: Words that it does not take.
    """

    syntax: str
    name: str
    text: str
    inside: Sequence[str] = ()
    outside: Sequence[str] = ()


def _lark() -> Iterator[Feature]:
    def row(name: str, text: str, inside: Sequence[str] = (), outside: Sequence[str] = ()) -> None:
        rows.append(Feature("lark", name, text, inside, outside))

    rows: list[Feature] = []
    row('literals, also `"..."i`', 'start: "ab" "c"i', ["abc", "abC"], ["aBc", "ab"])
    row("groups, `?` `*` `+` `[...]`", 'start: ("a" "b")? "c"* ["d"] "e"+', ["e", "abcde"], ["ae"])
    row("`~ n`, `~ n..m`", 'start: "a"~2 "b"~1..3', ["aab", "aabbb"], ["ab", "aabbbb"])
    row("aliases, `?rule`, `_rule`, `!rule`",
        'start: one -> x | _two\n?one: "a"\n!_two: "b"', ["a", "b"], ["ab"])  # fmt: skip
    row("empty alternatives", 'start: "(" inner ")"\ninner: | "a" inner', ["()", "(aa)"], ["(b)"])
    row("terminals of terminals", 'start: A\nA: B+ ("x" | C)\nB: "b"\nC: "c"', ["bx", "bbc"], ["x"])
    row('ranges `"a".."f"`', 'start: A+\nA: "a".."f" | "0".."9"', ["a9f"], ["g"])
    row("pattern flags `imslux`", "start: /a.b/is", ["A\nB"], ["AB"])
    row("Unicode in patterns", "start: /[à-ÿ]\\w/", ["éß"], ["ea"])
    row("templates", '_list{x, s}: x (s x)*\nstart: _list{/\\d/, ","}', ["1,2"], ["1,", ""])
    row("`%ignore`", 'start: "a" "b"\n%ignore " "', ["ab", "a b ", " a  b"], ["ba"])
    row("`%import common.*`", "%import common (INT, CNAME)\nstart: CNAME INT?", ["a_1"], ["1a"])
    row("`common.ESCAPED_STRING`", "%import common.ESCAPED_STRING\nstart: ESCAPED_STRING",
        ['"a\\"b"', '""'], ['"a"b"', '"a\\"'])  # fmt: skip
    row("`common` comments",
        "%import common (C_COMMENT, SH_COMMENT)\nstart: C_COMMENT | SH_COMMENT",
        ["/* a */", "/*\n**/", "# x"], ["/* a */ */"])  # fmt: skip
    row("`%override`, `%extend`", '%import common.DIGIT\n%override DIGIT: "x"\n%extend DIGIT: "y"\n'
        "start: DIGIT", ["x", "y"], ["1"])  # fmt: skip
    row("priorities", "start: A | B\nA.2: /a+/\nB.-1: /[ab]+/", ["aa", "ab"], ["c"])
    row("left recursion, direct", 'start: start "+" /\\d/ | /\\d/', ["1", "1+2+3"], ["+1", "1+"])
    row("left recursion, mutual and hidden",
        'start: none start "x" | other | "a"\nother: start "y"\nnone: | "n"',
        ["a", "ax", "nax", "ayx"], ["x", "na"])  # fmt: skip
    row("ambiguity", 'start: start start | "a" | "aa"', ["a", "aaa"], ["", "b"])
    row("cycles `a: b`, `b: a`", 'start: a\na: b | "x"\nb: a | "y"', ["x", "y"], ["xy"])
    row("lazy quantifiers in terminals", 'start: A+\nA: /".*?"/', ['"a"', '"a""b"'], ['"a"b"'])
    row(
        "look-around inside a terminal", "start: /(?!ab)[a-c]{2}(?<!c)/", ["aa", "ca"], ["ab", "ac"]
    )
    row("look-ahead past a terminal", 'start: (A | B)+\nA: /a(?!b)/\nB: "b" | "c"',
        ["a", "aac", "ba"], ["ab", "aab"])  # fmt: skip
    row("`\\b` in terminals", "start: (A | B)+\nA: /\\ba\\b/\nB: /[ .]|b/", ["a b", "a.a"], ["ab"])
    row("`%declare`, unused", '%declare _X\nstart: "a"', ["a"], ["b"])
    row("`%declare`, used (postlexers, indentation)", '%declare _INDENT\nstart: _INDENT "a"')
    row("backreferences", "start: /(a|b)\\1/")
    row("`%import` of other files", "%import .other.A\nstart: A")
    yield from rows


def _ebnf() -> Iterator[Feature]:
    yield Feature("gbnf", "literals with escapes", r'root ::= "\"\n\x41é"', ['"\nAé'], ['"nA'])
    yield Feature("gbnf", "classes, negated classes, `.`", "root ::= [a-c] [^a\\]] .",
                  ["abc", "b-\n"], ["a]x", "daa"])  # fmt: skip
    yield Feature("gbnf", "groups, `|`, `?` `*` `+`", 'root ::= ("a" | "b")+ "c"? "d"*',
                  ["ab", "bcd"], ["c", ""])  # fmt: skip
    yield Feature("gbnf", "`{n}` `{n,}` `{n,m}` `{,m}`", "root ::= [a]{2} [b]{1,} [c]{1,2} [d]{,1}",
                  ["aabc", "aabbccd"], ["abc", "aabccc"])  # fmt: skip
    yield Feature("gbnf", "comments, rules over lines", 'root ::= # one\n  "a"\n  | b\nb ::= "b"',
                  ["a", "b"], ["ab"])  # fmt: skip
    yield Feature("gbnf", "recursion, left recursion",
                  'root ::= root "+" x | x\nx ::= "1" | "(" root ")"',
                  ["1+1", "(1+(1))"], ["1+", ")"])  # fmt: skip
    yield Feature("gbnf", "tokens `<think>`, `<[7]>`", "root ::= <think>")
    yield Feature("ebnf", "`'...'`, `#x41`, `/* */`",
                  "a ::= 'a' #x41 [#x42-#x43] /* c */ b\nb ::= '\"'",
                  ['aAB"', 'aAC"'], ["aAB"])  # fmt: skip
    yield Feature("ebnf", "exceptions `A - B`", "a ::= [a-z] - 'x'")
    yield Feature("ebnf", "ISO 14977 (`a = b, {c};`)", "a = 'b', {'c'};")


def _regex() -> Iterator[Feature]:
    def row(name: str, text: str, inside: Sequence[str] = (), outside: Sequence[str] = ()) -> None:
        rows.append(Feature("regex", name, text, inside, outside))

    rows: list[Feature] = []
    row("classes, `\\d` `\\w` `\\s`, Unicode", r"[^\d_]\w\s", ["éß ", "-1\n"], ["1a ", "ab"])
    row("`\\p{Lu}`, `\\P{L}`", r"\p{Lu}\P{L}", [], ["é1"])
    row("quantifiers, greedy or lazy", "a{2,3}?b*?c+", ["aac", "aaabcc"], ["ac", "aab"])
    row("groups, named groups", "(?P<x>a|b)(c)(?:d)", ["acd", "bcd"], ["cd"])
    row("flags `(?i)`, `(?s:.)`, `(?-i:a)`", "(?i)a(?-i:b)(?s:.)", ["Ab\n"], ["aB1"])
    row("verbose patterns", "(?x) a  b # comment", ["ab"], ["a b"])
    row("anchors", r"^a$|\Ab\Z", ["a", "b"], ["ab"])
    row("lines `(?m)^`", r"(?m)(?:^a$\n?)+", ["a\na", "a"], ["aa"])
    row("`\\b`, `\\B`", r".\b.\B.", ["-ab", "a--"], ["abc"])
    row("look-ahead", "(?!foo)[a-z]+(?=.$).", ["bar", "fob"], ["food", "a"])
    row("look-behind", "[a-c]+(?<!b)c", ["ac", "cc"], ["bc", "abc"])
    row("look-around in repetitions", "(?:a(?=b)|b)*", ["abb", "b"], ["ba", "aab"])
    row("atomic groups, possessive quantifiers", "(?>ab|a)[^,]*+,", ["ab1,", "a,"], ["ab,,"])
    row("huge counts", "(?:ab){0,100000}", ["", "abab"], ["aba"])
    row("backreferences", r"(a|b)\1")
    row("conditional groups", "(a)?(?(1)b|c)")
    row("look-behind inside a look-ahead", "a(?=b(?<!cb))b")
    yield from rows


FEATURES = [*_lark(), *_ebnf(), *_regex()]


def spec_of(feature: Feature) -> Spec:
    """The spec as a user writes it."""
    if feature.syntax == "regex":
        return regex(feature.text)
    return cfg(feature.text, syntax=feature.syntax)  # type: ignore[arg-type]


def referee(feature: Feature, word: str) -> bool | None:
    """What the reference says of a word; None where there is none at hand."""
    if feature.syntax == "regex":
        return None if r"\p" in feature.text else bool(re.fullmatch(feature.text, word))
    if feature.syntax != "lark":
        return None
    parser = lark.Lark(feature.text, parser="earley", lexer="dynamic_complete")
    try:
        parser.parse(word)
    except lark.exceptions.LarkError:
        return False
    return True


def verdict(feature: Feature) -> str:
    """Exact, narrowed, refused or wrong."""
    try:
        automaton = ByteAutomaton(lower(spec_of(feature)))
    except ConstraintError:
        return "refused"

    def accepts(word: str) -> bool:
        return automaton.is_accepting(automaton.run(automaton.start, word.encode()))

    if any(map(accepts, feature.outside)):
        return "wrong"
    taken = [accepts(word) for word in feature.inside]
    return "exact" if all(taken) else "narrowed" if any(taken) else "wrong"


def table() -> str:
    """The support table in Markdown."""
    lines = ["| notation | feature | support |", "|---|---|---|"]
    for feature in FEATURES:
        name = feature.name.replace("|", "\\|")
        lines.append(f"| {feature.syntax} | {name} | {verdict(feature)} |")
    return "\n".join(lines)


def written() -> str:
    """The table that the page has."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
