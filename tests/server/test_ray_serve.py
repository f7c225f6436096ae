"""The server on Ray Serve answers as it does alone, from two replicas, also when one is killed."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx2
import pytest

import ctrlgen
from ctrlgen.errors import ModelError
from ctrlgen.server import Settings

from .running import running, until

pytestmark = pytest.mark.slow

TEXT = "Alimentum serves French food by the riverside."
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "food": {"type": ["string", "null"]}},
    "required": ["name", "food"],
}
JSON = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "GetWeather", "parameters": SCHEMA}}
ASKED = {"model": "ctrlgen", "messages": [{"role": "user", "content": TEXT}]}
STREAM = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
CHAT = "/v1/chat/completions"
REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/none", None),
    ("GET", "/nothing", None),
    ("GET", "/health", None),
    ("POST", CHAT, {**ASKED, "response_format": JSON}),
    ("POST", CHAT, {**ASKED, "tools": [TOOL], "tool_choice": "required"}),
    ("POST", CHAT, {**ASKED, "structured_outputs": {"regex": "[a-z]{3,5}"}, "steps": 1}),
    ("POST", CHAT, {**ASKED, "structured_outputs": {"choice": ["a", "b"]}, "temperature": 1,
                    "seed": 5}),
    ("POST", CHAT, {**STREAM, "response_format": JSON}),
    ("POST", CHAT, {**STREAM, "tools": [TOOL], "tool_choice": "required"}),
    ("POST", "/v1/completions", {"model": "ctrlgen", "prompt": TEXT, "steps": 2, "max_tokens": 30,
                                 "structured_outputs": {"json": SCHEMA}}),
    ("POST", "/v1/responses", {"model": "ctrlgen", "input": TEXT,
                               "text": {"format": {"type": "json_schema", "name": "place",
                                                   "schema": SCHEMA}}}),
    ("POST", "/v1/responses", {"model": "ctrlgen", "input": TEXT, "stream": True,
                               "text": {"format": {"type": "json_schema", "name": "place",
                                                   "schema": SCHEMA}}}),
    ("POST", CHAT, {**ASKED, "guided_json": SCHEMA}),
    ("POST", CHAT, {**ASKED, "response_format": {"type": "json_schema"}}),
    ("POST", CHAT, {**ASKED, "structured_outputs": {"regex": "("}}),
    ("POST", CHAT, {**ASKED, "deadline": 1e9}),
    ("POST", CHAT, b"{nonsense"),
    ("POST", CHAT, b"\xff"),
    ("POST", CHAT, b"x" * (3 << 20)),
]  # fmt: skip


@pytest.fixture(scope="module")
def replicas() -> Iterator[str]:
    pytest.importorskip("ray.serve")
    from ctrlgen.server.ray import Replicas, deploy

    port = free_port()
    ended = deploy(partial(ctrlgen.load, None), Settings(), Replicas(2), port=port)
    yield f"http://127.0.0.1:{port}"
    ended()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(url: str, method: str, path: str, body: Any) -> tuple[int, str, str | None]:
    sent = {"content": body} if isinstance(body, bytes) else {"json": body} if body else {}
    response = httpx2.request(method, url + path, timeout=120, **sent)
    text = re.sub(r'"(created|created_at)": ?\d+', r'"\1":0', response.text)
    text = re.sub(r"(chatcmpl|cmpl|resp|msg|call|fc)[-_][0-9a-f]{16,}", r"\1", text)
    return response.status_code, text, response.headers.get("content-type")


def test_every_answer_is_that_of_the_server_alone(replicas: str) -> None:
    with running(ctrlgen.load()) as alone:
        for request in REQUESTS:
            assert ask(replicas, *request) == ask(alone.url, *request), request[:2]


def test_many_at_once_and_a_replica_that_dies(replicas: str) -> None:
    import ray

    request = ("POST", CHAT, {**ASKED, "response_format": JSON})
    expected = ask(replicas, *request)
    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(lambda _: ask(replicas, *request), range(48))) == {expected}
    names = [n["name"] for n in ray.util.list_named_actors(all_namespaces=True)]
    actors = [name for name in names if name.startswith("SERVE_REPLICA::ctrlgen")]
    assert len(actors) == 2
    ray.kill(ray.get_actor(actors[0], namespace="serve"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ask(replicas, *request), range(24)))
    # What was under way in the dead one is an error that clients try again; nothing is wrong.
    assert {answer for answer in found if answer[0] == 200} == {expected}
    assert sum(answer[0] == 200 for answer in found) >= 12
    until(lambda: ask(replicas, *request) == expected)


def test_a_client_that_goes_away_stops_the_work(replicas: str) -> None:
    body = {**ASKED, "structured_outputs": {"regex": "[a-z ]{700}"}, "stream": True}
    with httpx2.stream("POST", replicas + CHAT, json=body, timeout=60) as stream:
        next(stream.iter_lines())
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        pages = [httpx2.get(replicas + "/metrics", timeout=60).text for _ in range(6)]
        gauges = [re.findall(r"^ctrlgen_running (\S+)", page, re.MULTILINE) for page in pages]
        running_now = [float(value) for found in gauges for value in found]
        assert running_now
        if not any(running_now):
            return
    pytest.fail("somebody still works for nobody")


def no_model() -> ctrlgen.Model:
    raise ModelError("there is no such checkpoint")


def test_a_model_that_does_not_load_is_told() -> None:
    pytest.importorskip("ray.serve")
    from ctrlgen.server.ray import Replicas, deploy

    with pytest.raises(ModelError, match="no replica started"):
        deploy(no_model, Settings(), Replicas(), port=free_port())


def test_a_range_of_replicas() -> None:
    from ctrlgen.server.ray import Replicas

    with pytest.raises(ValueError, match="no range"):
        Replicas(3, 2)
