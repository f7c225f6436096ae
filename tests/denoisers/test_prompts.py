"""Prompts: plain text and messages, the Spec in words, batches of unlike prompts and Specs."""

import json
from enum import Enum

import pytest

import ctrlgen
from ctrlgen.denoisers.description import described, description
from ctrlgen.loop import advance, fill, look_at
from ctrlgen.spec import to_spec
from ctrlgen.tool_call import Tool
from tests.denoisers import gemma
from tests.denoisers.test_checkpoints import wide

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
SCHEMA = {"type": "object", "properties": {"naïve": {"type": "integer"}}}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A LLaDA checkpoint whose tokenizer has a chat template."""

    def load(name="llada", template=TEMPLATE, **options):
        tokenizer = gemma.tokenizer()
        tokenizer.chat_template = template
        tokenizer.save_pretrained(wide(name, tmp_path, monkeypatch))
        return ctrlgen.load(tmp_path, **options)

    return load


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("output_type", "expected"),
    [
        (SCHEMA, json.dumps(SCHEMA, ensure_ascii=False, separators=(",", ":"))),
        (Colour, '"enum":["red","blue"]'),
        (ctrlgen.regex(r"\d{3}"), r"\d{3}"),
        (ctrlgen.cfg('start: "a"+'), 'start: "a"+'),
        (ctrlgen.cfg('word: "a"+', start="word"), "from the rule 'word'"),
        (ctrlgen.choice(["yes", "no"]), "yes\nno"),
    ],
)
def test_every_kind_of_spec_has_a_description(output_type, expected):
    assert expected in description(to_spec(output_type))


@pytest.mark.parametrize(
    ("spec", "first"),
    [
        (ctrlgen.cfg('start: "a"'), "text of this Lark grammar:"),
        (ctrlgen.cfg('root ::= "a"', syntax="gbnf"), "text of this GBNF grammar:"),
        (
            ctrlgen.cfg("a ::= 'a'", syntax="ebnf", start="a"),
            "this EBNF grammar, from the rule 'a'",
        ),
    ],
)
def test_a_grammar_is_called_by_its_notation(spec, first):
    assert first in description(spec).splitlines()[0]


def test_a_tool_of_text_is_described_by_its_parts():
    query = Tool("query", input=ctrlgen.regex("[a-z]+"))
    offered = ctrlgen.tools([query, {"name": "play"}], choice="auto", parallel=True)
    found = description(offered)
    assert found.startswith(
        "Answer with nothing but one of these:\n1. JSON of this JSON Schema:\n   {"
    )
    assert (
        """these parts, with nothing between them:
   1. exactly this text: {"name":"query","input":
   2. a JSON string, in quotes and escaped, of text that matches this regular expression:
      [a-z]+
   3. exactly this text: }"""
        in found
    )
    assert "a JSON array of two or more elements, each of them one of these:" in found
    assert "null" not in found


def test_a_single_tool_of_text_is_no_alternative():
    query = Tool("query", input=ctrlgen.regex("[a-z]+"))
    assert description(ctrlgen.tools([query])).startswith("Answer with nothing but these parts")


def test_it_stands_behind_the_last_message_of_the_user():
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "three"},
    ]
    found = described(messages, to_spec(ctrlgen.choice(["a"])))
    assert [m["content"].split("\n\n")[0] for m in found] == ["be kind", "one", "two", "three"]
    assert found[2]["content"].endswith("these lines:\na")
    assert messages[2]["content"] == "two"
    (alone,) = described([], to_spec(bool))
    assert alone["role"] == "user"


def prompt_of(model, prompt, **options):
    run = ctrlgen.Generator(model, bool, max_new_tokens=8).seat(prompt, **options).run
    return model.denoiser.tokenizer.decode(run.prompt)


def test_a_chat_model_is_told_unless_switched_off(model):
    chat = model()
    told = f"<user>hi\n\n{description(to_spec(bool))}<assistant>"
    assert prompt_of(chat, "hi") == told
    assert prompt_of(chat, "hi", describe=True) == told
    assert prompt_of(chat, "hi", describe=False) == "<user>hi<assistant>"
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert prompt_of(chat, messages, describe=False) == "<system>s<user>u<assistant>"


def test_a_model_without_a_template_is_told_when_asked(model):
    base = model(template=None)
    assert prompt_of(base, "hi") == "hi\n"
    assert prompt_of(base, "hi", describe=True) == f"hi\n\n{description(to_spec(bool))}\n"


def test_the_embedded_model_is_not_told_unless_asked():
    embedded = ctrlgen.load()
    assert "JSON Schema" not in prompt_of(embedded, "hi")
    assert "JSON Schema" in prompt_of(embedded, "hi", describe=True)


@pytest.mark.parametrize(
    ("name", "cache"),
    [("llada", None), ("dream", None), ("sdar", None), ("sdar", "block"), ("llada", "delayed")],
)
def test_prompts_and_specs_of_all_kinds_share_passes(model, name, cache):
    """Each answer, and what it cost, is what it is alone."""
    shared = model(name, cache=cache)
    jobs = [
        ("a", list[int]),
        ("a much longer prompt", {"type": "object", "properties": {"k": {"type": "string"}}}),
        ("b", ctrlgen.regex("[a-c]{2,9}")),
        ([{"role": "user", "content": "c"}], ctrlgen.choice(["yes", "no", "perhaps"])),
    ]
    generators = [ctrlgen.Generator(shared, t, max_new_tokens=24, describe=False) for _, t in jobs]
    alone = [g.generate(p, seed=0) for g, (p, _) in zip(generators, jobs, strict=True)]
    seats = [g.seat(p, seed=0) for g, (p, _) in zip(generators, jobs, strict=True)]
    while active := [seat for seat in seats if not seat.finish()]:
        for seat, look in zip(active, look_at(active), strict=True):
            advance(seat, look)
    for generator, seat, expected in zip(generators, seats, alone, strict=True):
        fill(seat.run)
        found = generator.result(seat.run)
        assert (found.text, found.usage) == (expected.text, expected.usage)
