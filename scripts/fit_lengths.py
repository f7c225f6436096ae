"""Fit what makes lengths comparable, on training data: `python scripts/fit_lengths.py --data DIR`.

With the embedded model: how much a closing mass is worth (does the value fit its slot?), for slots
of several sizes. With `--twin`, a checkpoint without slack: the weights of the score that compares
lengths, and how sure the most probable length of an open end must be. Prints reliability before
and after, on the part of the slots that nothing was fitted on, and the constants to be copied.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
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
from ctrlgen.controllers import ConstraintController
from ctrlgen.controllers.lengths import OpenEnd, SeveralLengths, open_places
from ctrlgen.controllers.lengths.open_end import length_of, with_ends
from ctrlgen.controllers.lengths.scores import Candidate
from ctrlgen.controllers.lengths.several import candidates, cut_rows

SIZES = (3, 4, 5, 6, 8, 10, 14)
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)


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


def look(model: ctrlgen.Model, item: Asked, rows: list[Any]) -> list[np.ndarray]:
    """Logits of some rows of a canvas."""
    start = len(item.prompt)
    return model.denoiser(
        [item.prompt + row.ids for row in rows],
        [[start + i for i in row.positions] for row in rows],
    )


def closing(model: ctrlgen.Model, examples: list[corpora.Example]) -> tuple[np.ndarray, ...]:
    """Closing mass of slots with slack, and whether their values fit, (slots,) each."""
    masses, fits = [], []
    for i, example in enumerate(examples):
        size = SIZES[i % len(SIZES)]
        item = asked(model, example, size)
        places = open_places(item.canvas)
        view = item.canvas.view()
        spans = [range(p.offset, p.offset + p.gap.length) for p in places]
        row = type("Row", (), {"ids": view.ids, "positions": [i for s in spans for i in s]})
        (logits,) = look(model, item, [row])
        for place, part in zip(places, np.split(logits, len(places)), strict=True):
            log_probs = torch.log_softmax(torch.from_numpy(part), dim=1).numpy()
            posterior = ConstraintController().posterior(item.canvas, place.gap, log_probs)
            masses.append(posterior.closing_mass())
            fits.append(item.gold[place.gap] <= size)
    return np.array(masses), np.array(fits, dtype=float)


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
    out, source = [], OpenEnd()
    for example in examples:
        item = asked(model, example)
        gaps = [place.gap for place in open_places(item.canvas)]
        found = look(model, item, source.rows(item.canvas))
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


def choices(model: ctrlgen.Model, examples: list[corpora.Example]) -> list[tuple[np.ndarray, int]]:
    """Features of the candidates of each slot, (candidates, features), and which is right."""
    out, source = [], SeveralLengths()
    for example in examples:
        item = asked(model, example)
        gaps = [place.gap for place in open_places(item.canvas)]
        found = look(model, item, source.rows(item.canvas))
        tried = source.tried(item.canvas, gaps)
        rows = cut_rows(gaps, tried, found)
        for gap in gaps:
            tries: list[Candidate] = candidates(item.canvas, gap, [cut[gap] for cut in rows])
            gold = item.gold[gap]
            right = [c.empty if not gold else not c.empty and c.length == gold for c in tries]
            if sum(right) == 1:
                out.append((np.stack([c.features() for c in tries]), right.index(True)))
    return out


def fit_weights(found: list[tuple[np.ndarray, int]]) -> torch.Tensor:
    """A conditional logit by L-BFGS, with a little decay."""
    most = max(len(x) for x, _ in found)
    padded = np.zeros((len(found), most, found[0][0].shape[1]))
    out = np.zeros((len(found), most))
    for i, (x, _) in enumerate(found):
        padded[i, : len(x)], out[i, len(x) :] = x, -1e9
    data, never = torch.from_numpy(padded), torch.from_numpy(out)
    right = torch.tensor([index for _, index in found])
    weights = torch.zeros(data.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(data @ weights + never, right)
        loss = loss + 1e-4 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


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
    masses, fits = closing(ctrlgen.load(), examples)
    half = len(masses) // 2
    slope, offset = fit_platt(masses[:half], fits[:half])
    after = sigmoid(slope * log_odds(masses[half:]) + offset)
    reliability(console, "closing mass: the value fits", masses[half:], after, fits[half:])
    even = float(sigmoid(np.array(-offset / slope)))
    console.print(f"closing: slope {slope:.2f}, offset {offset:.2f}, even at {even:.3f}")
    if twin is None:
        return
    model = ctrlgen.load(twin)
    found = ends(model, examples)
    half = len(found) // 2
    temperature = fit_temperature(found[:half])
    said = [np.array([m.max() for m, _ in found[half:]])]
    said.append(np.array([cooled(m, temperature).max() for m, _ in found[half:]]))
    right = np.array([int(m.argmax()) == gold for m, gold in found[half:]])
    reliability(console, "open end: the most probable length is right", *said, right)
    console.print(f"open end: temperature {temperature:.2f}, right {right.mean():.3f}")
    tried = choices(model, examples)
    half = len(tried) // 2
    weights = fit_weights(tried[:half])
    for name, w in (("sum of log-probabilities", [1.0] + [0.0] * 6), ("fitted", weights.tolist())):
        hits = np.mean([int((x @ np.array(w)).argmax()) == right for x, right in tried[half:]])
        console.print(f"several lengths, {name}: right {hits:.3f}")
    console.print("several lengths: weights", [round(w, 3) for w in weights.tolist()])


if __name__ == "__main__":
    typer.run(main)
