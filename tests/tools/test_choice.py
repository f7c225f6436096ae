"""What each tool choice allows, judged text by text."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import ctrlgen
from ctrlgen.constraints import compile as compile_constraint
from ctrlgen.errors import OutputValidationError, SpecError
from ctrlgen.testing import RandomDenoiser
from ctrlgen.tool_call import Tool, ToolCall, tools

VOCABULARY = RandomDenoiser().vocabulary


def weather(city: str) -> str:
    return city


def ping() -> None: ...


SQL = """
start: "SELECT " column (", " column)* " FROM " NAME
column: NAME | "(" column ")" | "\\"" NAME "\\""
NAME: /[a-z]+/
"""
QUERY = {"type": "custom", "custom": {"name": "query", "format": {
    "type": "grammar", "grammar": {"syntax": "lark", "definition": SQL}}}}  # fmt: skip
CODE = {"type": "custom", "custom": {"name": "code", "format": {
    "type": "grammar",
    "grammar": {"syntax": "regex", "definition": r"[A-Z]{2}\n\\\d"}}}}  # fmt: skip

CALL = {"name": "weather", "arguments": {"city": "Rome"}}
PING = {"name": "ping", "arguments": {}}
TEXT = {"content": "It rains."}
SQL_CALL = {"name": "query", "input": 'SELECT a, (("b")) FROM t'}
CODE_CALL = {"name": "code", "input": "AB\n\\7"}
ANSWERS: list[Any] = [
    CALL, PING, TEXT, [CALL, PING], [CALL], [], [PING] * 32, [PING] * 33, {"content": ""},
    {"name": "weather", "arguments": {}}, {"name": "rain", "arguments": {}}, "It rains.",
    SQL_CALL, CODE_CALL, [SQL_CALL, CALL, CODE_CALL], {"name": "query", "input": "SELECT"},
    {"name": "code", "input": "AB\n7"}, {"name": "weather", "input": "x"},
]  # fmt: skip


def text_of(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    inner = {"mode": mode, "tools": [named(name) for name in names]}
    return {"type": "allowed_tools", "allowed_tools": inner}


@pytest.mark.parametrize(
    ("choice", "parallel", "accepted"),
    [
        ("required", False, [CALL, PING]),
        ("required", True, [CALL, PING, [CALL, PING], [PING] * 32]),
        ("auto", False, [CALL, PING, TEXT]),
        ("auto", True, [CALL, PING, TEXT, [CALL, PING], [PING] * 32]),
        ("none", True, [TEXT]),
        ("ping", False, [PING]),
        (named("ping"), False, [PING]),
        ({"type": "function", "name": "ping"}, True, [PING, [PING] * 32]),
        (allowed("auto", "ping"), False, [PING, TEXT]),
        (allowed("required", "weather", "ping"), False, [CALL, PING]),
        ({"type": "allowed_tools", "mode": "required", "tools": [named("ping")]}, False, [PING]),
    ],
)
def test_choices(choice: Any, parallel: bool, accepted: list[Any]) -> None:
    spec = tools([weather, ping], choice=choice, parallel=parallel)
    assert spec.tool_names == ("weather", "ping")
    constraint = compile_constraint(spec, VOCABULARY)
    for answer in ANSWERS:
        assert constraint.accepts(text_of(answer)) == (answer in accepted), answer
        assert Draft202012Validator(spec.schema).is_valid(answer) == (answer in accepted), answer


@pytest.mark.parametrize(
    ("choice", "parallel", "accepted"),
    [
        ("required", False, [CALL, SQL_CALL, CODE_CALL]),
        ("auto", False, [CALL, TEXT, SQL_CALL, CODE_CALL]),
        ("auto", True, [CALL, TEXT, SQL_CALL, CODE_CALL, [SQL_CALL, CALL, CODE_CALL]]),
        ({"type": "custom", "custom": {"name": "code"}}, False, [CODE_CALL]),
        ("weather", False, [CALL]),
        ("none", False, [TEXT]),
    ],
)
def test_custom_tools(choice: Any, parallel: bool, accepted: list[Any]) -> None:
    spec = tools([weather, QUERY, CODE], choice=choice, parallel=parallel)
    constraint = compile_constraint(spec, VOCABULARY)
    for answer in ANSWERS:
        assert constraint.accepts(text_of(answer)) == (answer in accepted), answer


def test_values() -> None:
    call, ping_ = ToolCall.model_validate(CALL), ToolCall.model_validate(PING)
    required = tools([weather, ping])
    assert required.parse(text_of(CALL)) == call
    assert tools([weather], parallel=True).parse(text_of(CALL)) == [call]
    auto = tools([weather, ping], choice="auto")
    assert (auto.parse(text_of(CALL)), auto.parse(text_of(TEXT))) == (call, "It rains.")
    many = tools([weather, ping], choice="auto", parallel=True)
    assert many.parse(text_of([CALL, PING])) == [call, ping_]
    assert many.parse(text_of(TEXT)) == "It rains."
    assert tools([ping], choice="none").parse(text_of(TEXT)) == "It rains."
    assert tools([QUERY]).parse(text_of(SQL_CALL)).input == SQL_CALL["input"]
    for spec in (required, auto, many):
        with pytest.raises(OutputValidationError):
            spec.parse('{"arguments":{}}')


@pytest.mark.parametrize(
    "choice",
    ["rain", named("rain"), {"type": "function"}, {"type": "tool"}, 3, allowed("auto"),
     allowed("never", "ping"), {"type": "allowed_tools"}, {"type": "function", "function": 3}],
)  # fmt: skip
def test_bad_choices_are_refused(choice: Any) -> None:
    with pytest.raises(SpecError):
        tools([weather, ping], choice=choice)


@pytest.mark.parametrize("seed", range(8))
def test_generated_answers_are_in_the_language(seed: int) -> None:
    spec = tools([weather, ping, QUERY, CODE], choice="auto", parallel=True)
    denoiser = RandomDenoiser(seed, max_length=200)
    generator = ctrlgen.Generator(
        ctrlgen.Model(denoiser), spec, steps=3, temperature=1.0, seed=seed
    )
    result = generator.generate("x")
    assert generator.constraint.accepts(result.text)
    calls = result.output if isinstance(result.output, list) else []
    assert isinstance(result.output, str) or calls
    assert all(isinstance(call, ToolCall) for call in calls)


def test_text_under_auto_takes_more_than_one_step() -> None:
    """The fork decides between text and call; what the text says is denoised afterwards."""
    spec = tools([Tool("ping")], choice="auto")
    for seed in range(20):
        denoiser = RandomDenoiser(seed, max_length=80)
        result = ctrlgen.Generator(ctrlgen.Model(denoiser), spec).generate("x")
        if isinstance(result.output, str):
            assert result.usage.forward_passes > 2
            return
    pytest.fail("no seed wrote text")
