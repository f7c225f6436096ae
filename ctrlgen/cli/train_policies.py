"""`ctrlgen train block-policy` and `commit-policy`: what commits when, learned for one model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ctrlgen.cli.options import ModelOption, SchemaOption, one_line_errors
from ctrlgen.cli.train import load_under_status

if TYPE_CHECKING:
    from rich.console import Console

    from ctrlgen.generator import Model
    from ctrlgen.schedulers.perceptron import Perceptron
    from ctrlgen.training import block_policy, commit_policy
    from ctrlgen.training.tasks import Task

THRESHOLDS = (0.5, 0.7, 0.9, 0.95, 0.99)
SAVE_EVERY = 10

TasksArgument = Annotated[
    Path,
    typer.Argument(
        metavar="JSONL",
        help='Rows {"prompt": ..., "schema", "tools", "regex" or "grammar": ..., "gold": ...}.',
    ),
]
OutOption = Annotated[Path, typer.Option(help="Folder to write to.")]
HeldOutOption = Annotated[Path | None, typer.Option(help="Rows to report on; default: a tenth.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Makes training repeatable.")]


def block_policy_command(
    tasks: TasksArgument,
    out: OutOption,
    schema: SchemaOption = None,
    held_out: HeldOutOption = None,
    model: ModelOption = None,
    commits: Annotated[
        Literal["threshold", "tracelock"],
        typer.Option(help="What commits within a block: what is sure, or what is final."),
    ] = "threshold",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Of the scheduler; 0: one pass a block.")
    ] = 0.9,
    quality: Annotated[
        Literal["exact", "f1", "likelihood"], typer.Option(help="What an answer is worth.")
    ] = "f1",
    cost: Annotated[float, typer.Option(min=0, help="Of a forward pass.")] = 0.02,
    order: Annotated[
        Literal["left", "sure"], typer.Option(help="Blocks from the left, or surest slots first.")
    ] = "sure",
    updates: Annotated[int, typer.Option(min=1, help="Gradient steps.")] = 120,
    prompts: Annotated[int, typer.Option(min=1, help="Prompts an update.")] = 8,
    group: Annotated[int, typer.Option(min=2, help="Rollouts a prompt.")] = 8,
    learning_rate: Annotated[float, typer.Option(min=0, help="At its height.")] = 5e-3,
    exploration: Annotated[
        float, typer.Option(min=0, help="Weight of the entropy of choices at first.")
    ] = 0.03,
    temperature: Annotated[float, typer.Option(min=0, help="Of the drawn fillings.")] = 0.0,
    start: Annotated[Path | None, typer.Option(help="Folder of a policy to go on from.")] = None,
    seed: SeedOption = 0,
) -> None:
    """Train how long the next block is, by what answers are worth and cost."""
    with one_line_errors():
        console, loaded = load_under_status(model)
        rows, tests = _tasks(tasks, held_out, loaded, schema)
        from ctrlgen.controllers.blocks import LearnedBlocks
        from ctrlgen.schedulers import Threshold, TraceLock
        from ctrlgen.training.block_policy import Recipe
        from ctrlgen.training.rewards import Reward

        recipe = Recipe(
            updates=updates, prompts=prompts, group=group, learning_rate=learning_rate,
            entropy=exploration, reward=Reward(quality, cost), order=order,
            scheduler=(Threshold if commits == "threshold" else TraceLock)(threshold),
            temperature=temperature, seed=seed,
        )  # fmt: skip
        before = None if start is None else LearnedBlocks.load(start).policy
        _fit_blocks(loaded, rows, recipe, before, out, console)
        _report_blocks(loaded, tests, recipe, out, console)


def commit_policy_command(
    tasks: TasksArgument,
    out: OutOption,
    schema: SchemaOption = None,
    held_out: HeldOutOption = None,
    model: ModelOption = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times each trace is seen.")] = 20,
    learning_rate: Annotated[float, typer.Option(min=0, help="At its height.")] = 3e-3,
    seed: SeedOption = 0,
) -> None:
    """Train which proposed tokens are final, from traces of careful runs; gold is not needed."""
    with one_line_errors():
        console, loaded = load_under_status(model)
        rows, tests = _tasks(tasks, held_out, loaded, schema)
        from ctrlgen.training import commit_policy

        recipe = commit_policy.Recipe(epochs=epochs, learning_rate=learning_rate, seed=seed)
        traces = _watched(loaded, rows, recipe, console, "Watching")
        policy = _fit_commits(traces, recipe, console)
        policy.save(out)
        _report_commits(policy, _watched(loaded, tests, recipe, console, "Watching the rest"), out)


def _tasks(
    path: Path, held_out: Path | None, model: Model, schema: str | None
) -> tuple[list[Task], list[Task]]:
    """Tasks to train on, and tasks to report on."""
    from ctrlgen.cli.options import chosen_spec
    from ctrlgen.training.tasks import divided, read_tasks

    spec = None if schema is None else chosen_spec(schema, None, None, None)
    tests = None if held_out is None else read_tasks(held_out, model, spec)
    return divided(read_tasks(path, model, spec), tests)


def _fit_blocks(
    model: Model, tasks: Sequence[Task], recipe: block_policy.Recipe, start: Perceptron | None,
    out: Path, console: Console,
) -> None:  # fmt: skip
    """Train under a progress bar; the policy is saved as it grows."""
    from rich.progress import Progress

    from ctrlgen.training.block_policy import train
    from ctrlgen.training.curves import can_draw, save_curves

    if not can_draw():
        console.print("curves are saved as numbers only; pip install 'ctrlgen[plots]' draws them")
    curve: list[Any] = []
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("Training", total=recipe.updates)
        for policy, now in train(model, tasks, recipe, start):
            curve.append(now)
            told = f"Training, reward {now.reward:.3f}, forwards {now.forwards:.1f}"
            progress.update(bar, advance=1, description=told)
            if len(curve) % SAVE_EVERY == 0 or len(curve) == recipe.updates:
                policy.save(out)
                save_curves(curve, out)


def _report_blocks(
    model: Model, tasks: Sequence[Task], recipe: block_policy.Recipe, out: Path, console: Console
) -> None:
    """Print what the policy comes to on held-out tasks, beside no blocks at all."""
    import numpy as np
    from rich.progress import track

    from ctrlgen.controllers.blocks import LearnedBlocks, WholeCanvas
    from ctrlgen.training.block_policy import evaluate

    typer.echo(f"{'':<20}{'reward':>10}{'quality':>10}{'forwards':>10}")
    for name, block in (("whole canvas", WholeCanvas()), ("policy", LearnedBlocks.load(out))):
        shown = track(tasks, f"Judging, {name}", console=console, transient=True)
        scores = [evaluate(model, task, block, recipe) for task in shown]
        reward, quality, forwards = np.mean(scores, axis=0)
        typer.echo(f"{name:<20}{reward:>10.4f}{quality:>10.4f}{forwards:>10.2f}")
    typer.echo(f"on {len(tasks)} tasks; {LearnedBlocks.load(out).policy.parameters:,} parameters")


def _watched(
    model: Model, tasks: Sequence[Task], recipe: commit_policy.Recipe, console: Console, name: str
) -> commit_policy.Traces:
    from rich.progress import track

    from ctrlgen.training.commit_policy import joined, watch

    found = watch(model, tasks, recipe)
    return joined(list(track(found, name, len(tasks), console=console, transient=True)))


def _fit_commits(
    traces: commit_policy.Traces, recipe: commit_policy.Recipe, console: Console
) -> Perceptron:
    """Train under a progress bar."""
    from rich.progress import Progress

    from ctrlgen.training.commit_policy import train

    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("Training", total=recipe.epochs)
        for policy, loss in train(traces, recipe):
            last = policy
            progress.update(bar, advance=1, description=f"Training, loss {loss:.4f}")
    return last


def _report_commits(policy: Perceptron, traces: commit_policy.Traces, out: Path) -> None:
    """Print how much is committed at several thresholds, and how much of that is final."""
    from ctrlgen.training.commit_policy import judged

    typer.echo(f"{'threshold':<20}{'committed':>10}{'final':>10}")
    for threshold in THRESHOLDS:
        share, right, loss = judged(policy, traces, threshold)
        typer.echo(f"{threshold:<20}{share:>10.3f}{right:>10.4f}")
    base = float(traces.final.mean())
    typer.echo(
        f"on {len(traces)} proposed tokens, {base:.4f} of them final; loss {loss:.4f} nats; "
        f"{policy.parameters:,} parameters in {out}"
    )
