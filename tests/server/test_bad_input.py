"""Whatever a client sends: the right status, the right body, and the server lives on."""

import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from ctrlgen.errors import CtrlgenError, OptionError, PromptError
from ctrlgen.server.faults import of_error
from ctrlgen.testing import RandomDenoiser

from .running import PATIENCE, Address, running, until

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "x"}]


@pytest.fixture(autouse=True)
def alive(server: Address) -> Iterator[None]:
    """After every test the server still answers."""
    yield
    answer = server.chat(structured_outputs={"choice": ["yes", "no"]})
    assert answer.status_code == 200
    assert server.service.in_flight == 0


def refused(answer: httpx2.Response, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}', "not JSON"),
        (b'{"messages": ["\xed\xa0\x80"]}', "not JSON"),
        (b'{"temperature": NaN}', "not JSON"),
        (b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion limit"),
        (b'{"tools": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "recursion limit"),
        (b"{}", "messages"),
        (b'{"messages": {"role": "user"}}', "messages"),
        (b'{"messages": [{"role": "user", "content": 3}]}', "message 0"),
        (b'{"messages": [{"role": "king", "content": "x"}]}', "king"),
    ],
)
@pytest.mark.parametrize("path", [CHAT])
def test_bodies(server: Address, path: str, raw: bytes, says: str) -> None:
    error = refused(server.post(path, content=raw))
    assert says in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"prompt": ["a", "b"]}, "prompt"),
        ("/v1/completions", {"prompt": [1, 2]}, "prompt"),
        ("/v1/completions", {"messages": MESSAGES}, "prompt"),
        ("/v1/responses", {"input": 3}, "input"),
        ("/v1/responses", {"input": [{"type": "image"}]}, "input"),
        ("/v1/responses", {"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        (
            "/v1/responses",
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input",
        ),
    ],
)
def test_other_routes(server: Address, path: str, body: dict[str, Any], param: str) -> None:
    assert refused(server.post(path, body))["param"] == param


def test_routes_and_methods(server: Address) -> None:
    assert f"GET {CHAT}" in refused(httpx2.get(server.url + CHAT), 405)["message"]
    unknown = refused(server.post("/v1/embeddings", {"input": "x"}), 404)
    assert "POST /v1/embeddings" in unknown["message"]


@pytest.mark.parametrize(
    ("constraint", "says"),
    [
        ({"json": {"type": "nothing"}}, "/type"),
        ({"json": {"$ref": "http://127.0.0.1:9/schema.json"}}, "http://127.0.0.1:9/schema.json"),
        ({"json": {"$ref": "file:///etc/passwd"}}, "file:///etc/passwd"),
        ({"json": {"$ref": "/etc/passwd"}}, "/etc/passwd"),
        ({"json": {"type": "integer", "minimum": 3, "maximum": 2}}, "no value"),
        ({"json": {"$ref": "#"}}, ""),
        (
            {"json": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}},
            "no value",
        ),
        ({"regex": "(a"}, "missing )"),
        ({"regex": r"(a)\1"}, "position"),
        ({"regex": "a{1000}{1000}{1000}"}, ""),
        ({"regex": "(?=" * 200 + ")" * 200}, ""),
        ({"grammar": "start: start"}, "no finite word"),
        ({"grammar": 'start: "(" start ")"'}, "no finite word"),
        ({"grammar": 'start: a\na: b "x"\nb: a "y"'}, "no finite word"),
        ({"grammar": "start: missing"}, "missing"),
        ({"grammar": "not a grammar"}, ""),
        ({"grammar": "start: " + "(" * 5000 + '"a"' + ")" * 5000}, ""),
        ({"json": {"enum": []}}, ""),
    ],
)
def test_constraints(server: Address, constraint: dict[str, Any], says: str) -> None:
    error = refused(server.chat(structured_outputs=constraint))
    assert says in error["message"]
    assert error["param"].startswith("structured_outputs")


def test_a_schema_opens_no_connection(server: Address) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.json"
        for schema in (
            {"$ref": url},
            {"$schema": url},
            {"$id": url},
            {"$dynamicRef": url},
            {"allOf": [{"$id": url}, {"$ref": "y.json"}]},
        ):
            server.chat(structured_outputs={"json": schema | {"maxLength": 3}}, deadline=0.2)
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "constraint",
    [
        {"regex": "(a|aa)+" * 100},
        {"regex": "(a|a)*" * 20 + "b"},
        {"regex": "((a+)+)+b{1,200}"},
        {"regex": "(.*a){25}(.*b){25}"},
        {"regex": "(?!.*(ab|ba|cd).*(x|y).*z)[a-z]{5,90}"},
        {"json": {"allOf": [{"not": {"pattern": f"{a}.{{20}}{a}"}} for a in "abcdef"]}},
        {"json": {"type": "array", "minItems": 10**9}},
        {"json": {"type": "object", "minProperties": 10**6}},
        {
            "json": {
                "anyOf": [{"properties": {f"k{i}{j}": {} for j in range(40)}} for i in range(40)]
            }
        },
        {"json": {"items": {"multipleOf": 1e-9, "minimum": 1e-9, "maximum": 1e12}}},
    ],
)
def test_catastrophic_constraints_end(server: Address, constraint: dict[str, Any]) -> None:
    """Answered or refused, but within the limits of time."""
    started = time.monotonic()
    answer = server.chat(structured_outputs=constraint, deadline=2.0, max_tokens=100)
    assert time.monotonic() - started < PATIENCE
    if answer.status_code != 200:
        assert refused(answer)["code"] in (
            "invalid_constraint", "constraint_too_large", "canvas_too_small",
            "context_length_exceeded",
        )  # fmt: skip


