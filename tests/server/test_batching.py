"""Many clients at once: one batch, bounded queues, and nobody pays for anybody else."""

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

import ctrlgen
from ctrlgen.testing import RandomDenoiser

from .running import PATIENCE, Address, GatedDenoiser, running, until

CHAT = "/v1/chat/completions"
WISHES: list[dict[str, Any]] = [
    {"structured_outputs": {"regex": "[a-f]{4}"}},
    {"structured_outputs": {"choice": ["red", "blue"]}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}},
    {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required",
     "parallel_tool_calls": False},
]  # fmt: skip
BUSY = {"structured_outputs": {"regex": "[a-f]{4}"}}


def valid(wish: int, answer: dict[str, Any]) -> bool:
    message = answer["choices"][0]["message"]
    match wish:
        case 0:
            return re.fullmatch("[a-f]{4}", message["content"]) is not None
        case 1:
            return message["content"] in ("red", "blue")
        case 2:
            return isinstance(json.loads(message["content"])["a"], int)
    return message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


@pytest.fixture
def gated() -> Iterator[tuple[Address, GatedDenoiser]]:
    denoiser = GatedDenoiser()
    with running(ctrlgen.Model(denoiser), max_batch=3, queue=2, deadline=60.0) as server:
        try:
            yield server, denoiser
        finally:
            denoiser.gate.set()


def ask(server: Address, prompt: str = "x", **wish: Any) -> httpx2.Response:
    return server.post(CHAT, {"messages": [{"role": "user", "content": prompt}], **wish})


def test_different_specs_share_forward_passes(gated: tuple[Address, GatedDenoiser]) -> None:
    server, denoiser = gated
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, server, **WISHES[0])
        until(denoiser.entered.is_set)  # it runs alone, and waits
        others = [pool.submit(ask, server, **wish) for wish in WISHES[1:]]
        until(lambda: server.service.in_flight == 4 and len(server.service.batcher._waiting) == 3)
        denoiser.gate.set()
        answers = [each.result() for each in (first, *others)]
    assert all(answer.status_code == 200 for answer in answers)
    assert all(valid(i, answer.json()) for i, answer in enumerate(answers))
    assert denoiser.batches[0] == 1
    assert max(denoiser.batches) > 1  # of different specs: each was asked for once
    assert max(denoiser.batches) <= 3


def test_a_full_queue_says_so(gated: tuple[Address, GatedDenoiser]) -> None:
    server, denoiser = gated
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask, server, **BUSY) for _ in range(20)]
        until(lambda: sum(each.done() for each in asked) == 15)
        assert server.service.in_flight == 5
        denoiser.gate.set()
        answers = [each.result() for each in asked]
    told = [answer for answer in answers if answer.status_code == 429]
    done = [answer for answer in answers if answer.status_code == 200]
    assert (len(told), len(done)) == (15, 5)
    assert all(answer.headers["retry-after"] == "1" for answer in told)
    assert {answer.json()["error"]["code"] for answer in told} == {"queue_full"}
    assert all(valid(0, answer.json()) for answer in done)
    assert ask(server, **BUSY).status_code == 200
    assert server.service.in_flight == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_work(
    gated: tuple[Address, GatedDenoiser], stream: bool
) -> None:
    server, denoiser = gated
    body = {"messages": [{"role": "user", "content": "x"}], "stream": stream,
            "structured_outputs": {"regex": "[a-f]{60}"}}  # fmt: skip
    with httpx2.Client() as client:
        request = client.build_request("POST", server.url + CHAT, json=body, timeout=PATIENCE)
        if stream:
            answer = client.send(request, stream=True)
            assert answer.status_code == 200
            answer.close()
        else:
            with pytest.raises(httpx2.ReadTimeout):
                client.post(server.url + CHAT, json=body, timeout=0.5)
    until(lambda: server.service.in_flight == 0)
    denoiser.gate.set()
    until(lambda: not server.service.batcher._active)
    assert len(denoiser.batches) <= 1  # the pass that was under way


def test_one_that_leaves_the_queue_never_runs(gated: tuple[Address, GatedDenoiser]) -> None:
    server, denoiser = gated
    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(ask, server, **BUSY) for _ in range(3)]
        until(lambda: server.service.in_flight == 3)
        with pytest.raises(httpx2.ReadTimeout), httpx2.Client(timeout=0.5) as client:
            client.post(server.url + CHAT, json={"messages": [{"role": "user", "content": "!"}],
                                                 **BUSY})  # fmt: skip
        until(lambda: server.service.in_flight == 3)
        denoiser.gate.set()
        assert all(each.result().status_code == 200 for each in busy)  # "!" would have failed


