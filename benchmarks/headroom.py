"""What choosing blocks could gain at most: the best of many random choices against no blocks.

    python benchmarks/headroom.py --data DIR [--n 60] [--sources snips,sgd] [--draws 16]
        [--results FILE [--seconds 600]]    stop after a while, and go on later

For each held-out example blocks are drawn at random, from the menu of the learned policy, `draws`
times. `won`: the whole canvas at once is wrong and some draw is right; `lost`: the other way round.
`best` is the mean reward (exact match - 0.02 x forward passes) if the best draw, the whole canvas
among them, were always known. A policy sees no gold: it lies below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from blocks import COST
from extraction import Compiled, Question, questions
from resumable import Results
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ctrlgen
from ctrlgen.controllers.blocks import WholeCanvas
from ctrlgen.controllers.blocks.choices import FEATURES
from ctrlgen.schedulers import Scheduler, Threshold, TraceLock
from ctrlgen.schedulers.perceptron import Perceptron
from ctrlgen.training.block_policy import Recipe, evaluate, rollouts
from ctrlgen.training.rewards import Reward
from ctrlgen.training.rollouts import Remembering
from ctrlgen.training.tasks import Task

REGIMES: dict[str, Scheduler] = {
    "one pass a block": Threshold(0.0),
    "threshold 0.9": Threshold(0.9),
    "TraceLock 0.9": TraceLock(0.9),
}


def measured(
    model: ctrlgen.Model, compiled: Compiled, question: Question, regime: str, draws: int
) -> dict[str, float]:
    """Quality and passes of the whole canvas, and of all draws."""
    reward = Reward("exact", COST)
    recipe = Recipe(group=draws, scheduler=REGIMES[regime], reward=reward, prompts=1)
    task = Task(question.messages, compiled(question), question.gold)
    whole, quality, passes = evaluate(model, task, WholeCanvas(), recipe)
    silent = Perceptron.drawn(len(FEATURES), (), np.random.default_rng(0))
    groups, _ = rollouts(model, [task], silent, recipe, np.random.default_rng(0))
    drawn = [episode.reward for episode in groups[0]]
    right = [r > 0 for r in drawn]  # a wrong answer costs its passes, a right one less than 1
    return {
        "whole": whole, "right": quality, "passes": passes, "best": max([whole, *drawn]),
        "mean": float(np.mean(drawn)), "some": float(any(right)), "all": float(all(right)),
    }  # fmt: skip


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    n: int = 60,
    sources: str = "snips,sgd",
    draws: int = 16,
    kept: Annotated[
        Path | None, typer.Option("--results", help="JSON lines to go on with.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to go on; 0: to the end.")] = 0,
) -> None:
    """Print what could be won and lost."""
    model, results = ctrlgen.load(), Results(kept, seconds)
    denoiser, compiled, last = model.denoiser, Compiled(model), -1
    table = Table("data", "commits", "exact %", "won %", "lost %", "reward", "random", "best")
    for source in sources.split(","):
        sample = questions(data, source, n)
        rows = [{"id": f"{source}/{regime}/{i}", "at": (i, regime)}
                for i in range(n) for regime in REGIMES]  # fmt: skip
        for row in results.missing(track(rows, source, console=Console(stderr=True))):
            i, regime = row["at"]
            if i != last:  # all regimes share passes
                model.denoiser, last = Remembering(denoiser), i
            results.add({"id": row["id"], **measured(model, compiled, sample[i], regime, draws)})
        for regime in REGIMES:
            found = results.of([row for row in rows if row["at"][1] == regime])
            if found:
                table.add_row(source, regime, *_cells(found))
    Console().print(table)


def _cells(found: list[dict[str, float]]) -> list[str]:
    mean = {key: float(np.mean([row[key] for row in found])) for key in found[0] if key != "id"}
    won = np.mean([row["some"] > row["right"] for row in found])
    lost = np.mean([row["all"] < row["right"] for row in found])
    shares = (f"{100 * share:.1f}" for share in (mean["right"], won, lost))
    return [*shares, *(f"{mean[key]:.3f}" for key in ("whole", "mean", "best"))]


if __name__ == "__main__":
    typer.run(main)
