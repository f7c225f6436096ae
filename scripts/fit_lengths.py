"""Fit what makes lengths comparable, on training data: `python scripts/fit_lengths.py --data DIR`.

With the embedded model: how much a closing mass is worth (does the value fit its slot?), for slots
of several sizes, and how much likelier than said it is that there is no value. With `--twin`, a
checkpoint without slack: the weights of the scores that compare lengths, and how sure the most
probable length of an open end must be. Prints reliability before and after, on the part of the
slots that nothing was fitted on, and the constants to be copied.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from embedded import corpora
from rich.console import Console
from rich.table import Table

import ctrlgen
from ctrlgen.canvas import Canvas
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers import ConstraintController
from ctrlgen.controllers.lengths import OpenEnd, Row, SeveralLengths, open_places
from ctrlgen.controllers.lengths.open_end import length_of, with_ends
from ctrlgen.controllers.lengths.scores import (
    FEATURES,
    SECOND_LOOK,
    SEVERAL,
    Candidate,
    LengthScore,
)
from ctrlgen.controllers.lengths.several import candidates, cut_rows

SIZES = (3, 4, 5, 6, 8, 10, 14)
DECAY = 3e-3
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)


Choice = tuple[np.ndarray, int]
"""Features of the candidates of a slot, (candidates, features), and which is right."""


@dataclass
class Asked:
    """A prompt, its canvas, and the gold tokens of each slot (0: absent)."""

    prompt: list[int]
    canvas: Canvas
    gold: dict[Gap, int]


def asked(model: ctrlgen.Model, example: corpora.Example, size: int | None = None) -> Asked:
    """The canvas of an example's record, its keys all optional strings, as laid out."""
    keys = {key: {"type": "string"} for key in example.keys}
    _, scaffold = model.bind({"type": "object", "properties": keys})
    denoiser = model.denoiser
    canvas = Canvas(scaffold, denoiser.mask_token_id, 400)
    gold = {}
    for place in open_places(canvas):
        value = example.answer.get(place.gap.name.rpartition("/")[2])
        text = "" if value is None else json.dumps(value, ensure_ascii=False)
        gold[place.gap] = len(denoiser.encode(text)) if text else 0
        if size is not None:
            place.gap.resize(scaffold.filling(place.gap, size))
    messages = [{"role": role, "content": text} for role, text in example.turns]
    return Asked(denoiser.prompt(messages, ()), canvas, gold)


def looks(
    model: ctrlgen.Model, examples: list[corpora.Example], rows: Callable[[Canvas], list[Row]]
) -> Iterator[tuple[Asked, list[Gap], list[np.ndarray]]]:
    """The canvas of each example, its gaps, and the logits of some rows of it."""
    for i, example in enumerate(examples):
        item = asked(model, example, SIZES[i % len(SIZES)] if rows is narrow else None)
        gaps, start = [place.gap for place in open_places(item.canvas)], len(item.prompt)
        wanted = rows(item.canvas)
        found = model.denoiser(
            [item.prompt + row.ids for row in wanted],
            [[start + i for i in row.positions] for row in wanted],
        )
        yield item, gaps, [np.asarray(each) for each in found]


def whole(canvas: Canvas) -> list[Row]:
    """The canvas as it is, all its gaps asked for."""
    spans = [range(p.offset, p.offset + p.gap.length) for p in open_places(canvas)]
    return [Row(canvas.view().ids, [i for span in spans for i in span])]


def narrow(canvas: Canvas) -> list[Row]:
    """The same, of a canvas whose slots have one of `SIZES`."""
    return whole(canvas)


def slack(
    model: ctrlgen.Model, examples: list[corpora.Example], rows: Callable[[Canvas], list[Row]]
) -> np.ndarray:
    """Of slots with slack: closing mass, whether the value fits, mass and truth of its absence."""
    out = []
    for item, gaps, (logits,) in looks(model, examples, rows):
        for gap, part in zip(gaps, np.split(logits, len(gaps)), strict=True):
            posterior = ConstraintController().posterior(item.canvas, gap, part)
            fits, absent = item.gold[gap] <= gap.length, not item.gold[gap]
            mass = float(posterior.length_posterior()[0])
            out.append((posterior.closing_mass(), fits, mass, absent))
    return np.array(out, dtype=float)


