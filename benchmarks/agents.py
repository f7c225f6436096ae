"""Whether an agent's next step is right: a call or text, which tool, with what.

    python benchmarks/agents.py --data DIR [--n 100] [--plot out.png]

SGD dev: a conversation and the tools of its service; gold is the call that follows, or text where
the system still asks. BFCL dev: a question and its functions; gold is text, a call, or several
calls. The embedded model was trained on neither of them: SGD's services are partly, BFCL's
functions wholly unseen. Every tool choice is asked the same questions.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import plots
import typer
from jsonschema import Draft202012Validator
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ctrlgen
from ctrlgen.tool_call.descriptions import read_tool

MOST_TOKENS, MOST_FORWARDS = 256, 48
Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """A conversation, the tools on offer, and the calls that should follow.

    Args:
        messages: The conversation.
        tools: As the data has them.
        calls: How many calls are right; 0: text.
        names: The tools that are called, sorted.
        right: Judges all arguments of calls of the right tools.
    """

    messages: list[dict[str, str]]
    tools: list[dict[str, Any]]
    calls: int
    names: list[str]
    right: Callable[[list[Call]], bool]


@dataclass
class Tally:
    """What came of the questions of one row."""

    count: int = 0
    answers: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    forwards: int = 0

    def note(self, found: dict[str, bool], forwards: int) -> None:
        """One more question."""
        self.count += 1
        self.forwards += forwards
        for name, yes in found.items():
            self.answers[name] += yes

    def share(self, name: str) -> float:
        """Share of all questions, in per cent."""
        return 100 * self.answers[name] / max(1, self.count)


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def sgd(folder: Path, n: int) -> dict[str, list[Question]]:
    """Conversations before a call, and as many before a question of the system."""
    rows = _rows(folder / "sgd-dev.jsonl.gz")
    services = json.loads((folder / "sgd-dev-tools.json").read_text(encoding="utf-8"))
    taken = {row["id"] for row in rows}
    calls, texts = [], []
    for row in rows:
        tools, (name, arguments) = services[row["service"]], row["call"].values()
        gold = (name, arguments)
        calls.append(Question(row["messages"], tools, 1, [name], lambda c, g=gold: c == [g]))
        dialogue, turn = row["id"].rsplit("-", 1)
        if int(turn) != len(row["messages"]):
            continue  # the beginning is cut off, so turns are not known
        for length in range(1, len(row["messages"]), 2):
            if f"{dialogue}-{length}" not in taken:
                texts.append(Question(row["messages"][:length], tools, 0, [], lambda _: True))
                taken.add(f"{dialogue}-{length}")
    rng = random.Random(0)
    return {"call": rng.sample(calls, n), "text": rng.sample(texts, n)}


def bfcl(folder: Path, n: int) -> dict[str, list[Question]]:
    """Questions that want text, one call of one or several functions, or several calls."""
    kinds = defaultdict(list)
    for row in _rows(folder / "bfcl-dev.jsonl.gz"):
        gold = [(name, given) for each in row["ground_truth"] for name, given in each.items()]
        kind = "text" if not gold else "call" if len(gold) == 1 else "calls"
        names = sorted(name for name, _ in gold)
        kinds[kind].append(
            Question(row["messages"], row["functions"], len(gold), names, _bfcl_judge(gold))
        )
    rng = random.Random(0)
    return {k: rng.sample(kinds[k], min(n, len(kinds[k]))) for k in ("call", "calls", "text")}


def _bfcl_judge(gold: list[tuple[str, dict[str, list[Any]]]]) -> Callable[[list[Call]], bool]:
    """Each call fits one of gold: a value of each parameter is on its list, `""` for none."""

    def fits(call: Call, name: str, given: dict[str, list[Any]]) -> bool:
        if call[0] != name or call[1].keys() - given.keys():
            return False
        return all(call[1].get(key, "") in values for key, values in given.items())

    def right(calls: list[Call]) -> bool:
        left = list(gold)
        for call in calls:
            match = next((each for each in left if fits(call, *each)), None)
            if match is None:
                return False
            left.remove(match)
        return not left

    return right


def ask(
    model: ctrlgen.Model, question: Question, choice: Any, parallel: bool, **options: Any
) -> tuple[Any, int]:
    """One turn of an agent: the calls or the text, and the forward passes."""
    agent = ctrlgen.Agent(
        model, question.tools, choice=choice, parallel=parallel, max_turns=1, steps=MOST_FORWARDS,
        max_new_tokens=MOST_TOKENS, **options,
    )  # fmt: skip
    run = agent.run(question.messages)
    passes = run.usage.forward_passes
    return run.answer if run.answer is not None else list(run.pending), passes


def judged(question: Question, answer: Any) -> dict[str, bool]:
    """What is right about an answer."""
    calls: list[Call] = [] if isinstance(answer, str) else [(c.name, c.arguments) for c in answer]
    schemas = {tool.name: tool.parameters for tool in map(read_tool, question.tools)}
    valid = all(Draft202012Validator(schemas[n]).is_valid(a) for n, a in calls)
    chosen = sorted(name for name, _ in calls) == question.names
    return {
        "valid": valid,
        "form": min(len(calls), 2) == min(question.calls, 2),
        "tool": chosen,
        "exact": chosen and question.right(calls),
    }


def measured(
    model: ctrlgen.Model, questions: Iterable[Question], choice: Any, parallel: bool
) -> Tally:
    """All questions of one row of the table."""
    tally = Tally()
    bar = track(list(questions), f"{choice}", console=Console(stderr=True), transient=True)
    for question in bar:
        wanted = question.names[0] if choice == "named" else choice
        try:
            answer, passes = ask(model, question, wanted, parallel)
        except ctrlgen.CtrlgenError:  # longer than the model's context
            continue
        tally.note(judged(question, answer), passes)
    return tally


def call_odds(model: ctrlgen.Model, question: Question) -> float | None:
    """How sure the first decision of an answer is to be a call; None if there is none to make."""
    spec = ctrlgen.tools(question.tools, choice="auto")
    generator = ctrlgen.Generator(model, spec, max_new_tokens=MOST_TOKENS)
    event = next(generator.stream(question.messages))
    if not event.decided:
        return None
    taken = event.decided[0]
    return 1 - taken.confidence if "content" in taken.taken else taken.confidence


def separation(high: list[float], low: list[float]) -> float:
    """Area under the ROC curve: how often one of `high` is above one of `low`."""
    pairs = [(a > b) + 0.5 * (a == b) for a in high for b in low]
    return sum(pairs) / max(1, len(pairs))


def told_apart(model: ctrlgen.Model, kinds: dict[str, list[Question]]) -> str:
    """Whether the model's own probability tells where a call is due, and what turns alone tell."""
    odds = {
        kind: [p for question in kinds[kind] if (p := call_odds(model, question)) is not None]
        for kind in ("call", "text")
    }
    turns = {kind: [float(len(q.messages)) for q in kinds[kind]] for kind in ("call", "text")}
    return (
        f"calls told from text, AUC: {separation(odds['call'], odds['text']):.2f} by the model's "
        f"probability, {separation(turns['call'], turns['text']):.2f} by the number of turns"
    )


