"""Block controllers and commit controllers under one cost a forward pass, with paired intervals.

    python benchmarks/blocks.py --data DIR [--n 100] [--sources snips,sgd,e2e] [--plot FILE]
        [--results FILE [--seconds 600]]    stop after a while, and go on later

Three regimes on the same held-out examples. Under `threshold 0.9` and `TraceLock 0.9`, which is the
default of the embedded model, a block takes the passes it needs. `one pass a block` commits a whole
block at once, so its size is all that decides between cost and quality. Reward is exact match -
COST x forward passes.

`gain` is the paired difference of the reward to the best constant size of the same regime and of
all (the whole canvas is one), and to AdaBlock of the same regime, with a 95 % bootstrap interval
over examples. `at equal forwards` compares the exact match with that of the best mixture of two
constants, of any regime, that takes no more passes on average: what choosing between both at
random reaches.
Given several policies, trained from several seeds, a row shows their mean; its intervals are over
seeds and examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import plots
import typer
from extraction import Answer, Question, questions, score
from resumable import Results
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ctrlgen
from ctrlgen.controllers.blocks import (
    AdaBlock,
    Block,
    DeferredWindow,
    FixedBlocks,
    LearnedBlocks,
    SchemaWalls,
    WholeCanvas,
)
from ctrlgen.controllers.blocks.choices import FEATURES, Order
from ctrlgen.schedulers import Scheduler, Threshold, TraceLock
from ctrlgen.schedulers.base import Floats
from ctrlgen.schedulers.perceptron import Perceptron
from ctrlgen.tool_call import tools as tools_spec
from ctrlgen.training.rollouts import Branch, Chooser, Remembering, play

COST = 0.02
DRAWS = 2_000
REGIMES: dict[str, Scheduler] = {
    "threshold 0.9": Threshold(0.9),
    "TraceLock 0.9": TraceLock(0.9),
    "one pass a block": Threshold(0.0),
}


@dataclass
class Method:
    """A block controller and a scheduler.

    Args:
        regime: Key of REGIMES.
        name: As the table has it.
        block: Where tokens commit.
        scheduler: What commits there.
        constant: Whether it is one size for all: what learned ones have to beat.
    """

    regime: str
    name: str
    block: Block
    scheduler: Scheduler
    constant: bool = False
    answers: list[Answer] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Tells methods apart in a file of results."""
        return f"{self.regime}/{self.name}"


def of_size(size: int, order: Order) -> LearnedBlocks:
    """Blocks of so many open positions, in the order of the learned ones: no policy at all."""
    silent = Perceptron.drawn(len(FEATURES), (), np.random.default_rng(0))
    return LearnedBlocks(silent, (size,), order, lambda features, _: _nearest(features, size))


def all_but_a_slot() -> LearnedBlocks:
    """All slots but the least sure one, then that one."""
    silent = Perceptron.drawn(len(FEATURES), (), np.random.default_rng(0))
    return LearnedBlocks(silent, (), "sure", lambda features, _: max(0, len(features) - 2))


def _nearest(features: Floats, size: int) -> int:
    """The choice of that size, or the last one where all are shorter; column 0 is log(1 + size)."""
    return int(np.argmin(np.abs(np.expm1(features[:, 0]) - size)))


