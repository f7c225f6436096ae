"""Conversations with calls and results become plain messages."""

from typing import Any

import pytest

from ctrlgen.errors import SpecError
from ctrlgen.tool_call.conversation import instructions, plain
from ctrlgen.tool_call.descriptions import read_tool


def call(key: str, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": key, "type": "function", "function": function}


def test_calls_and_results() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": 'a"b'}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Rain"}, {"text": "?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call("a", "weather", '{"x":1}')]},
        {"role": "tool", "tool_call_id": "a", "content": "dry"},
        {"role": "assistant", "content": "So", "tool_calls": [call("b", "ping", ""), custom]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "[]"}]},
        {"role": "assistant", "content": "No."},
    ]
    assert plain(messages) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": '{"name":"weather","arguments":{"x":1}}'},
        {"role": "user", "content": "weather: dry"},
        {
            "role": "assistant",
            "content": 'So\n[{"name":"ping","arguments":{}},{"name":"sql","input":"a\\"b"}]',
        },
        {"role": "user", "content": "sql: []"},
        {"role": "assistant", "content": "No."},
    ]


@pytest.mark.parametrize(
    "message",
    [
        {"content": "x"},
        {"role": "poet", "content": "x"},
        {"role": "user"},
        {"role": "user", "content": 3},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "a"}]},
    ],
)
def test_what_is_no_message_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        plain([message])


def test_instructions_tell_names_and_parameters() -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return city

    told = instructions([read_tool(weather), read_tool({"type": "custom", "name": "sql"})])
    assert told["role"] == "system"
    assert "weather: Tell the weather. " in told["content"]
    assert '"city"' in told["content"]
    assert "sql: takes a text" in told["content"]
