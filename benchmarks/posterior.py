"""What the exact posterior of a gap costs, and what it buys.

    python benchmarks/posterior.py --tokenizer DIR [--plot FILE]

Three tables: how the time grows with positions, states and atoms; the same optimum by a dense
Viterbi (DINGO, arXiv:2505.23061, over states x vocabulary) and a filling by reject-and-retry with
the left-to-right mask (as IG-CD and LAVE do) on the same logits; and the share of a whole
generation's work that is saved from one step to the next.

Logits: a Zipf background in an order of its own per position, and a peak on each token of a text
that the model "means", which is a word of the constraint in one draw and not quite one in another.
They are float32, as models return them; the dense Viterbi and the retries get them normalised, in
float32 too, and only their own work is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import plots
import typer
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedTokenizerFast

import ctrlgen
from ctrlgen.constraints.atoms import NEVER, Ints, atoms_of
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.gap import GapGraph, Slack, reachable
from ctrlgen.constraints.log_probs import Reals
from ctrlgen.constraints.passes import level
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.schedulers import LowConfidence, Scheduler, Threshold

NAMES = r"[A-Z][a-z]+( [A-Z][a-z]+)*, \d{4}"
WORDS = r"\[([a-z]{1,8}(, [a-z]{1,8})*)?\]"
CASES: dict[str, tuple[Any, str, str]] = {
    "string": ({"type": "string"}, '"Alimentum in the city centre"', 'Alimentum "in" the city'),
    "integer 0-5000": ({"type": "integer", "minimum": 0, "maximum": 5000}, "4711", "about 4711"),
    "date": ({"type": "string", "format": "date"}, '"2024-02-29"', '"2024-02-30"'),
    "place, year": (ctrlgen.regex(NAMES), "New York, 1999", "NYC 99"),
    "list of words": (ctrlgen.regex(WORDS), "[red, blue]", "red blue"),
}
TRIES = 20


@dataclass
class Gap:
    """One gap with the logits it is asked about."""

    constraint: Constraint
    graph: GapGraph
    logits: Reals
    log_probs: Reals
    committed: Ints


def gap_of(tokenizer: PreTrainedTokenizerFast, spec: Any, meant: str, length: int) -> Gap:
    """A gap of `length` open positions and logits that mean `meant`."""
    constraint = ctrlgen.compile(spec, tokenizer)
    fill = tokenizer.pad_token_id
    states = reachable(constraint.tokens, constraint.start(), length, 10_000)
    assert states is not None, "every case here is small"
    graph = GapGraph(constraint.tokens, states, length, Slack(fill))
    ids = tokenizer(meant, add_special_tokens=False)["input_ids"]
    ids = (ids + [fill] * length)[:length]
    rng = np.random.default_rng(0)
    zipf = -np.log(np.arange(1, constraint.vocabulary.size + 1)).astype(np.float32)
    logits = np.stack([rng.permutation(zipf) for _ in range(length)])
    logits[np.arange(length), ids] += 12.0
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Gap(constraint, graph, logits, log_probs, np.full(length, -1))


def timed(work: Callable[[], Any], repeats: int = 7) -> tuple[float, Any]:
    """Fewest milliseconds of CPU time of several runs, and the result."""
    best, result = np.inf, None
    for _ in range(repeats):
        started = time.process_time()
        result = work()
        best = min(best, 1e3 * (time.process_time() - started))
    return best, result


def whole_step(gap: Gap) -> Posterior:
    """All that the loop asks of a posterior in a step: filling, confidences, support, closing."""
    posterior = Posterior(gap.graph, gap.logits, gap.committed)
    posterior.confidence(posterior.best())
    posterior.closing_mass()
    assert posterior.support.all()
    return posterior


class DenseViterbi:
    """DINGO without token classes: every state times every token at every position."""

    def __init__(self, gap: Gap) -> None:
        graph, vocabulary = gap.graph, gap.graph.tokens.vocabulary
        self.gap = gap
        target = np.full((graph.n_nodes, vocabulary.size), -1, dtype=np.int32)
        for arc in range(len(graph.arcs.source)):
            members = graph.atoms.members(int(graph.arcs.atom[arc]))
            target[graph.arcs.source[arc], members] = graph.arcs.target[arc]
        self.order = np.argsort(target, axis=None, kind="stable").astype(np.int64)
        flat = target.ravel()[self.order]
        self.reached, self.first = np.unique(flat, return_index=True)

    def __call__(self) -> float:
        """Log-probability of the best filling."""
        graph = self.gap.graph
        score = np.full(graph.n_nodes, NEVER, dtype=np.float32)
        score[0] = 0.0
        for row in self.gap.log_probs:
            value = (score[:, None] + row).ravel()[self.order]
            best = np.maximum.reduceat(value, self.first)
            score = np.full(graph.n_nodes, NEVER, dtype=np.float32)
            score[self.reached[self.reached >= 0]] = best[self.reached >= 0]
        return float(score[graph.final[:-1]].max())


def reject_and_retry(gap: Gap) -> tuple[float, int]:
    """Left to right: propose, check with the mask, propose again; start over at a dead end.

    Returns:
        Log-probability of the filling (-inf: none found), and how many proposals were rejected.
    """
    tokens, fill = gap.constraint.tokens, gap.graph.slack
    assert fill is not None
    rejected, rng = 0, np.random.default_rng(0)
    for attempt in range(TRIES):
        state, total, ended = gap.constraint.start(), 0.0, False
        for row in gap.log_probs:
            # The first attempt is greedy, the others draw (Gumbel noise orders the proposals).
            noisy = row if attempt == 0 else row + rng.gumbel(size=len(row))
            allowed = np.zeros(len(row), dtype=bool) if ended else tokens.mask(state).copy()
            allowed[fill.fill_token_id] = ended or tokens.is_accepting(state)
            if not allowed.any():
                break
            choice = int(np.where(allowed, noisy, NEVER).argmax())
            rejected += int((noisy > noisy[choice]).sum())
            total += float(row[choice])
            ended = ended or choice == fill.fill_token_id
            state = state if ended else tokens.next(state, choice)
        else:
            if ended or tokens.is_accepting(state):
                return total, rejected
    return NEVER, rejected


def growth(tokenizer: PreTrainedTokenizerFast) -> tuple[Table, list[plots.Curves]]:
    """Milliseconds of a whole step against positions, states and atoms."""
    panels = [
        plots.Curves("a whole step", x, "milliseconds", {}, log_x=2, log_y=10)
        for x in ("positions", "states", "atoms")
    ]
    table = Table("gap", "positions", "states", "atoms", "arcs", "ms", "ms/position")
    for name, (spec, meant, _) in CASES.items():
        for length in (16, 32, 64):
            gap = gap_of(tokenizer, spec, meant, length)
            ms, _ = timed(partial(whole_step, gap))
            counts = (gap.graph.n_nodes, gap.graph.atoms.count, len(gap.graph.arcs.source))
            table.add_row(name, str(length), *map(str, counts), f"{ms:.1f}", f"{ms / length:.2f}")
            for panel, at in zip(panels, (length, *counts[:2]), strict=True):
                # Only the positions of a gap vary: states and atoms do from gap to gap.
                label = name if panel.x == "positions" else f"{length} positions"
                panel.lines.setdefault(label, []).append((at, ms))
    return table, panels


def rivals(tokenizer: PreTrainedTokenizerFast, length: int) -> Table:
    """The same logits to a dense Viterbi and to reject-and-retry."""
    table = Table(
        "gap", "meant", "ms", "dense / ours", "same optimum", "retry / ours", "retry rejects",
        "log-prob: ours", "retry",
    )  # fmt: skip
    for name, (spec, right, wrong) in CASES.items():
        for meant in (right, wrong):
            gap = gap_of(tokenizer, spec, meant, length)
            ours, best = timed(partial(_best, gap))
            score = float(gap.log_probs[np.arange(length), best].sum())
            dense, optimum = timed(DenseViterbi(gap), 1)
            retry, (found, rejects) = timed(partial(reject_and_retry, gap), 1)
            table.add_row(
                name,
                "valid" if meant == right else "invalid",
                f"{ours:.1f}",
                f"{dense / ours:.1f}",
                str(bool(abs(score - optimum) < 1e-3)),
                f"{retry / ours:.1f}",
                str(rejects),
                f"{score:.1f}",
                f"{found:.1f}" if np.isfinite(found) else "none found",
            )
    return table


def _best(gap: Gap) -> Ints:
    return Posterior(gap.graph, gap.logits, gap.committed).best()


def reuse(scheduler: Scheduler) -> Table:
    """What the steps of whole generations share, on the embedded model."""
    from ctrlgen.controllers import ConstraintController

    asked = {"steps": 0, "rows": 0, "committed": 0, "graphs": 0, "built": 0, "kept": 0}
    model = ctrlgen.load()
    plain = ConstraintController.posteriors

    def counting(self: Any, canvas: Any, gaps: Any, log_probs: Any) -> list[Posterior | None]:
        before, trellises = len(canvas.scaffold.graphs), [gap.trellis for gap in gaps]
        out = plain(self, canvas, gaps, log_probs)
        asked["steps"] += 1
        asked["rows"] += sum(gap.length for gap in gaps)
        asked["committed"] += sum(int((gap.committed >= 0).sum()) for gap in gaps)
        asked["graphs"] += len(gaps)
        asked["built"] += len(canvas.scaffold.graphs) - before
        pairs = zip(gaps, trellises, strict=True)
        asked["kept"] += sum(gap.trellis is known for gap, known in pairs)
        return out

    ConstraintController.posteriors = counting  # type: ignore[method-assign]
    atoms_of.cache_clear()
    level.cache_clear()
    schema = Path(__file__).parents[1] / "schemas" / "restaurant.json"
    generator = ctrlgen.Generator(model, schema, scheduler=scheduler)
    for text in ("Alimentum is a cheap pub in the city centre.", "Cocum, riverside, 5 out of 5."):
        generator.generate(text)
    ConstraintController.posteriors = plain  # type: ignore[method-assign]
    atoms, levels = atoms_of.cache_info(), level.cache_info()
    table = Table("work", "asked for", "saved", "share")
    for name, total, saved in (
        ("rows of gaps with open positions", asked["rows"], asked["committed"]),
        ("gap graphs", asked["graphs"], asked["graphs"] - asked["built"]),
        ("trellises", asked["graphs"], asked["kept"]),
        ("partitions into atoms", atoms.hits + atoms.misses, atoms.hits),
        ("layers of all gaps side by side", levels.hits + levels.misses, levels.hits),
    ):
        table.add_row(name, str(total), str(saved), f"{100 * saved / max(1, total):.0f} %")
    table.title = f"{asked['steps']} steps"
    return table


def main(
    tokenizer: Annotated[Path, typer.Option(help="Folder of a Hugging Face fast tokenizer.")],
    length: int = 16,
    out: plots.PlotFile = None,
) -> None:
    """Print the tables."""
    tok = PreTrainedTokenizerFast.from_pretrained(tokenizer)
    console, (steps, panels) = Console(), growth(tok)
    for title, table in (
        ("a whole step", steps),
        (f"rivals at {length} positions", rivals(tok, length)),
        ("reuse in two generations, by threshold", reuse(Threshold())),
        ("reuse in two generations, one token a step", reuse(LowConfidence())),
    ):
        console.print(title)
        console.print(table)
    if out is not None:
        plots.draw(panels, out)


if __name__ == "__main__":
    typer.run(main)
