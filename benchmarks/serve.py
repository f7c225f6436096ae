"""Requests a second, latencies and validity of the server on this machine.

    python benchmarks/serve.py [--n 64] [--clients 16] [--queue 16] [--plot out.png]

Three runs of the same requests (records, tool calls, patterns and choices, so every batch is of
unlike constraints) over the loopback interface: one client after the other, many clients at once,
and more clients than the queue holds, where the answers beyond it are 429. Everything is bounded:
so many requests, so many seconds each.
"""

from __future__ import annotations

import json
import logging
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
import plots
import typer
from jsonschema import Draft202012Validator
from rich.console import Console
from rich.table import Table

import ctrlgen
from ctrlgen.server import Settings
from ctrlgen.server.run import uvicorn_server

SECONDS = 120.0
PLACE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "area": {"enum": ["city centre", "riverside"]},
        "familyFriendly": {"type": "boolean"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "GetWeather", "parameters": WEATHER}}]
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    (
        "Alimentum is a family-friendly place in the city centre.",
        {"response_format": {"type": "json_schema", "json_schema": {"schema": PLACE}}},
    ),
    (
        "What will the weather be in Lisbon?",
        {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False},
    ),
    ("Call 555-123-4567 today.", {"structured_outputs": {"regex": r"\d{3}-\d{3}-\d{4}"}}),
    ("Is rain wet?", {"structured_outputs": {"choice": ["yes", "no"]}}),
]


@dataclass(frozen=True)
class Answered:
    """One request: its status, whether the answer is valid, and how long that took."""

    status: int
    valid: bool
    seconds: float


def is_valid(kind: int, message: dict[str, Any]) -> bool:
    """Whether an answer satisfies what was asked for."""
    match kind:
        case 0:
            return Draft202012Validator(PLACE).is_valid(json.loads(message["content"]))
        case 1:
            (call,) = message["tool_calls"]
            arguments = json.loads(call["function"]["arguments"])
            return Draft202012Validator(WEATHER).is_valid(arguments)
        case 2:
            return re.fullmatch(r"\d{3}-\d{3}-\d{4}", message["content"]) is not None
    return message["content"] in ("yes", "no")


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """A server with the embedded model on a free port."""
    server = uvicorn_server(ctrlgen.load(), settings, "127.0.0.1", 0)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1/chat/completions"
    finally:
        server.should_exit = True
        thread.join()


def ask(client: httpx2.Client, url: str, number: int) -> Answered:
    """One question of the four."""
    kind = number % len(QUESTIONS)
    prompt, wish = QUESTIONS[kind]
    body = {"messages": [{"role": "user", "content": prompt}], **wish}
    started = time.perf_counter()
    answer = client.post(url, json=body, timeout=SECONDS)
    seconds = time.perf_counter() - started
    done = answer.status_code == 200
    valid = done and is_valid(kind, answer.json()["choices"][0]["message"])
    return Answered(answer.status_code, valid, seconds)


def run(url: str, n: int, clients: int) -> tuple[list[Answered], float]:
    """`n` questions by so many clients, and the seconds that all took together."""
    with httpx2.Client(limits=httpx2.Limits(max_connections=clients)) as client:
        started = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(lambda number: ask(client, url, number), range(n)))
        return answers, time.perf_counter() - started


def row(name: str, answers: list[Answered], seconds: float) -> tuple[str, ...]:
    """A line of the table; latencies are those of answers, not of refusals."""
    statuses = Counter(answer.status for answer in answers)
    done = [answer for answer in answers if answer.status == 200]
    times = sorted(1000 * answer.seconds for answer in done)
    cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    return (
        name,
        f"{len(done) / seconds:.1f}",
        f"{cuts[49]:.0f}",
        f"{cuts[98]:.0f}",
        f"{100 * sum(answer.valid for answer in done) / max(1, len(done)):.1f}",
        str(statuses[200]),
        str(statuses[429]),
        str(len(answers) - statuses[200] - statuses[429]),
    )


def panel(runs: dict[str, tuple[list[Answered], float]]) -> plots.Curves:
    """Share of the requests that were answered within so many milliseconds, by run."""
    lines = {
        name: plots.shares([1000 * a.seconds for a in answers if a.status == 200], len(answers))
        for name, (answers, _) in runs.items()
    }
    return plots.Curves(
        "serve", "milliseconds", "% of requests answered", lines, log_x=10, stairs=True
    )


def main(
    n: Annotated[int, typer.Option(min=4, max=5000, help="Requests of a run.")] = 64,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Clients at once.")] = 16,
    queue: Annotated[int, typer.Option(min=1, max=256, help="Requests that may wait.")] = 16,
    batch: Annotated[int, typer.Option(min=1, max=64, help="Requests in a forward pass.")] = 8,
    out: plots.PlotFile = None,
) -> None:
    """Print the table."""
    table = Table(
        "run", "answers/s", "p50 ms", "p99 ms", "valid %", "200", "429", "other", title="serve"
    )
    crowd = 2 * (batch + queue)
    with serving(Settings(max_batch=batch, queue=queue)) as url:
        run(url, len(QUESTIONS), 1)  # compiles the four constraints
        many = min(clients, batch + queue)
        names = {
            "one client": 1,
            f"{many} clients": many,
            f"{crowd} clients, room for {batch + queue}": crowd,
        }
        runs = {name: run(url, n, count) for name, count in names.items()}
    for name, done in runs.items():
        table.add_row(*row(name, *done))
    Console().print(table)
    if out is not None:
        plots.draw([panel(runs)], out)


if __name__ == "__main__":
    typer.run(main)