def panel(rows: list[tuple[str, Tally]]) -> plots.Bars:
    """Bars of form, tool and exact, by row."""
    lines = {name: [tally.share(name) for _, tally in rows] for name in ("form", "tool", "exact")}
    names = [name for name, _ in rows]
    return plots.Bars("The next step of an agent", "% of questions", names, lines)


def main(
    data: Annotated[Path, typer.Option(help="Folder with the data sets.")],
    n: Annotated[int, typer.Option(min=1, help="Questions of each kind.")] = 100,
    model: Annotated[str | None, typer.Option(help="Checkpoint; embedded by default.")] = None,
    sources: str = "sgd,bfcl",
    out: plots.PlotFile = None,
) -> None:
    """Print the table."""
    loaded = ctrlgen.load(model)
    table = Table("data", "gold", "choice", "n", "form", "tool", "exact", "valid", "forwards")
    drawn: list[tuple[str, Tally]] = []
    notes: list[str] = []
    for source in sources.split(","):
        kinds = {"sgd": sgd, "bfcl": bfcl}[source](data, n)
        for kind, questions in kinds.items():
            ways = {"call": ["named", "required", "auto"], "calls": ["required", "auto"]}
            for choice in ways.get(kind, ["auto"]):
                several = source == "bfcl" and choice != "named"
                tally = measured(loaded, questions, choice, several)
                shares = [f"{tally.share(k):.0f}" for k in ("form", "tool", "exact", "valid")]
                passes = f"{tally.forwards / max(1, tally.count):.1f}"
                table.add_row(source, kind, choice, str(tally.count), *shares, passes)
                drawn.append((f"{source}, {kind}: {choice}", tally))
        notes.append(f"{source}: {told_apart(loaded, kinds)}")
    Console().print(table, *notes, sep="\n")
    if out is not None:
        plots.draw([panel(drawn)], out)


if __name__ == "__main__":
    typer.run(main)
