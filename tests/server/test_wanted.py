"""What a request wants, without a server: every shape, and what is refused."""

import json
from typing import Any

import pytest

from ctrlgen.server.faults import Fault
from ctrlgen.server.requests import ChatRequest, CompletionRequest, ResponsesRequest, read
from ctrlgen.server.settings import Settings
from ctrlgen.server.wanted import read_wanted

SETTINGS = Settings(max_schema=2000, max_depth=8, max_regex=50, max_grammar=100, max_choices=3)
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
MESSAGES = [{"role": "user", "content": "x"}]
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


def deep(levels: int) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def fault(**fields: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        read_wanted(SETTINGS, **fields)
    return caught.value


def test_nothing_is_free_text() -> None:
    for fields in ({}, {"response_format": {"type": "text"}}, {"offered": []}):
        wanted = read_wanted(SETTINGS, **fields)  # type: ignore[arg-type]
        assert (wanted.spec.kind, wanted.kind, wanted.param) == ("regex", "content", None)


def test_no_tool_choice_is_auto_and_none_is_text() -> None:
    assert read_wanted(SETTINGS, offered=[FUNCTION]).kind == "calls"
    assert read_wanted(SETTINGS, offered=[FUNCTION], tool_choice="none").kind == "content"
    both = read_wanted(
        SETTINGS, offered=[FUNCTION], tool_choice="none", response_format={"type": "json_object"}
    )
    assert both.spec.schema == {"type": "object"}


def test_what_is_described_to_the_model() -> None:
    told = Settings(describe=True)
    form = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    assert '"integer"' in read_wanted(told, response_format=form).told["content"]  # type: ignore[index]
    assert "f:" in read_wanted(told, offered=[FUNCTION]).told["content"]  # type: ignore[index]
    assert read_wanted(SETTINGS, offered=[FUNCTION]).told is None


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"response_format": {"type": "xml"}}, "response_format", "invalid_value"),
        ({"response_format": {}}, "response_format", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "invalid_value"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": deep(20)}}},
            "response_format.json_schema.schema",
            "constraint_too_large",
        ),
        (
            {"structured_outputs": {"json": {"enum": ["x" * 3000]}}},
            "structured_outputs.json",
            "constraint_too_large",
        ),
        ({"structured_outputs": {}}, "structured_outputs", "invalid_value"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs", None),
        ({"structured_outputs": {"xml": "a"}}, "structured_outputs.xml", "unknown_parameter"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json", "invalid_value"),
        ({"structured_outputs": {"json": 3}}, "structured_outputs.json", "invalid_value"),
        ({"structured_outputs": {"json_object": False}}, "structured_outputs.json_object", None),
        ({"structured_outputs": {"regex": 3}}, "structured_outputs.regex", "invalid_value"),
        (
            {"structured_outputs": {"regex": "a" * 51}},
            "structured_outputs.regex",
            "constraint_too_large",
        ),
        (
            {"structured_outputs": {"grammar": "start: A\n" * 20}},
            "structured_outputs.grammar",
            "constraint_too_large",
        ),
        (
            {"structured_outputs": {"grammar": "%import .secret (a)\nstart: a"}},
            "structured_outputs.grammar",
            "invalid_constraint",
        ),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice", "invalid_constraint"),
        ({"structured_outputs": {"choice": [1]}}, "structured_outputs.choice", "invalid_value"),
        (
            {"structured_outputs": {"choice": ["a", "b", "c", "d"]}},
            "structured_outputs.choice",
            "constraint_too_large",
        ),
        (
            {"structured_outputs": {"json": SCHEMA, "whitespace_pattern": " "}},
            "structured_outputs",
            "unsupported_parameter",
        ),
        (
            {"structured_outputs": {"structural_tag": "{"}},
            "structured_outputs.structural_tag",
            None,
        ),
        (
            {"structured_outputs": {"structural_tag": {"format": {"type": "triggered_tags"}}}},
            "structured_outputs.structural_tag.format",
            "unsupported_constraint",
        ),
        ({"offered": [{"type": "web_search"}]}, "tools", "invalid_constraint"),
        ({"offered": [FUNCTION, FUNCTION]}, "tools", "invalid_constraint"),
        ({"offered": [FUNCTION] * 129}, "tools", "constraint_too_large"),
        ({"offered": [FUNCTION], "tool_choice": "g"}, "tool_choice", "invalid_constraint"),
        (
            {"offered": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice",
            "invalid_constraint",
        ),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        (
            {"offered": [FUNCTION], "response_format": {"type": "json_object"}},
            "tools",
            "invalid_value",
        ),
        (
            {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
            "structured_outputs",
            "invalid_value",
        ),
        (
            {"offered": [{"type": "custom", "name": "c", "format": {
                "type": "grammar", "syntax": "lark", "definition": "%import a.b\nstart: b"}}]},
            "tools",
            "invalid_constraint",
        ),
    ],
)  # fmt: skip
def test_refusals(fields: dict[str, Any], param: str, code: str | None) -> None:
    found = fault(**fields)
    assert (found.status, found.param) == (400, param)
    assert found.code == (code or "invalid_value")
    assert str(found)


def test_common_may_be_imported() -> None:
    grammar = "%import common.INT\nstart: INT"
    wanted = read_wanted(SETTINGS, structured_outputs={"grammar": grammar})
    assert wanted.spec.grammar == grammar


def test_structural_tags_nest() -> None:
    inner: Any = {"type": "const_string", "value": "x"}
    for _ in range(30):
        inner = {"type": "sequence", "elements": [inner]}
    tag = json.dumps({"type": "structural_tag", "format": inner})
    with pytest.raises(Fault, match="too many formats"):
        read_wanted(Settings(max_depth=200), structured_outputs={"structural_tag": tag})


@pytest.mark.parametrize(
    ("field", "value", "status", "says"),
    [
        ("messages", [], 400, "messages"),
        ("messages", "x", 400, "messages"),
        ("messages", [3], 400, "messages.0"),
        ("stream", "yes", 400, "stream"),
        ("temperature", -1, 400, "temperature"),
        ("temperature", "hot", 400, "temperature"),
        ("max_tokens", 0, 400, "max_tokens"),
        ("max_tokens", 1.5, 400, "max_tokens"),
        ("seed", -1, 400, "seed"),
        ("steps", 0, 400, "steps"),
        ("tools", {}, 400, "tools"),
        ("tool_choice", 3, 400, "tool_choice"),
        ("stream_options", {"include_everything": True}, 400, "include_everything"),
        ("n", 2, 400, "n other than 1"),
        ("top_p", 0.9, 400, "top_p other than 1"),
        ("stop", ["x"], 400, "stop other than"),
        ("logprobs", True, 400, "logprobs other than False"),
        ("logprobs", 0, 400, "logprobs other than False"),
        ("guided_json", {}, 400, "structured_outputs.json"),
        ("guided_regex", None, 400, "structured_outputs.regex"),
        ("guided_choice", ["a"], 400, "structured_outputs.choice"),
        ("guided_grammar", "a", 400, "structured_outputs.grammar"),
        ("regex", "a", 400, "structured_outputs.regex"),
        ("json_schema", {}, 400, "response_format.json_schema"),
        ("format", {}, 400, "response_format"),
        ("functions", [], 400, "'tools'"),
        ("function_call", "auto", 400, "'tool_choice'"),
        ("temprature", 1, 400, "no field 'temprature'"),
        ("model", "other", 404, "'other' does not exist"),
    ],
)
def test_fields_of_requests(field: str, value: Any, status: int, says: str) -> None:
    with pytest.raises(Fault) as caught:
        read(ChatRequest, {"messages": MESSAGES, field: value}, "ctrlgen")
    assert caught.value.status == status
    assert says in str(caught.value)


def test_fields_that_ask_for_nothing_are_taken() -> None:
    neutral = {"n": 1, "top_p": 1.0, "presence_penalty": 0, "frequency_penalty": 0.0,
               "logprobs": False, "stop": None, "user": "me", "metadata": {"a": "b"}}  # fmt: skip
    asked = read(ChatRequest, {"messages": MESSAGES, "model": "ctrlgen", **neutral}, "ctrlgen")
    assert asked.messages == MESSAGES
    read(CompletionRequest, {"prompt": "x", "echo": False, "best_of": 1}, "ctrlgen")
    read(ResponsesRequest, {"input": "x", "truncation": "disabled", "store": True}, "ctrlgen")


def test_settings_are_positive() -> None:
    for wrong in ({"queue": 0}, {"deadline": -1}, {"api_key": ""}, {"api_key": "é"}):
        with pytest.raises(ValueError, match=r"must|ASCII"):
            Settings(**wrong)  # type: ignore[arg-type]
    assert "secret" not in repr(Settings(api_key="secret"))


@pytest.mark.parametrize("key", ["json", "structural_tag"])
def test_texts_at_the_limit_of_recursion(key: str) -> None:
    """Where the parser just manages what the writer does not, too."""
    wide = Settings()
    for levels in range(850, 1010):
        nested = "[" * levels + "]" * levels
        text = f'{{"type": "structural_tag", "format": {nested}}}'
        with pytest.raises(Fault) as caught:
            read_wanted(wide, structured_outputs={key: text})
        assert caught.value.status == 400


def test_a_schema_in_a_text_in_a_text_is_bounded_too() -> None:
    twice = json.dumps(json.dumps(SCHEMA))
    assert read_wanted(SETTINGS, structured_outputs={"json": twice}).spec.schema == SCHEMA
    assert fault(structured_outputs={"json": json.dumps(json.dumps(deep(9)))}).code == (
        "constraint_too_large"
    )
    for text in ("[1]", "3", "null", '"x"'):
        assert fault(structured_outputs={"json": text}).code == "invalid_value"