def test_a_body_that_is_too_large(server: Address) -> None:
    schema = {"type": "string", "description": "x" * 10_000_000}
    error = refused(server.chat(structured_outputs={"json": schema}), 413)
    assert error["code"] == "request_too_large"


def test_a_schema_that_is_too_large(server: Address) -> None:
    schema = {"type": "string", "description": "x" * 1_000_000}
    error = refused(server.chat(structured_outputs={"json": schema}))
    assert error["code"] == "constraint_too_large"


def test_a_prompt_that_is_too_long(server: Address) -> None:
    messages = [{"role": "user", "content": "word " * 50_000}]
    body = {"messages": messages, "structured_outputs": {"choice": ["a"]}}
    assert refused(server.post(CHAT, body))["code"] == "context_length_exceeded"


def test_a_canvas_that_is_too_small(server: Address) -> None:
    error = refused(server.chat(structured_outputs={"regex": "[a-c]{400}"}, max_tokens=3))
    assert (error["param"], error["code"]) == ("max_tokens", "canvas_too_small")
    assert "needs 400 tokens" in error["message"]
    assert "max_new_tokens" not in error["message"]  # a name of Python's, not of a request's


@pytest.mark.parametrize("error", [PromptError("no prompt"), OptionError("no option")])
def test_what_a_client_asks_for_wrongly_is_its_own_fault(error: CtrlgenError) -> None:
    assert (of_error(error).status, of_error(error).code) == (400, "invalid_value")


def test_more_than_the_limits(server: Address) -> None:
    assert refused(server.chat(deadline=1e6))["param"] == "deadline"
    assert refused(server.chat(steps=10**6))["param"] == "steps"


def raw_exchange(server: Address, *parts: bytes, pause: float = 0.3) -> bytes:
    """Send pieces with pauses; what comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            return b""
        got = b""
        try:
            while piece := connection.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
        return got


def test_a_client_that_says_nothing_is_cut_off(server: Address) -> None:
    assert raw_exchange(server) == b""


def test_a_slow_head_is_cut_off(server: Address) -> None:
    line = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
    assert (
        raw_exchange(server, line, b"X-A: b\r\n", b"X-B: c\r\n", b"X-C: d\r\n", b"X: y\r\n") == b""
    )


def test_a_slow_body_is_refused(server: Address) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"
    got = raw_exchange(server, head, *[b'{"messages": '] * 2, pause=0.1)
    assert got.startswith(b"HTTP/1.1 408")
    assert b"did not arrive within" in got


def hung_up(server: Address) -> float:
    """How many clients the server has seen hang up."""
    page = httpx2.get(f"{server.url}/metrics").text
    found = re.findall(r'ctrlgen_requests_total\{.*status="499"\} (\S+)', page)
    return sum(float(count) for count in found)


def test_a_client_that_hangs_up_in_its_body(server: Address) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"
    before = hung_up(server)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head)
    until(lambda: hung_up(server) > before)
    assert hung_up(server) == before + 1


def test_a_broken_head_is_refused(server: Address) -> None:
    assert raw_exchange(server, b"\x00\xff nonsense\r\n\r\n", pause=0).startswith(b"HTTP/1.1 400")


def test_the_key() -> None:
    import ctrlgen

    with running(ctrlgen.Model(RandomDenoiser()), api_key="sesame") as closed:
        wish = {"structured_outputs": {"choice": ["yes"]}}
        for headers in (
            {},
            {"Authorization": "Bearer open"},
            {"Authorization": "sesame"},
            {"Authorization": "Bearer sesamE"},
            {"Authorization": b"Bearer \xff"},
        ):
            answer = closed.post(CHAT, {"messages": MESSAGES, **wish}, headers=headers)
            assert refused(answer, 401)["type"] == "authentication_error"
        refused(httpx2.get(f"{closed.url}/v1/models"), 401)
        right = {"Authorization": "Bearer sesame"}
        answer = closed.post(CHAT, {"messages": MESSAGES, **wish}, headers=right)
        assert json.loads(answer.content)["choices"][0]["message"]["content"] == "yes"
        assert httpx2.get(f"{closed.url}/health").status_code == 200
