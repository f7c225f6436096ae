"""`ctrlgen train`: what is trained around a denoiser, which itself stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ctrlgen.cli.options import ModelOption, one_line_errors

if TYPE_CHECKING:
    from rich.console import Console

    from ctrlgen.controllers.classifiers.text import TextClassifier
    from ctrlgen.controllers.classifiers.training import Corpus, LabelledText, Recipe

MASK_RATES = (0.0, 0.25, 0.5, 0.75)

train_app = typer.Typer(
    name="train", help="Train what steers a denoiser.", no_args_is_help=True, add_completion=False
)


@train_app.callback()
def _group() -> None:
    """Train what steers a denoiser."""


@train_app.command("classifier")
def classifier_command(
    texts: Annotated[
        Path,
        typer.Argument(
            metavar="JSONL",
            help='Rows {"text": ..., "label": ...}; a label is a text, or texts by attribute.',
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    held_out: Annotated[
        Path | None, typer.Option(help="Rows to report the accuracy on; default: a tenth.")
    ] = None,
    model: ModelOption = None,
    embeddings: Annotated[
        Literal["random", "model"],
        typer.Option(help="Start from random embeddings, or from the model's main directions."),
    ] = "random",
    epochs: Annotated[int, typer.Option(min=1, help="Times each text is seen.")] = 40,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a step.")] = 64,
    learning_rate: Annotated[float, typer.Option(min=0, help="At its height.")] = 3e-3,
    hidden: Annotated[int, typer.Option(min=8, help="Width; a multiple of 8.")] = 64,
    layers: Annotated[int, typer.Option(min=1, help="Transformer layers.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Makes training repeatable.")] = 0,
) -> None:
    """Train a noise-aware classifier of labelled texts, for guidance."""
    with one_line_errors():
        if hidden % 8:
            raise ValueError(f"--hidden must be a multiple of 8, not {hidden}")

        rows, tests = _rows(texts, held_out)
        console, loaded = load_under_status(model)
        denoiser = loaded.denoiser
        from ctrlgen.controllers.classifiers.training import Corpus, Recipe

        recipe = Recipe(epochs, batch_size, learning_rate, seed=seed)
        classifier = _untrained(denoiser, rows, hidden, layers, embeddings == "model", seed)
        corpus = Corpus(rows, denoiser.encode, classifier.config, recipe.max_length)
        _fit(classifier, corpus, recipe, console)
        classifier.save(out)
        judged = Corpus(tests, denoiser.encode, classifier.config, recipe.max_length)
        _report(classifier, judged, out)


def _rows(texts: Path, held_out: Path | None) -> tuple[list[LabelledText], list[LabelledText]]:
    """Texts to train on, and texts to report on."""
    from ctrlgen.controllers.classifiers.training import read_labelled

    rows = read_labelled(texts)
    if held_out is not None:
        return rows, read_labelled(held_out)
    if len(rows) < 10:
        raise ValueError(f"{texts} has {len(rows)} rows; without --held-out it needs 10 or more")
    return [row for i, row in enumerate(rows) if i % 10], rows[::10]


def load_under_status(model: str | None) -> tuple[Console, Any]:
    """The console that progress is shown on, and the model."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("Loading the model"):
        import ctrlgen

        return console, ctrlgen.load(model)


def _untrained(
    denoiser: Any, rows: list[LabelledText], hidden: int, layers: int, from_model: bool, seed: int
) -> TextClassifier:
    """A fresh classifier for the denoiser's tokens and the labels of the rows."""
    import torch

    from ctrlgen.controllers.classifiers import training
    from ctrlgen.controllers.classifiers.text import ClassifierConfig, TextClassifier

    config = ClassifierConfig(
        vocab_size=denoiser.vocabulary.size,
        mask_token_id=denoiser.mask_token_id,
        fill_token_id=denoiser.fill_token_id,
        fingerprint=denoiser.vocabulary.fingerprint,
        attributes=training.attributes_of(rows),
        hidden=hidden,
        layers=layers,
    )
    torch.manual_seed(seed)
    classifier = TextClassifier(config)
    if from_model:
        start = training.project(denoiser.model.get_input_embeddings().weight, hidden)
        known = min(len(start), config.vocab_size)
        classifier.embedding.weight.data[:known] = start[:known]
    return classifier


def _fit(classifier: TextClassifier, corpus: Corpus, recipe: Recipe, console: Console) -> None:
    """Train under a progress bar."""
    from rich.progress import Progress

    from ctrlgen.controllers.classifiers.training import train

    steps = recipe.epochs * -(-len(corpus) // recipe.batch_size)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("Training", total=steps)
        for loss in train(classifier, corpus, recipe):
            progress.update(bar, advance=1, description=f"Training, loss {loss:.3f}")


def _report(classifier: TextClassifier, corpus: Corpus, out: Path) -> None:
    """Print the accuracy on held-out texts at several rates of masks."""
    from ctrlgen.controllers.classifiers.training import accuracy

    by_rate = [accuracy(classifier, corpus, rate) for rate in MASK_RATES]
    typer.echo(f"{'masked':<20}" + "".join(f"{rate:>8.0%}" for rate in MASK_RATES))
    for name in classifier.config.attributes:
        typer.echo(f"{name:<20}" + "".join(f"{found[name]:>8.3f}" for found in by_rate))
    size = sum(file.stat().st_size for file in out.iterdir())
    typer.echo(f"accuracy on {len(corpus)} texts; {size:,} bytes in {out}")