def methods(policies: Sequence[Path]) -> list[Method]:
    """Everything that is compared."""
    learned = [LearnedBlocks.load(folder) for folder in policies] or [LearnedBlocks.load()]
    out = []
    for regime, scheduler in REGIMES.items():
        blocks: list[tuple[str, Block, bool]] = [("whole canvas", WholeCanvas(), True)]
        blocks += [("fixed 32", FixedBlocks(32), True)]
        if regime == "one pass a block":
            blocks += [("fixed 8", FixedBlocks(8), True)]
            blocks += [(f"surest {n}", of_size(n, "sure"), True) for n in (8, 16, 32, 64)]
            blocks += [("all but a slot", all_but_a_slot(), True)]
        blocks += [("AdaBlock", AdaBlock(), False), ("deferred 16", DeferredWindow(16), False)]
        blocks += [("slot by slot", SchemaWalls(1), False)]
        names = ["learned", *(f"learned, seed {i}" for i in range(1, len(learned)))]
        blocks += [(name, block, False) for name, block in zip(names, learned, strict=True)]
        out += [Method(regime, name, block, scheduler, c) for name, block, c in blocks]
    locks = [
        Method("TraceLock 0.9", f"TraceLock {t}", WholeCanvas(), TraceLock(t), constant=True)
        for t in (0.7, 0.97)
    ]
    return [*out, *locks]


def answer_all(
    model: ctrlgen.Model, source: str, sample: Sequence[Question], compared: Sequence[Method],
    results: Results,
) -> list[Question]:  # fmt: skip
    """Every method's answer to every question that there is time for; returns those questions."""
    generators: dict[str, ctrlgen.Generator] = {}
    done = []
    for i, question in enumerate(track(sample, console=Console(stderr=True), transient=True)):
        ids = {f"{source}/{i}/{m.key}": m for m in compared}
        todo = {name: m for name, m in ids.items() if name not in results.found}
        if todo and next(results.missing([{"id": next(iter(todo))}]), None) is None:
            break
        # Passes over equal canvases are made once for all methods.
        denoiser = Remembering(model.denoiser)
        for name, method in todo.items():
            results.add({"id": name, **_answer(model, question, method, denoiser, generators)})
        for name, method in ids.items():
            found = results.found[name]
            method.answers.append(Answer(found["text"], found["forwards"]))
        done.append(question)
    return done


def _answer(
    model: ctrlgen.Model, question: Question, method: Method, denoiser: Remembering,
    generators: dict[str, ctrlgen.Generator],
) -> dict[str, Any]:  # fmt: skip
    key = str(question.schema)
    if key not in generators:
        kind = tools_spec(question.tools) if question.tools else question.schema
        generators[key] = ctrlgen.Generator(model, kind)
    seat = generators[key].seat(question.messages, block=method.block, scheduler=method.scheduler)
    seat = replace(seat, engine=replace(seat.engine, denoiser=denoiser))
    play([Branch(seat, Chooser(np.random.default_rng(0)))])
    return {"text": seat.run.canvas.text(), "forwards": seat.run.passes}


@dataclass(eq=False)
class Scores:
    """What a method came to, example by example."""

    exact: Floats
    forwards: Floats
    f1: float

    @property
    def reward(self) -> Floats:
        """Of every example."""
        return self.exact - COST * self.forwards


def scores_of(method: Method, sample: list[Question]) -> Scores:
    """Scores of the answers that a method gave."""
    pairs = list(zip(sample, method.answers, strict=True))
    exact = np.array([score([q], [a])["exact"] for q, a in pairs])
    forwards = np.array([float(a.forwards) for a in method.answers])
    return Scores(exact, forwards, score(sample, method.answers)["f1"])


def interval(values: Floats, rng: np.random.Generator) -> str:
    """Mean and 95 % bootstrap interval of the mean; (examples,) or (seeds, examples)."""
    table = np.atleast_2d(values)
    rows, columns = (rng.integers(n, size=(DRAWS, n)) for n in table.shape)
    drawn = table[rows[:, :, None], columns[:, None, :]].mean(axis=(1, 2))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def pooled(scores: Sequence[Scores]) -> Scores:
    """The scores of several seeds as one, (seeds, examples)."""
    return Scores(
        np.stack([s.exact for s in scores]), np.stack([s.forwards for s in scores]),
        float(np.mean([s.f1 for s in scores])),
    )  # fmt: skip


