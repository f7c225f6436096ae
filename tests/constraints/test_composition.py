"""Grammars of grammars: quoted texts against json.dumps, unions and lists against their parts."""

import json
import re

import lark
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrlgen.constraints import compile as compile_constraint
from ctrlgen.constraints import lower
from ctrlgen.errors import SpecError
from ctrlgen.spec import Spec, cfg, choice, json_schema, regex
from ctrlgen.testing import RandomDenoiser

VOCABULARY = RandomDenoiser().vocabulary
NESTED = """
start: "(" start* ")" | "\\"" WORD? "\\"" | LINE
WORD: /[a-c\\\\]+/
LINE: /\\n/
"""
WORDS = st.text('()"abc\\\n', max_size=8)


def accepts(spec: Spec, text: str) -> bool:
    return compile_constraint(spec, VOCABULARY).accepts(text)


QUOTED = compile_constraint(Spec("quoted", parts=(cfg(NESTED),)), VOCABULARY)
PARSER = lark.Lark(NESTED, parser="earley")


def in_grammar(word: str) -> bool:
    try:
        PARSER.parse(word)
    except lark.exceptions.LarkError:
        return False
    return True


@pytest.mark.parametrize("word", ['""', '(""("ab"))', '"a\\\\"', "(\n(\n))"])
def test_quoted_grammar_has_words(word: str) -> None:
    assert in_grammar(word)
    assert QUOTED.accepts(json.dumps(word))


@settings(max_examples=300)
@given(WORDS)
def test_a_quoted_grammar_is_the_grammar_inside_a_string(word: str) -> None:
    assert QUOTED.accepts(json.dumps(word)) == in_grammar(word)


@pytest.mark.parametrize(
    "pattern", ['["\\\\\\x00-\\x1fé日]{1,2}', "(?!a)[ab]+", r"\\d+(?=b)b", "[^a]*"]
)
@settings(max_examples=60)
@given(word=st.text('ab1"\\\x00\x1f\n\té日', max_size=3))
def test_a_quoted_pattern_is_the_pattern_inside_a_string(pattern: str, word: str) -> None:
    text = "".join(
        f"\\u{ord(c):04x}"
        if ord(c) < 32 and c not in "\b\t\n\f\r"
        else json.dumps(c, ensure_ascii=False)[1:-1]
        for c in word
    )
    spec = Spec("quoted", parts=(regex(pattern),))
    assert accepts(spec, f'"{text}"') == bool(re.fullmatch(pattern, word))


def test_parts_with_rules_of_one_name() -> None:
    one, other = cfg('start: "a" start | "b"'), cfg('start: "c" start | "d"')
    both = Spec("sequence", parts=(one, other))
    assert accepts(both, "aabccd")
    assert not accepts(both, "aadccd")
    assert accepts(Spec("either", parts=(one, other)), "ccd")
    assert not accepts(Spec("either", parts=(one, other)), "aad")


def test_lists_hold_two_or_more() -> None:
    spec = Spec("list", parts=(choice(["1", "2"]),))
    assert [accepts(spec, text) for text in ("[1]", "[1,2]", "[1,2,2]", "[1 ,2]", "[]")] == [
        False, True, True, False, False,
    ]  # fmt: skip


def test_a_schema_inside_a_text_keeps_its_slots() -> None:
    schema = json_schema({"type": "object", "properties": {"a": {"type": "integer"}}})
    root = lower(Spec("sequence", parts=(choice(["<"]), schema, choice([">"])))).root
    assert "Slot" in repr(root)
    assert accepts(Spec("sequence", parts=(choice(["<"]), schema, choice([">"]))), '<{"a":1}>')


def test_what_cannot_be_judged_inside_a_text_is_refused() -> None:
    schema = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    judged = json_schema(schema, on_unsupported="verify")
    with pytest.raises(SpecError, match="verified"):
        lower(Spec("either", parts=(judged, choice(["x"]))))
