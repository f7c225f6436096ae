"""What the constraint costs in a denoising step, beside what any decoding pays.

    python benchmarks/overhead.py --tokenizer DIR [--plot FILE]

Whole generations over a real vocabulary with a denoiser that costs nothing: its logits are a Zipf
background in an order of its own per position, and a peak on a token of some JSON value. Per step,
medians over the generation:

- softmax: `torch.log_softmax` in float32 over the open positions that were asked, which decoding
  without a constraint needs too to know how sure it is; and the same into memory that is there;
- classes: the normalisers of the rows, their reduction to token classes, and the best tokens;
- rest: posteriors, witness, confidences, schedule, commits, layout, trace.

The last column is an event that is looked at: its cells and its text, which the others leave out.

Compilation (lifting and graphs, which later steps and generations share) is measured apart, as the
first generation's time less that of a second one with the same logits.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import plots
import torch
import typer
from transformers import PreTrainedTokenizerFast

import ctrlgen
from ctrlgen.constraints.array_log_probs import ArrayLogProbs
from ctrlgen.constraints.log_probs import Reals
from ctrlgen.denoisers.tokens import TokenizerDenoiser
from ctrlgen.errors import CanvasTooSmallError

KINDS: tuple[dict[str, Any], ...] = (
    {"type": "string"},
    {"type": "integer", "minimum": 0, "maximum": 100_000},
    {"type": "boolean"},
    {"type": "string", "format": "date"},
    {"enum": ["low", "medium", "high"]},
    {"type": "number"},
)
WORDS = (
    "name", "age", "open", "day", "level", "price", "city", "size", "ready", "date", "type",
    "score", "title", "year", "valid", "start", "state", "rate", "code", "count", "used", "end",
    "mode", "cost", "text", "total", "free", "due", "kind", "mean",
)  # fmt: skip
NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["name", "children"],
    "additionalProperties": False,
}
MEANT = ' Paris city 12 7 "," ":" true low medium 2024 "] "}'


def fields(count: int) -> dict[str, Any]:
    """An object of so many required fields."""
    names = [f"{WORDS[i % len(WORDS)]}{i // len(WORDS) or ''}" for i in range(count)]
    properties = {name: KINDS[i % len(KINDS)] for i, name in enumerate(names)}
    return {
        "type": "object", "properties": properties, "required": names,
        "additionalProperties": False,
    }  # fmt: skip


SCHEMAS = {
    "5 fields": fields(5),
    "30 fields": fields(30),
    "150 fields": fields(150),
    "recursive": {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
}


class Meaning(TokenizerDenoiser):
    """A denoiser that only looks up, with the vocabulary of a tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__(tokenizer)
        self.mask_token_id = tokenizer.mask_token_id or self.vocabulary.size - 1
        self.fill_token_id, self.max_length = tokenizer.pad_token_id, 1 << 20
        zipf = -np.log(np.arange(1, self.vocabulary.size + 1)).astype(np.float32)
        meant = [*self.encode(MEANT), self.fill_token_id]
        rng = np.random.default_rng(0)
        self.rows = np.stack([rng.permutation(zipf) for _ in range(97)])
        self.rows[np.arange(97), [meant[i % len(meant)] for i in range(97)]] += 15.0
        self.open: list[int] = []

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Reals]:
        """The same row at the same position, whatever stands elsewhere."""
        (ids,), (asked,) = sequences, positions
        self.open.append(sum(ids[p] == self.mask_token_id for p in asked))
        self.last = self.rows[np.array(asked) % len(self.rows)]  # lest the loop pays for freeing it
        return [self.last]