def fit_platt(masses: np.ndarray, fits: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the log-odds (Platt 1999), by Newton's method from a prior at 1, 0."""
    x = np.stack([log_odds(masses), np.ones(len(masses))], axis=1)
    prior = w = np.array([1.0, 0.0])

    def loss(w: np.ndarray) -> float:
        z = x @ w
        return float((np.logaddexp(0.0, z) - fits * z).sum() + ((w - prior) ** 2).sum() / 2)

    for _ in range(50):
        p = sigmoid(x @ w)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (fits - p) - (w - prior))
        while loss(w + step) > loss(w) and np.abs(step).max() > 1e-9:
            step = step / 2
        w = w + step
    return float(w[0]), float(w[1])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """From log-odds to a probability."""
    return np.exp(-np.logaddexp(0.0, -x))


def log_odds(p: np.ndarray) -> np.ndarray:
    """Log-odds, kept finite."""
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def reliability(
    console: Console, title: str, before: np.ndarray, after: np.ndarray, right: Any
) -> None:
    """A table of said against true shares, and the expected calibration errors."""
    table = Table("said", "slots", "said, mean", "true", title=title)
    for name, said in (("before", before), ("after", after)):
        error = 0.0
        for low, high in pairwise(BINS):
            inside = (said >= low) & ((said < high) | (high == 1.0))
            if inside.any():
                gap = abs(said[inside].mean() - right[inside].mean())
                error += gap * inside.mean()
                table.add_row(
                    f"{name} {low:.2f}-{high:.2f}", str(inside.sum()), f"{said[inside].mean():.3f}",
                    f"{right[inside].mean():.3f}",
                )  # fmt: skip
        table.add_row(f"{name}: expected calibration error", "", "", f"{error:.4f}")
    console.print(table)


def ends(model: ctrlgen.Model, examples: list[corpora.Example]) -> list[tuple[np.ndarray, int]]:
    """Length posteriors of open ends, and the gold lengths."""
    out = []
    for item, gaps, found in looks(model, examples, OpenEnd().rows):
        for gap, logits in zip(gaps, found, strict=True):
            posterior = length_of(item.canvas, gap, with_ends(item.canvas, gap, logits))
            if posterior is not None and item.gold[gap] <= gap.length:
                out.append((posterior.length_posterior(), item.gold[gap]))
    return out


def fit_temperature(found: list[tuple[np.ndarray, int]]) -> float:
    """The temperature at which gold lengths are the most probable (Guo 2017), by search."""

    def loss(t: float) -> float:
        return -float(np.mean([np.log(cooled(mass, t)[gold] + 1e-9) for mass, gold in found]))

    return float(min(np.arange(0.5, 4.01, 0.05), key=loss))


def cooled(mass: np.ndarray, temperature: float) -> np.ndarray:
    """A distribution at another temperature."""
    out = np.maximum(mass, 1e-12) ** (1 / temperature)
    return out / out.sum()


def choices(model: ctrlgen.Model, examples: list[corpora.Example]) -> list[Choice]:
    """Candidates of each slot where all slots have one length in a row."""
    out, source = list[Choice](), SeveralLengths()
    for item, gaps, found in looks(model, examples, source.rows):
        rows = cut_rows(gaps, source.tried(item.canvas, gaps), found)
        for gap in gaps:
            tries = candidates(item.canvas, gap, [cut[gap] for cut in rows])
            gold = item.gold[gap]
            right = [c.empty if not gold else not c.empty and c.length == gold for c in tries]
            if sum(right) == 1:
                out.append((np.stack([c.features() for c in tries]), right.index(True)))
    return out


@dataclass(frozen=True)
class Recorder(LengthScore):
    """A score that keeps what it is asked to compare."""

    weights: tuple[float, ...] = SECOND_LOOK
    kept: list[Sequence[Candidate]] = field(default_factory=list)

    def __call__(self, candidates: Sequence[Candidate]) -> Floats:
        """As ever."""
        self.kept.append(candidates)
        return super().__call__(candidates)