def test_a_job_that_fails_fails_alone(gated: tuple[Address, GatedDenoiser]) -> None:
    server, denoiser = gated
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, server, **BUSY)
        until(denoiser.entered.is_set)
        asked = [pool.submit(ask, server, prompt, **BUSY) for prompt in ("!", "y")]
        until(lambda: len(server.service.batcher._waiting) == 2)
        denoiser.gate.set()
        good, bad, other = [each.result() for each in (first, *asked)]
    assert (good.status_code, bad.status_code, other.status_code) == (200, 500, 200)
    assert bad.json()["error"]["type"] == "server_error"


def test_a_fault_of_ours_does_not_end_the_thread(
    gated: tuple[Address, GatedDenoiser], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, denoiser = gated
    batcher = server.service.batcher
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, server, **BUSY)
        until(denoiser.entered.is_set)
        with monkeypatch.context() as patch:
            patch.setattr(batcher, "_leave", lambda: 1 / 0)
            denoiser.gate.set()
            assert asked.result().status_code == 500
    assert batcher.alive
    assert httpx2.get(f"{server.url}/health").status_code == 200
    assert ask(server, **BUSY).status_code == 200


def test_a_stream_that_fails_says_so(gated: tuple[Address, GatedDenoiser]) -> None:
    server, denoiser = gated
    denoiser.gate.set()
    body = {"messages": [{"role": "user", "content": "!"}], "stream": True, **BUSY}
    lines = server.post(CHAT, body).text.split("\n\n")
    assert json.loads(lines[-2].removeprefix("data: "))["error"]["type"] == "server_error"
    until(lambda: server.service.in_flight == 0)


def test_the_deadline_counts_the_time_in_the_queue(gated: tuple[Address, GatedDenoiser]) -> None:
    server, denoiser = gated
    with ThreadPoolExecutor(5) as pool:
        busy = [pool.submit(ask, server, **BUSY) for _ in range(3)]
        until(lambda: server.service.in_flight == 3)
        late = pool.submit(ask, server, **WISHES[2], deadline=0.2)
        time.sleep(0.4)
        denoiser.gate.set()
        answer = late.result().json()
        assert all(each.result().status_code == 200 for each in busy)
    assert answer["ctrlgen"] == {
        "finish_reason": "deadline", "forward_passes": 0,
        "canvas_tokens": answer["ctrlgen"]["canvas_tokens"],
    }  # fmt: skip
    assert valid(2, answer)


def test_seeds_hold_in_any_company() -> None:
    """What an answer is does not depend on who else is in the batch."""
    with running(ctrlgen.Model(RandomDenoiser()), max_batch=4) as server:
        wish = {"temperature": 1.0, "seed": 5, "structured_outputs": {"regex": "[a-z]{12}"}}
        alone = ask(server, **wish).json()["choices"][0]["message"]["content"]
        with ThreadPoolExecutor(8) as pool:
            crowd = [pool.submit(ask, server, **{**wish, "seed": seed}) for seed in (5, 1, 2, 5, 3)]
            said = [each.result().json()["choices"][0]["message"]["content"] for each in crowd]
    assert said[0] == said[3] == alone
    assert len(set(said)) == 4


def flood(server: Address, count: int) -> dict[int, int]:
    """Statuses of so many requests at once; every answer that is one is valid."""
    counts: dict[int, int] = {}
    lock = threading.Lock()

    def one(i: int) -> None:
        wish = i % len(WISHES)
        body = {"messages": [{"role": "user", "content": "x"}], **WISHES[wish]}
        answer = client.post(server.url + CHAT, json=body)
        if answer.status_code == 200:
            assert valid(wish, answer.json())
        with lock:
            counts[answer.status_code] = counts.get(answer.status_code, 0) + 1

    workers = min(count, 200)
    client = httpx2.Client(limits=httpx2.Limits(max_connections=workers), timeout=240.0)
    with client, ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(count)))
    return counts


def test_a_flood_loses_nobody() -> None:
    with running(ctrlgen.Model(RandomDenoiser()), max_batch=4, queue=8) as server:
        counts = flood(server, 60)
        assert set(counts) <= {200, 429}
        assert counts[200] >= 12
        assert server.service.in_flight == 0
        assert ask(server, **BUSY).status_code == 200


@pytest.mark.slow
def test_a_thousand_on_a_queue_of_64() -> None:
    with running(ctrlgen.Model(RandomDenoiser()), queue=64) as server:
        counts = flood(server, 1000)
        assert set(counts) <= {200, 429}
        assert sum(counts.values()) == 1000
        assert counts[200] >= 64
        assert server.service.in_flight == 0
