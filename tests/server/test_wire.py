"""What goes over the wire, byte for byte where clients depend on it."""

import json
from typing import Any

import httpx2
import pytest

from .running import PATIENCE, Address

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
LARK = {"syntax": "lark", "definition": 'start: "a" start | "\\"" | "\\n"'}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
    {"type": "custom", "custom": {"name": "code", "format": {"type": "grammar", "grammar": LARK}}},
]


def events(server: Address, path: str = "/v1/chat/completions", **fields: Any) -> list[Any]:
    """All events of a stream, checked for their form."""
    body = {"stream": True, **fields}
    if path.endswith("chat/completions"):
        body["messages"] = [{"role": "user", "content": "Oslo"}]
    found: list[Any] = []
    with httpx2.stream("POST", server.url + path, json=body, timeout=PATIENCE) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]) if line != "data: [DONE]" else None)
            else:
                assert not line or line.startswith("event: ")
    return found


def test_chunks_of_an_object(server: Address) -> None:
    *chunks, last = events(server, response_format=FORMAT)
    assert last is None
    assert len({(chunk["id"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[1] == {"content": '{"name":'}  # before the first forward pass
    assert deltas[-1] == {}
    assert all(set(delta) == {"content"} for delta in deltas[1:-1])
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert set(json.loads("".join(delta.get("content", "") for delta in deltas))) == {"name", "age"}
    assert not any("canvas" in chunk or "usage" in chunk for chunk in chunks)


def test_usage_and_canvas_are_sent_when_asked_for(server: Address) -> None:
    options = {"include_usage": True, "include_canvas": True}
    *chunks, usage, last = events(server, response_format=FORMAT, stream_options=options)
    assert last is None
    assert (usage["choices"], usage["usage"]["total_tokens"] > 0) == ([], True)
    assert all(chunk["usage"] is None for chunk in chunks)
    canvases = [chunk["canvas"] for chunk in chunks if "canvas" in chunk]
    assert [canvas["forward_passes"] for canvas in canvases] == sorted(
        canvas["forward_passes"] for canvas in canvases
    )
    states = [{state for _, state, _ in canvas["cells"]} for canvas in canvases]
    assert "open" in states[0]
    assert "open" not in states[-1]


@pytest.mark.parametrize("name", ["weather", "code"])
def test_chunks_of_a_call(server: Address, name: str) -> None:
    kind, body = ("function", "arguments") if name == "weather" else ("custom", "input")
    *chunks, _ = events(server, tools=TOOLS, tool_choice={"type": kind, kind: {"name": name}})
    first, *rest = [
        delta["tool_calls"][0]
        for chunk in chunks
        if "tool_calls" in (delta := chunk["choices"][0]["delta"])
    ]
    assert first.pop("id").startswith("call_")
    assert first == {"index": 0, "type": kind, kind: {"name": name, body: ""}}
    assert all(set(piece) == {"index", kind} and set(piece[kind]) == {body} for piece in rest)
    text = "".join(piece[kind][body] for piece in rest)
    if kind == "function":
        assert set(json.loads(text)) == {"name", "age"}
    else:
        assert text.rstrip('"\n') == "a" * (len(text) - 1)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_custom_call_without_a_stream(server: Address) -> None:
    wish = {"type": "custom", "custom": {"name": "code"}}
    message = server.chat(tools=TOOLS, tool_choice=wish).json()["choices"][0]["message"]
    (call,) = message["tool_calls"]
    assert (message["content"], call["type"], call["custom"]["name"]) == (None, "custom", "code")
    assert call["custom"]["input"][-1] in '"\n'


def test_events_of_responses_have_names(server: Address) -> None:
    custom = [{"type": "custom", "name": "code", "format": {"type": "grammar", **LARK}}]
    found = events(server, "/v1/responses", input="x", tools=custom, tool_choice="required",
                   parallel_tool_calls=False)  # fmt: skip
    kinds = [event["type"] for event in found]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-3:] == [
        "response.custom_tool_call_input.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    (item,) = found[-1]["response"]["output"]
    assert item["type"] == "custom_tool_call"
    assert item["input"] == found[-3]["input"]


@pytest.mark.parametrize(
    ("structured", "check"),
    [
        ({"json": SCHEMA}, lambda text: set(json.loads(text)) == {"name", "age"}),
        ({"json": json.dumps(SCHEMA)}, lambda text: set(json.loads(text)) == {"name", "age"}),
        ({"json_object": True}, lambda text: isinstance(json.loads(text), dict)),
        ({"regex": r"\d{3}-\d{2}"}, lambda text: text[3] == "-" and len(text) == 6),
        ({"choice": ["red", "blue"]}, lambda text: text in ("red", "blue")),
        ({"grammar": 'start: "x" | "(" start ")"'}, lambda text: text.strip("()") == "x"),
        ({"grammar": 'root ::= "x" | "(" root ")"'}, lambda text: text.strip("()") == "x"),
        (
            {"structural_tag": {"type": "structural_tag", "format": {
                "type": "tag", "begin": "<f>", "content": {
                    "type": "json_schema", "json_schema": SCHEMA}, "end": "</f>"}}},
            lambda text: set(json.loads(text[3:-4])) == {"name", "age"},
        ),
    ],
)  # fmt: skip
def test_structured_outputs(server: Address, structured: dict[str, Any], check: Any) -> None:
    answer = server.chat(structured_outputs=structured, max_tokens=60)
    assert answer.status_code == 200, answer.text
    assert check(answer.json()["choices"][0]["message"]["content"])


def test_a_budget_gives_a_valid_answer(server: Address) -> None:
    for wish, reasons in (({"deadline": 0}, ["deadline"]), ({"steps": 1}, ["steps", "stop"])):
        answer = server.chat(response_format=FORMAT, **wish).json()
        assert answer["ctrlgen"]["finish_reason"] in reasons
        assert answer["ctrlgen"]["forward_passes"] <= 1
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert set(json.loads(answer["choices"][0]["message"]["content"])) == {"name", "age"}


def test_health_and_metrics(server: Address) -> None:
    assert httpx2.get(f"{server.url}/health").json() == {"status": "ok"}
    server.chat(response_format=FORMAT)
    page = httpx2.get(f"{server.url}/metrics").text
    assert 'ctrlgen_requests_total{route="/v1/chat/completions",status="200"}' in page
    assert "ctrlgen_batch_size_bucket" in page
    assert "ctrlgen_running 0.0" in page
