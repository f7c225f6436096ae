"""Two rules of committing on outputs of many shapes: the learned one against the threshold.

    python benchmarks/commits.py --data DIR [--n 150] [--sources snips,sgd,...]
        [--results FILE [--seconds 600]]    stop after a while, and go on later

The commit policy of the embedded model was trained on SNIPS, SGD and E2E at temperature 0. Here are
held-out parts of these, and what it never saw: draws at temperature 0.7, calls of BFCL, agents that
may also answer in text, regular expressions, grammars, lists of records, and records with numbers,
booleans, lists and records in them. All have a gold answer, of which few are
found of BFCL's.

`right` is exact match, but of records and nested the F1 of values in their places. Differences are
paired, with 95 % bootstrap intervals over questions. `alike` is the share of questions that both
rules answer alike, letter by letter; `ms a decision` the time of the rule itself, a pass.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import agents
import numpy as np
import typer
from extraction import Compiled, questions
from resumable import Results
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ctrlgen
from ctrlgen.schedulers import Proposal, Scheduler, Threshold, TraceLock, tracelock
from ctrlgen.schedulers.base import Mask
from ctrlgen.schedulers.perceptron import load_policy
from ctrlgen.training import rewards, tasks

import policy_tasks  # isort: skip
from embedded.typed import SHAPES  # isort: skip

RULES: dict[str, Scheduler] = {"threshold": Threshold(0.9), "TraceLock": TraceLock(0.9)}
FEATURES = len(tracelock.FEATURES)
SCHEMAS = Path(__file__).parents[1] / "schemas"
CORPORA = ("snips", "sgd", "e2e", "snips drawn", "bfcl", "agent sgd", "agent bfcl")
MOST_TOKENS, DRAWS = 256, 2_000

KINDS = {
    dict: "object",
    list: "array",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
}

Reply = tuple[str, float, int]
"""An answer, how right it is, and its forward passes."""
Ask = Callable[[Scheduler], Reply]


@dataclass
class Timed(Scheduler):
    """A rule with the time that it takes to decide.

    Args:
        rule: What decides.
        seconds: Of all decisions.
    """

    rule: Scheduler
    seconds: float = 0.0

    def select(self, proposal: Proposal) -> Mask:
        """What the rule selects."""
        started = time.perf_counter()
        chosen = self.rule.select(proposal)
        self.seconds += time.perf_counter() - started
        return chosen


def asks(model: ctrlgen.Model, data: Path, source: str, n: int) -> list[Ask]:
    """Questions of a source, each to be answered by a rule."""
    if source.startswith("agent "):
        return _of_agents(model, data, source.removeprefix("agent "), n)
    if source in SHAPES:
        return _synthetic(model, data, source, n)
    compiled = Compiled(model)
    warmth = {"temperature": 0.7, "seed": 0} if source.endswith(" drawn") else {}

    def ask(rule: Scheduler, question: Any) -> Reply:
        result = compiled(question).generate(question.messages, scheduler=rule, **warmth)
        return result.text, question.right(json.loads(result.text)), result.usage.forward_passes

    return [lambda rule, q=q: ask(rule, q) for q in questions(data, source.split()[0], n)]


def _of_agents(model: ctrlgen.Model, data: Path, source: str, n: int) -> list[Ask]:
    """As many questions that want a call as such that want text, if there are."""
    kinds = {"sgd": agents.sgd, "bfcl": agents.bfcl}[source](data, n // 2)

    def ask(rule: Scheduler, question: agents.Question) -> Reply:
        answer, passes = agents.ask(model, question, "auto", source == "bfcl", scheduler=rule)
        return repr(answer), agents.judged(question, answer)["exact"], passes

    return [lambda rule, q=q: ask(rule, q) for q in kinds["call"] + kinds["text"]]


def _synthetic(model: ctrlgen.Model, data: Path, shape: str, n: int) -> list[Ask]:
    known: dict[str, ctrlgen.Generator] = {}

    def ask(rule: Scheduler, row: dict[str, Any]) -> Reply:
        (kind,) = ({k: row[k]} for k in tasks.KINDS if k in row)
        key = json.dumps(kind)
        if key not in known:
            ((name, value),) = kind.items()
            known[key] = ctrlgen.Generator(model, tasks.KINDS[name](value))
        result = known[key].generate(row["prompt"], scheduler=rule, max_new_tokens=MOST_TOKENS)
        judge = rewards.field_f1 if "schema" in row else rewards.exact
        return result.text, judge(result.text, row["gold"]), result.usage.forward_passes

    rows = policy_tasks.synthetic_rows(data, shape, n, test=True, seed=0)
    return [lambda rule, row=row: ask(rule, row) for row in rows]


def compare(source: str, made: list[Ask], results: Results) -> None:
    """Answer all questions by both rules, while there is time."""
    rows = [{"id": f"{source}/{i}", "ask": i} for i in range(len(made))]
    todo = list(results.missing(rows))
    bar = track(todo, source, console=Console(stderr=True), transient=True)
    for row in results.missing(bar):
        i, found = row["ask"], dict[str, Any]()
        for name in sorted(RULES, reverse=i % 2 == 1):
            timed = Timed(RULES[name])
            try:
                text, right, passes = made[i](timed)
            except ctrlgen.CtrlgenError:  # longer than the model's context
                break
            found[name] = {
                "text": text,
                "right": right,
                "passes": passes,
                "ms": 1000 * timed.seconds,
            }
        results.add({"id": row["id"], **found})


def report(source: str, rows: list[dict[str, Any]], table: Table) -> None:
    """A row of the table."""
    rows = [row for row in rows if len(row) == 1 + len(RULES)]
    if not rows:
        return
    old, new = ({k: np.array([row[name][k] for row in rows], dtype=float)
                 for k in ("right", "passes", "ms")} for name in RULES)  # fmt: skip
    alike = np.mean([len({row[name]["text"] for name in RULES}) == 1 for row in rows])
    took = [side["ms"].sum() / side["passes"].sum() for side in (old, new)]
    table.add_row(
        source, str(len(rows)), f"{100 * old['right'].mean():.1f}",
        interval(100 * (new["right"] - old["right"])), f"{100 * alike:.0f}",
        f"{old['passes'].mean():.2f}", interval(new["passes"] - old["passes"]),
        f"{took[0]:.2f}", f"{took[1]:.2f}",
    )  # fmt: skip


def interval(values: Any) -> str:
    """Mean and 95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{values.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    n: int = 150,
    model: Annotated[str | None, typer.Option(help="Checkpoint; embedded by default.")] = None,
    sources: str = ",".join(CORPORA + SHAPES),
    kept: Annotated[
        Path | None, typer.Option("--results", help="JSON lines to go on with.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to go on; 0: to the end.")] = 0,
    policy: Annotated[
        Path | None, typer.Option(help="Commit policy; default: the shipped.")
    ] = None,
) -> None:
    """Print what changes where TraceLock decides instead of the threshold."""
    loaded, results = ctrlgen.load(model), Results(kept, seconds)
    if policy is not None:
        RULES["TraceLock"] = TraceLock(0.9, load_policy(policy, FEATURES))
    table = Table(
        "data", "n", "right %", "TraceLock", "alike %", "forwards", "TraceLock", "ms a decision",
        "TraceLock",
    )  # fmt: skip
    for source in sources.split(","):
        ids = [{"id": f"{source}/{i}"} for i in range(n)]
        if next(results.missing(ids), None) is not None:
            compare(source, asks(loaded, data, source, n), results)
        report(source, results.of(ids), table)
    Console(width=160).print(table)


if __name__ == "__main__":
    typer.run(main)
