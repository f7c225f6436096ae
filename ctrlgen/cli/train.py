"""`ctrlgen train`: what is trained around a denoiser, which itself stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ctrlgen.cli.options import ModelOption, one_line_errors

if TYPE_CHECKING:
    from ctrlgen.controllers.classifiers.text import TextClassifier
    from ctrlgen.controllers.classifiers.training import Corpus

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

        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        with console.status("Loading the model"):
            import torch

            import ctrlgen
            from ctrlgen.controllers.classifiers import training
            from ctrlgen.controllers.classifiers.text import ClassifierConfig, TextClassifier

            denoiser = ctrlgen.load(model).denoiser
        rows = training.read_labelled(texts)
        if held_out is not None:
            tests = training.read_labelled(held_out)
        else:
            rows, tests = [r for i, r in enumerate(rows) if i % 10], rows[::10]
        config = ClassifierConfig(
            vocab_size=denoiser.vocabulary.size,
            mask_token_id=denoiser.mask_token_id,
            fill_token_id=denoiser.fill_token_id,
            fingerprint=denoiser.vocabulary.fingerprint,
            attributes=training.attributes_of(rows),
            hidden=hidden,
            layers=layers,
        )
        recipe = training.Recipe(epochs, batch_size, learning_rate, seed=seed)
        torch.manual_seed(seed)
        classifier = TextClassifier(config)
        if embeddings == "model":
            weights = denoiser.model.get_input_embeddings().weight  # type: ignore[attr-defined]
            start = training.project(weights, hidden)[: config.vocab_size]
            classifier.embedding.weight.data[: len(start)] = start
        corpus = training.Corpus(rows, denoiser.encode, config, recipe.max_length)
        steps = epochs * -(-len(corpus) // batch_size)
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("Training", total=steps)
            for loss in training.train(classifier, corpus, recipe):
                progress.update(bar, advance=1, description=f"Training, loss {loss:.3f}")
        classifier.save(out)
        judged = training.Corpus(tests, denoiser.encode, config, recipe.max_length)
        _report(classifier, judged, out)


def _report(classifier: TextClassifier, corpus: Corpus, out: Path) -> None:
    """Print the accuracy on held-out texts at several rates of masks."""
    from ctrlgen.controllers.classifiers.training import accuracy

    by_rate = [accuracy(classifier, corpus, rate) for rate in MASK_RATES]
    typer.echo(f"{'masked':<20}" + "".join(f"{rate:>8.0%}" for rate in MASK_RATES))
    for name in classifier.config.attributes:
        typer.echo(f"{name:<20}" + "".join(f"{found[name]:>8.3f}" for found in by_rate))
    size = sum(file.stat().st_size for file in out.iterdir())
    typer.echo(f"accuracy on {len(corpus)} texts; {size:,} bytes in {out}")