@dataclass(frozen=True)
class Recorded(OpenEnd):
    """An open end that keeps the candidates of each second look, by the name of the slot."""

    score: Recorder = field(default_factory=Recorder)
    slots: list[tuple[str, Sequence[Candidate]]] = field(default_factory=list)

    def read(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        """As ever."""
        names = [gap.name for gap in canvas.gaps() if gap.guess is not None]
        out = super().read(canvas, rows, logits)
        if len(names) == len(self.score.kept):
            self.slots.extend(zip(names, self.score.kept, strict=True))
        self.score.kept.clear()
        return out


def second_looks(model: ctrlgen.Model, examples: list[corpora.Example]) -> list[Choice]:
    """Candidates of each slot that was looked at again while an answer was made."""
    out, vocabulary = list[Choice](), model.denoiser.vocabulary.tokens
    for example in examples:
        keys = {"type": "object", "properties": {k: {"type": "string"} for k in example.keys}}
        call = {"name": {"const": example.tool}, "arguments": keys}
        schema = {"type": "object", "properties": call, "required": list(call)}
        source = Recorded()
        messages = [{"role": role, "content": text} for role, text in example.turns]
        made = ctrlgen.Generator(model, schema if example.tool else keys)
        made.generate(messages, lengths=source)
        for name, tries in source.slots:
            value = example.answer.get(name.rpartition("/")[2])
            gold = b"" if value is None else json.dumps(value, ensure_ascii=False).encode()
            right = [b"".join(vocabulary[t] or b"" for t in c.tokens) == gold for c in tries]
            if sum(right) == 1:
                out.append((np.stack([c.features() for c in tries]), right.index(True)))
    return out


def fit_weights(found: list[Choice]) -> np.ndarray:
    """A conditional logit by L-BFGS, with a little decay, features in units of their spread."""
    most = max(len(x) for x, _ in found)
    padded = np.zeros((len(found), most, found[0][0].shape[1]))
    out = np.zeros((len(found), most))
    for i, (x, _) in enumerate(found):
        padded[i, : len(x)], out[i, len(x) :] = x, -1e9
    scale = np.maximum(np.concatenate([x for x, _ in found]).std(axis=0), 1e-9)
    scale = np.where(scale > 1e-6, scale, np.inf)  # what never varies counts for nothing
    data, never = torch.from_numpy(padded / scale), torch.from_numpy(out)
    right = torch.tensor([index for _, index in found])
    weights = torch.zeros(data.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(data @ weights + never, right)
        loss = loss + DECAY * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach().numpy() / scale


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    twin: Annotated[Path | None, typer.Option(help="Checkpoint that knows no slack.")] = None,
    n: Annotated[int, typer.Option(help="Training examples a corpus.")] = 60,
) -> None:
    """Print the constants."""
    console, rng = Console(), random.Random(7)
    loads = (corpora.load_snips, corpora.load_sgd, corpora.load_e2e)
    pools = [[e for e in load(data, test=False) if e.keys] for load in loads]
    examples = [e for pool in pools for e in rng.sample(pool, n)]
    rng.shuffle(examples)
    trained: Any = ctrlgen.load()
    trained.denoiser.closing, trained.denoiser.absence = (1.0, 0.0), 0.0
    for name, rows, columns in (
        ("closing: the value fits", narrow, slice(0, 2)),
        ("absence: there is no value", whole, slice(2, 4)),
    ):
        said, true = slack(trained, examples, rows).T[columns]
        half = len(said) // 2
        slope, offset = fit_platt(said[:half], true[:half])
        after = sigmoid(slope * log_odds(said[half:]) + offset)
        reliability(console, name, said[half:], after, true[half:])
        console.print(f"{name}: slope {slope:.2f}, offset {offset:.2f}, worth {offset / slope:.2f}")
    if twin is None:
        return
    model = ctrlgen.load(twin)
    masses = ends(model, examples)
    half = len(masses) // 2
    temperature = fit_temperature(masses[:half])
    said = [np.array([m.max() for m, _ in masses[half:]])]
    said.append(np.array([cooled(m, temperature).max() for m, _ in masses[half:]]))
    right = np.array([int(m.argmax()) == gold for m, gold in masses[half:]])
    reliability(console, "open end: the most probable length is right", *said, right)
    console.print(f"open end: temperature {temperature:.2f}, right {right.mean():.3f}")
    for name, tried, before in (
        ("several lengths", choices(model, examples), SEVERAL),
        ("second look", second_looks(model, examples), SECOND_LOOK),
    ):
        half = len(tried) // 2
        weights = fit_weights(tried[:half])
        only_sum = np.eye(len(FEATURES))[0]
        for which, w in (("sum", only_sum), ("now", np.array(before)), ("fitted", weights)):
            hits = np.mean([int((x @ w).argmax()) == right for x, right in tried[half:]])
            console.print(f"{name}, {which}: right {hits:.3f} of {len(tried) - half}")
        console.print(f"{name}: weights", [round(w, 3) for w in fit_weights(tried).tolist()])


if __name__ == "__main__":
    typer.run(main)