def at_equal_forwards(own: Scores, constant: Sequence[Scores]) -> Floats | None:
    """Exact match less that of the best mixture of two constants at no more passes, by example."""
    wanted, best = own.forwards.mean(), None
    for one in constant:
        for other in constant:
            low, high = one.forwards.mean(), other.forwards.mean()
            if low <= wanted and low <= high:
                share = 1.0 if high <= wanted else (wanted - low) / (high - low)
                mixed = (1 - share) * one.exact + share * other.exact
                if best is None or mixed.mean() > best.mean():
                    best = mixed
    return None if best is None else np.asarray(own.exact - best)


def report(compared: Sequence[Method], sample: list[Question], source: str, table: Table) -> None:
    """Rows of one source."""
    found = {method.key: scores_of(method, sample) for method in compared}
    constant = [found[method.key] for method in compared if method.constant]
    for regime in REGIMES:
        members = [method for method in compared if method.regime == regime]
        own = {m.name: found[m.key] for m in members}
        here = [found[m.key] for m in members if m.constant]
        seeds = [s for name, s in own.items() if name.startswith("learned")]
        if len(seeds) > 1:
            own[f"learned, mean of {len(seeds)} seeds"] = pooled(seeds)
        for name, s in own.items():
            rivals = [_best(here), _best(constant), own.get("AdaBlock")]
            equal = None if any(s is c for c in constant) else at_equal_forwards(s, constant)
            table.add_row(
                source, regime, name, f"{100 * s.exact.mean():.1f}", f"{s.f1:.3f}",
                f"{s.forwards.mean():.2f}", f"{s.reward.mean():.3f}",
                *(_gain(s, rival) for rival in rivals),
                "" if equal is None else interval(equal, np.random.default_rng(0)),
            )  # fmt: skip


def _best(scores: Sequence[Scores]) -> Scores:
    return max(scores, key=lambda s: float(s.reward.mean()))


def _gain(own: Scores, rival: Scores | None) -> str:
    """The gain of the reward over a rival."""
    if rival is None or own is rival:
        return ""
    return interval(own.reward - rival.reward, np.random.default_rng(0))


def trade_offs(
    points: dict[str, list[Method]], samples: dict[str, list[Question]]
) -> list[plots.Curves]:
    """One plot a source: exact match against forward passes."""
    rows = []
    for source, compared in points.items():
        for method in compared if samples[source] else []:
            s = scores_of(method, samples[source])
            name = f"{method.name}, {method.regime}"
            rows.append((source, name, float(s.forwards.mean()), float(s.exact.mean())))
    return plots.trade_offs(rows)


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    n: int = 100,
    model: Annotated[str | None, typer.Option(help="Checkpoint; embedded by default.")] = None,
    sources: str = "snips,sgd,e2e",
    policy: Annotated[
        list[Path] | None, typer.Option(help="Folders of block policies; default: the shipped.")
    ] = None,
    out: plots.PlotFile = None,
    only: Annotated[list[str] | None, typer.Option(help="Names of the methods.")] = None,
    results: Annotated[Path | None, typer.Option(help="JSON lines to go on with.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to go on; 0: to the end.")] = 0,
) -> None:
    """Print the table of block and commit controllers."""
    loaded, kept = ctrlgen.load(model), Results(results, seconds)
    columns = ("exact", "F1", "forwards", "reward", "gain: best here", "gain: best of all",
               "gain: AdaBlock", "exact at equal forwards")  # fmt: skip
    table = Table("data", "regime", "method", *columns)
    points, samples = {}, {}
    for source in sources.split(","):
        points[source] = [
            m for m in methods(policy or []) if not only or {m.name, m.key} & set(only)
        ]
        asked = questions(data, source, n)
        samples[source] = answer_all(loaded, source, asked, points[source], kept)
        if samples[source]:
            report(points[source], samples[source], f"{source} {len(samples[source])}", table)
    Console(width=230).print(table)
    if out is not None:
        plots.draw(trade_offs(points, samples), out)


if __name__ == "__main__":
    typer.run(main)
