"""Accuracy against forward passes: schedulers, block controllers, search and baselines in one run.

    python benchmarks/control.py --data DIR [--n 40] [--sources snips,e2e,sgd,bfcl]
        [--only threshold,S3] [--plot FILE]
        [--points FILE [--seconds 600]]    begin no row after a while, and go on later

One table, and one plot with a curve per method. All methods share model, prompts, examples and
compiled types, and all examples are answered once before the clock runs. Those on the canvas of
ctrlgen are valid by construction. S3 (arXiv:2507.04504) is `ctrlgen.baselines`, and is given the
tool. Its measures are `structure` (JSON with the right keys), `content` (F1 of words) and
`invented`, which is hallucination: of strings where any may stand, those that stand neither in the
source nor in the gold answer. `exact` has a 95 % interval (Wilson). What is in `--points` is not
measured again. BFCL is foreign to the embedded model: its rows tell of validity and structure, and
the plot leaves it out.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import plots
import typer
from extraction import (
    Answer,
    Compiled,
    Method,
    Question,
    ctrlgen_method,
    fixed_slots,
    measured,
    questions,
    strings,
    unconstrained,
)
from rich.console import Console
from rich.table import Table

import ctrlgen
from ctrlgen.controllers import TraceCredit, blocks
from ctrlgen.schedulers import (
    ConstrainedMarginals,
    EntropyBound,
    Factor,
    InfoGain,
    Klass,
    LowConfidence,
    Prophet,
    RemaskLoop,
    RunningConfidence,
    Saber,
    Scheduler,
    Threshold,
    TraceLock,
    Wino,
)


def _within(block: blocks.Block, scheduler: Scheduler | None = None) -> dict[str, Any]:
    return {"block": block, "scheduler": scheduler or Threshold()}


BUDGETS = (2, 4, 8)
CURVES: dict[str, list[dict[str, Any]]] = {
    "one token a step": [{"scheduler": LowConfidence()}],
    "low confidence": [{"scheduler": LowConfidence(), "steps": n} for n in BUDGETS],
    "threshold": [{"scheduler": Threshold(t)} for t in (0.99, 0.9, 0.7, 0.5, 0.0)],
    "TraceLock": [{"scheduler": TraceLock(t)} for t in (0.97, 0.9, 0.7)],
    "factor": [{"scheduler": Factor(f)} for f in (0.5, 1.0, 2.0)],
    "entropy bound": [{"scheduler": EntropyBound(g)} for g in (0.1, 0.5, 2.0)],
    "CreditDecoding": [{"controllers": [TraceCredit()], "scheduler": Threshold()}],
    "Info-Gain": [{"scheduler": InfoGain(4)}],
    "KLASS": [{"scheduler": Klass(0.7, 0.02, 1)}],
    "Prophet": [{"scheduler": Prophet()}],
    "RCR": [{"scheduler": RunningConfidence(n)} for n in (4, 8)],
    "ReMDM loop": [{"scheduler": RemaskLoop(4)}],
    "WINO": [{"scheduler": Wino()}],
    "Saber": [{"scheduler": Saber()}],
    "constrained marginals": [{"scheduler": ConstrainedMarginals(b)} for b in (0.2, 0.5)],
    "slot by slot": [_within(blocks.SchemaWalls(n)) for n in (1, 2)],
    "AdaBlock": [_within(blocks.AdaBlock())],
    "fixed blocks": [_within(blocks.FixedBlocks(n)) for n in (8, 32)],
    "deferred window": [_within(blocks.DeferredWindow(16))],
    "learned blocks": [_within(blocks.LearnedBlocks(), Threshold(t)) for t in (0.0, 0.9)],
    "learned blocks, TraceLock": [_within(blocks.LearnedBlocks(), TraceLock())],
}


@dataclass
class Point:
    """What one setting of one method came to on one source."""

    source: str
    curve: str
    setting: str
    scores: dict[str, float]


def interval(share: float, n: float) -> str:
    """A share in percent with its 95 % interval (Wilson)."""
    z = 1.96
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (100 * (middle + side * half) / (1 + z * z / n) for side in (-1, 1))
    return f"{100 * share:.1f} ({max(0.0, low):.0f}-{high:.0f})"


def methods_of(compiled: Compiled) -> list[tuple[str, str, Method]]:
    """Curve, setting and method of every row."""
    loaded = compiled.model
    return [
        ("gold", "", lambda batch: [Answer(json.dumps(question.gold), 0) for question in batch]),
        ("unconstrained", "16 steps", unconstrained(loaded.denoiser, 16)),
        ("S3, as published", "16 steps", fixed_slots(loaded, 16, published=True)),
        *(("S3", f"{k} steps", fixed_slots(loaded, k)) for k in (2, 8, 16)),
        *(
            (curve, _told(options), ctrlgen_method(compiled, **options))
            for curve, settings in CURVES.items()
            for options in settings
        ),
        ("search: best of", "4, grounded", search_method(compiled, best_of)),
        ("search: beam", "width 3, branch 4, grounded", search_method(compiled, beam)),
        ("search: SMC", "8 particles, grounded", search_method(compiled, smc)),
    ]


Score = Callable[[Any], float]
Search = Callable[[ctrlgen.Generator, Question, Score], Answer]


def search_method(compiled: Compiled, search: Search) -> Method:
    """A search with the one verifier that needs no gold: strings should stand in the source."""

    def answer(batch: list[Question]) -> list[Answer]:
        out = []
        for question in batch:
            source = " ".join(m["content"] for m in question.messages).lower()

            def score(output: Any, question: Question = question, source: str = source) -> float:
                value = output if isinstance(output, dict) else {"arguments": output.arguments}
                texts = strings(value.get("arguments", value), question.properties)
                return -2.0 * sum(text.lower() not in source for text in texts)

            out.append(search(compiled(question), question, score))
        return out

    return answer


def best_of(generator: ctrlgen.Generator, question: Question, score: Score) -> Answer:
    """Four answers drawn apart."""
    drawn = generator.generate_batch([question.messages] * 4, temperature=0.7, seed=0)
    best = max(drawn, key=lambda result: score(result.output))
    return Answer(best.text, sum(result.usage.forward_passes for result in drawn))


def beam(generator: ctrlgen.Generator, question: Question, score: Score) -> Answer:
    """Three canvases, four ways to go on from each."""
    found = generator.beam(question.messages, 3, score, branch=4, seed=0)
    return Answer(found.best.text, found.forward_passes)


def smc(generator: ctrlgen.Generator, question: Question, score: Score) -> Answer:
    """The text that carries most weight among eight particles."""
    found = generator.smc(question.messages, 8, score, temperature=0.7, seed=0)
    mass = Counter[str]()
    for result, weight in zip(found.results, found.weights.tolist(), strict=True):
        mass[result.text] += weight
    return Answer(mass.most_common(1)[0][0], found.forward_passes)


def known(path: Path | None) -> list[Point]:
    """The points of earlier runs."""
    if path is None or not path.exists():
        return []
    return [Point(**json.loads(line)) for line in path.read_text().splitlines()]


def table_of(points: list[Point]) -> Table:
    """All points, a row each."""
    columns = ("valid", "structure", "exact", "field F1", "content", "invented")
    table = Table("data", "method", "setting", *columns, "forwards", "s/object")
    for p in points:
        s = p.scores
        table.add_row(
            p.source, p.curve, p.setting, f"{100 * s['valid']:.1f}", f"{100 * s['structure']:.1f}",
            interval(s["exact"], s["answers"]), f"{s['f1']:.3f}", f"{s['content']:.3f}",
            f"{100 * s['invented']:.1f}", f"{s['forwards']:.1f}", f"{s['seconds']:.3f}",
        )  # fmt: skip
    return table


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    n: int = 40,
    model: Annotated[str | None, typer.Option(help="Checkpoint; embedded by default.")] = None,
    sources: str = "snips,e2e,sgd,bfcl",
    only: Annotated[str, typer.Option(help="Beginnings of `method: setting`.")] = "",
    kept: Annotated[Path | None, typer.Option("--points", help="JSON lines to go on with.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to go on; 0: to the end.")] = 0,
    out: plots.PlotFile = None,
) -> None:
    """Print the table of accuracy against forward passes."""
    points, wanted = known(kept), tuple(only.split(","))
    until = time.monotonic() + (seconds or math.inf)
    done = {(p.source, p.curve, p.setting) for p in points}
    compiled = Compiled(ctrlgen.load(model))
    methods = [row for row in methods_of(compiled) if f"{row[0]}: {row[1]}".startswith(wanted)]
    for source in sources.split(","):
        sample = questions(data, source, n)
        missing = [row for row in methods if (source, *row[:2]) not in done]
        if missing and time.monotonic() < until:
            measured(ctrlgen_method(compiled), sample, f"{source}: compile")
        for curve, setting, method in missing:
            if time.monotonic() > until:
                break
            scores = measured(method, sample, f"{source} {curve} {setting}")
            points.append(Point(source, curve, setting, scores))
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps(asdict(points[-1])) + "\n")
    Console(width=160).print(table_of(points))
    if out is not None:
        known_data = [p for p in points if p.source != "bfcl"]
        rows = ((p.source, p.curve, p.scores["forwards"], p.scores["exact"]) for p in known_data)
        plots.draw(plots.trade_offs(rows), out)


def _told(options: dict[str, Any]) -> str:
    """The setting in a few words."""
    options = {k: v[0] if isinstance(v, list) else v for k, v in options.items()}
    parts = [
        ", ".join(f"{k} {v}" for k, v in vars(o).items() if isinstance(v, int | float))
        if hasattr(o, "__dict__")
        else f"{name} {o}"
        for name, o in options.items()
    ]
    return "; ".join(part for part in parts if part)


if __name__ == "__main__":
    typer.run(main)