class Clock:
    """Milliseconds of processor time that went into parts of the current step."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()

    def watch(self, stack: ExitStack, owner: Any, name: str, part: str) -> None:
        """Add what a function takes to a part, until the stack is closed."""
        plain = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.thread_time()
            try:
                return plain(*arguments, **options)
            finally:
                self.spent[part] += 1e3 * (time.thread_time() - started)

        setattr(owner, name, timed)
        stack.callback(setattr, owner, name, plain)


@dataclass
class Steps:
    """Milliseconds of each step, and how many positions were open."""

    open: list[int] = field(default_factory=list)
    classes: list[float] = field(default_factory=list)
    rest: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    whole: float = 0.0


def generation(model: ctrlgen.Model, schema: Any, canvas: int, steps: int | None = None) -> Steps:
    """One generation, step by step.

    Raises:
        CanvasTooSmallError: If the schema needs more.
    """
    clock, out, denoiser = Clock(), Steps(), model.denoiser
    began = time.thread_time()
    with ExitStack() as stack:
        clock.watch(stack, type(denoiser), "__call__", "denoiser")
        clock.watch(stack, ArrayLogProbs, "_reduce", "classes")
        clock.watch(stack, ArrayLogProbs, "likeliest", "classes")
        generator = ctrlgen.Generator(model, schema)
        events = generator.stream("x", max_new_tokens=canvas, steps=steps)
        denoiser.open.clear()
        while True:
            clock.spent.clear()
            started = time.thread_time()
            event = next(events)
            ended = time.thread_time()
            if event.result is not None:
                break
            out.classes.append(clock.spent["classes"])
            out.rest.append(1e3 * (ended - started) - sum(clock.spent.values()))
            assert event.cells and event.text
            out.looks.append(1e3 * (time.thread_time() - ended))
    out.open = list(denoiser.open)
    out.whole = 1e3 * (time.thread_time() - began)
    return out


def plain_softmax(vocabulary: int, out: torch.Tensor | None = None) -> float:
    """Milliseconds a row of a softmax in float32, as decoding without a constraint takes it."""
    rows = torch.randn(64, vocabulary)
    times = []
    for _ in range(9):
        started = time.thread_time()
        torch.log_softmax(rows, -1, out=out)
        times.append(time.thread_time() - started)
    return 1e3 * float(np.median(times)) / len(rows)


COLUMNS = {
    "compile": ".0f", "steps": ".0f", "open": ".0f", "softmax": ".1f", "in place": ".1f",
    "classes": ".1f", "/ softmax": ".2f", "/ in place": ".2f", "rest": ".2f", "a look": ".2f",
}  # fmt: skip
"""Numbers of a row, and how they are printed."""
DRAWN = ("softmax", "classes", "rest")


def measured(
    model: ctrlgen.Model, schema: Any, row_ms: tuple[float, float], **options: Any
) -> dict[str, float]:
    """Numbers of a row: milliseconds a step, medians over the second of two generations.

    Raises:
        CanvasTooSmallError: If the schema needs more.
    """
    first = generation(model, schema, **options)
    gc.collect()  # what that one committed is no longer known
    again = generation(model, schema, **options)
    plain, in_place = (each * np.array(again.open) for each in row_ms)
    classes = np.array(again.classes)
    medians = (again.open, plain, in_place, classes, classes / plain, classes / in_place,
               again.rest, again.looks)  # fmt: skip
    numbers = (first.whole - again.whole, len(again.rest), *map(np.median, medians))
    return {name: float(number) for name, number in zip(COLUMNS, numbers, strict=True)}


def main(
    tokenizer: Annotated[Path, typer.Option(help="Folder of a Hugging Face fast tokenizer.")],
    canvases: Annotated[list[int], typer.Option("--canvas")] = [64, 256, 1024],  # noqa: B006
    schemas: Annotated[list[str], typer.Option("--schema")] = [*SCHEMAS],  # noqa: B006
    steps: Annotated[int | None, typer.Option(help="Most forward passes.")] = None,
    out: plots.PlotFile = None,
) -> None:
    """Print a row for every schema and canvas that holds it, as it is measured."""
    torch.set_num_threads(1)
    model = ctrlgen.Model(Meaning(PreTrainedTokenizerFast.from_pretrained(tokenizer)))
    size = model.denoiser.vocabulary.size
    row_ms = plain_softmax(size), plain_softmax(size, torch.empty(64, size))
    print(f"vocabulary {size:,}; milliseconds a step, medians")
    print(" ".join(f"{column:>12}" for column in ("schema", "canvas", *COLUMNS)))
    panels = {
        part: plots.Curves(part, "canvas", "milliseconds a step", {}, log_x=2, log_y=10)
        for part in DRAWN
    }
    for name in schemas:
        for canvas in canvases:
            try:
                row = measured(model, SCHEMAS[name], row_ms, canvas=canvas, steps=steps)
                cells = [f"{row[column]:{form}}" for column, form in COLUMNS.items()]
                for part, panel in panels.items():
                    panel.lines.setdefault(name, []).append((canvas, row[part]))
            except CanvasTooSmallError as error:
                cells = [f"needs {error.needed}"]
            print(" ".join(f"{cell:>12}" for cell in (name, str(canvas), *cells)), flush=True)
    if out is not None:
        plots.draw([*panels.values()], out)


if __name__ == "__main__":
    typer.run(main)
