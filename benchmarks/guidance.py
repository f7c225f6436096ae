"""What guidance buys and what it costs, on records that the embedded model puts into words.

    python benchmarks/guidance.py --data DIR [--n 60] [--tables judge,cost] [--wanted rating]
        [--plot FILE]

Six tables, or those named. The judge: precision and recall of patterns on held-out texts with gold
labels. Cost of one guided step against the exact method, which asks the classifier about every
token at every position. Classifier guidance: how often the judge finds the wanted attribute, and
what the unguided model thinks of what was written, over the scale; for the one phrase of a held-out
text that spoke of the attribute, and for whole texts of records that say nothing of it. Contrast
(CFG, A-CFG): how much of the record the text says, and how many second forward passes that takes
with and without skipping; and the same for held-out SNIPS questions, where slots are filled. Shares
have 95 % intervals (Wilson).
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import plots
import typer
from extraction import Compiled, ctrlgen_method, measured, questions
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ctrlgen
from ctrlgen.canvas import Canvas, Scaffold
from ctrlgen.constraints.nodes import Bytes, Grammar, Seq, Slot
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.controllers import (
    AdaptiveMasking,
    ClassifierFree,
    ClassifierGuidance,
    Controller,
    TextClassifier,
)
from ctrlgen.controllers.fields import regions
from ctrlgen.schedulers import LowConfidence

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from embedded.corpora import load_e2e
from label_e2e import RATINGS

SENTENCE = ctrlgen.regex(r'[A-Z][^\n"{}<>]+\.')
TABLES = ("judge", "cost", "phrases", "texts", "contrast", "slots")
STEPS = 16
MAX_TOKENS = 48
SAYS_NO = r"\b(?:not|no|non|isn't|aren't|never)\b[\w ,-]{0,24}?"
FRIENDLY = r"(?:famil(?:y|ies)|child(?:ren)?|kids?)[ -]*(?:are )?(?:friendly|welcome)"
JUDGES = {
    ("rating", "high"): r"high(?:ly)? (?:customer )?rat|\b5 out of 5|\b(?:five|5)[ -]star"
    r"|(?:excellent|great|high) (?:customer )?(?:rating|review)|rat\w+ (?:\w+ )?(?:is )?high",
    ("rating", "low"): r"(?:low|poor)(?:ly)? (?:customer )?rat|\b1 out of 5|\b(?:one|1)[ -]star"
    r"|(?:low|poor|bad) (?:customer )?(?:rating|review)|rat\w+ (?:\w+ )?(?:is )?(?:low|poor)",
    ("family_friendly", "yes"): rf"^(?!.*{SAYS_NO}{FRIENDLY}).*{FRIENDLY}",
    ("family_friendly", "no"): rf"{SAYS_NO}{FRIENDLY}|adults? only"
    r"|not (?:for|good for|suitable for|allow) (?:famil|child|kids)",
}
OPPOSITES = {"high": "low", "low": "high", "yes": "no", "no": "yes"}
CUT = {"rating": r"rat(?:ed|ing)|stars?\b|out of 5|reviews?\b", "family_friendly": FRIENDLY}
PHRASE = r'[a-z][^\n"{}<>,.]{2,60}'
KEYS = {"rating": "rating", "family_friendly": "familyFriendly"}
GOLD = {"rating": RATINGS, "family_friendly": {"yes": "yes", "no": "no"}}


@dataclass(frozen=True)
class Outcome:
    """What came of some prompts.

    Args:
        texts: The texts.
        log_likelihood: Of a token under the unguided model, mean over tokens.
        forwards: Of the loop, a text.
        seconds: A text.
    """

    texts: list[str]
    log_likelihood: float
    forwards: float
    seconds: float


def prompts(data: Path, without: str, n: int) -> list[dict[str, Any]]:
    """Held-out records that have no value under a key; distinct."""
    records = [example.answer for example in load_e2e(data, test=True)]
    distinct = {json.dumps(r, ensure_ascii=False): r for r in records if without not in r}
    return list(distinct.values())[:: max(1, len(distinct) // n)][:n]


def message(record: dict[str, Any]) -> list[dict[str, str]]:
    """A record as training has it: `<|record|>` and compact JSON."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return [{"role": "record", "content": text}]


def outcome(
    model: ctrlgen.Model, records: Sequence[dict[str, Any]], controllers: Sequence[Controller]
) -> Outcome:
    """Texts of all records."""
    generator = ctrlgen.Generator(model, SENTENCE, steps=STEPS, max_new_tokens=MAX_TOKENS)
    started = time.perf_counter()
    results = generator.generate_batch([message(r) for r in records], controllers=controllers)
    seconds = (time.perf_counter() - started) / len(records)
    logs = [log_likelihood(model, r, x.text) for r, x in zip(records, results, strict=True)]
    forwards = float(np.mean([r.usage.forward_passes for r in results]))
    return Outcome([r.text for r in results], float(np.mean(logs)), forwards, seconds)


def log_likelihood(
    model: ctrlgen.Model, record: dict[str, Any], text: str, before: str = "", after: str = ""
) -> float:
    """Mean log-probability of a token when the text between two others comes from left to right."""
    denoiser = model.denoiser
    prompt = denoiser.prompt(message(record), []) + denoiser.encode(before)
    ids, behind = denoiser.encode(text), denoiser.encode(after)
    shown = [ids[:i] + [denoiser.mask_token_id] * (len(ids) - i) for i in range(len(ids))]
    sequences = [prompt + s + behind for s in shown]
    rows = denoiser(sequences, [[len(prompt) + i] for i in range(len(ids))])
    logits = np.concatenate(rows)
    logits[:, denoiser.mask_token_id] = -np.inf
    logits -= logits.max(axis=1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(logs[np.arange(len(ids)), ids].mean())


def finds(attribute: str, label: str, text: str) -> bool:
    """The judge: whether a text says so, by a pattern that the classifier knows nothing of."""
    return bool(re.search(JUDGES[attribute, label], text, re.I))


def share(hits: Sequence[bool]) -> str:
    """Percentage of hits with its 95 % interval (Wilson)."""
    n, z = len(hits), 1.96
    p = sum(hits) / n
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (100 * (middle + side * half) / (1 + z * z / n) for side in (-1, 1))
    return f"{100 * p:.0f} ({max(0.0, low):.0f}-{high:.0f})"


def judge_table(data: Path) -> Table:
    """Precision and recall of the judge against gold labels of held-out texts."""
    table = Table("attribute", "precision", "recall", title="the judge")
    examples = load_e2e(data, test=True)
    for attribute, label in JUDGES:
        gold = [GOLD[attribute].get(e.answer.get(KEYS[attribute], "")) == label for e in examples]
        said = [finds(attribute, label, e.turns[0][1]) for e in examples]
        both = sum(a and b for a, b in zip(gold, said, strict=True))
        precision, recall = both / max(1, sum(said)), both / max(1, sum(gold))
        table.add_row(f"{attribute}: {label}", f"{precision:.3f}", f"{recall:.3f}")
    return table


class Drawn:
    """Panels of the classifier's tables: attribute rate and likelihood against the scale."""

    def __init__(self) -> None:
        self.panels: dict[tuple[str, str], plots.Curves] = {}

    def add(
        self, part: str, attribute: str, label: str, scale: float, texts: Sequence[str],
        log_likelihood: float,
    ) -> None:  # fmt: skip
        """A row of one of the tables."""
        rate = 100 * float(np.mean([finds(attribute, label, text) for text in texts]))
        for y, value in (("judge finds it, %", rate), ("log p / token", log_likelihood)):
            panel = self.panels.setdefault((part, y), plots.Curves(part, "scale", y, {}))
            panel.lines.setdefault(f"{attribute}: {label}", []).append((scale, value))


def classifier_table(
    model: ctrlgen.Model, data: Path, n: int, scales: list[float], wanted: Sequence[str],
    console: Console, drawn: Drawn,
) -> Table:  # fmt: skip
    """Rate of the wanted attribute against likelihood."""
    table = Table(
        "attribute", "scale", "judge finds it %", "finds the opposite %", "log p / token",
        "forwards", "s/text", title="classifier guidance",
    )  # fmt: skip
    classifier = TextClassifier.load()
    rows = [(a, label, scale) for a, label in JUDGES if a in wanted for scale in scales]
    for attribute, label, scale in track(rows, "classifier", console=console, transient=True):
        records = prompts(data, KEYS[attribute], n)
        guide = ClassifierGuidance(classifier[attribute], label, scale=scale)
        found = outcome(model, records, [guide])
        hits = [
            share([finds(attribute, each, text) for text in found.texts])
            for each in (label, OPPOSITES[label])
        ]
        row = (
            f"{attribute}: {label}", f"{scale:g}", *hits,
            f"{found.log_likelihood:.2f}", f"{found.forwards:.1f}", f"{found.seconds:.2f}",
        )  # fmt: skip
        table.add_row(*row)
        console.print(*row, found.texts[0], markup=False)
        drawn.add("texts", attribute, label, scale, found.texts, found.log_likelihood)
    return table


@dataclass(frozen=True)
class Blank:
    """A held-out text with a blank where it spoke of an attribute."""

    record: dict[str, Any]
    before: str
    after: str

    def generator(self, model: ctrlgen.Model) -> ctrlgen.Generator:
        """Fills the blank; the rest is pinned."""
        phrase = Slot(lower_regex(PHRASE), "blank", "string")
        whole = Seq((Bytes(self.before.encode()), phrase, Bytes(self.after.encode())))
        return ctrlgen.Generator(model, SENTENCE, grammar=Grammar(whole), steps=STEPS)


def blanks(data: Path, attribute: str, n: int) -> list[Blank]:
    """Texts from which the judge's finding, with the words around it, has been cut out."""
    out = []
    for example in load_e2e(data, test=True):
        text, record = example.turns[0][1], dict(example.answer)
        if record.pop(KEYS[attribute], None) is None:
            continue
        labels = [label for name, label in JUDGES if name == attribute]
        found = next((label for label in labels if finds(attribute, label, text)), None)
        match = re.search(rf"[^,.]*(?:{CUT[attribute]})[^,.]*", text, re.I)
        if found is None or match is None or match.start() == 0:
            continue
        blank = Blank(record, text[: match.start()] + " ", text[match.end() :] or ".")
        left = blank.before + blank.after
        if not any(finds(attribute, label, left) for label in labels):
            out.append(blank)
    return out[:: max(1, len(out) // n)][:n]


def blank_table(
    model: ctrlgen.Model, data: Path, n: int, scales: list[float], wanted: Sequence[str],
    console: Console, drawn: Drawn,
) -> Table:  # fmt: skip
    """Rate of the wanted attribute in phrases, against their likelihood."""
    table = Table(
        "attribute", "scale", "judge finds it %", "finds the opposite %", "log p / token",
        title="classifier guidance of one phrase in a held-out text",
    )  # fmt: skip
    classifier = TextClassifier.load()
    rows = [(a, label, scale) for a, label in JUDGES if a in wanted for scale in scales]
    for attribute, label, scale in track(rows, "phrases", console=console, transient=True):
        guide = ClassifierGuidance(classifier[attribute], label, scale=scale)
        texts, logs = [], []
        for blank in blanks(data, attribute, n):
            generator = blank.generator(model)
            text = generator.generate(message(blank.record), controllers=[guide]).text
            texts.append(text)
            phrase = text[len(blank.before) : len(text) - len(blank.after)]
            logs.append(log_likelihood(model, blank.record, phrase, blank.before, blank.after))
        hits = [
            share([finds(attribute, each, text) for text in texts])
            for each in (label, OPPOSITES[label])
        ]
        row = (
            f"{attribute}: {label}", f"{scale:g}", *hits,
            f"{np.mean(logs):.2f}",
        )  # fmt: skip
        table.add_row(*row)
        console.print(*row, texts[0], markup=False)
        drawn.add("phrases", attribute, label, scale, texts, float(np.mean(logs)))
    return table


def said(record: dict[str, Any], text: str) -> float:
    """Share of the record's open values that stand in the text as they are."""
    values = [str(v) for k, v in record.items() if k in ("name", "near", "area", "food", "eatType")]
    return float(np.mean([v.lower() in text.lower() for v in values]))


def contrast_table(
    model: ctrlgen.Model, data: Path, n: int, scales: list[float], console: Console
) -> Table:
    """Faithfulness to the record with a second look."""
    table = Table(
        "method", "scale", "skipping", "values said %", "log p / token", "forwards",
        "second looks", "left out %", title="guidance by contrast",
    )  # fmt: skip
    records = prompts(data, "none", n)
    rows: list[tuple[str, Any, float, bool]] = [("none", ClassifierFree, 0.0, False)]
    for scale in scales:
        rows += [
            (name, kind, scale, skip)
            for name, kind in (("CFG", ClassifierFree), ("A-CFG", AdaptiveMasking))
            for skip in (False, True)
        ]
    for name, kind, scale, skip in track(rows, "contrast", console=console, transient=True):
        guide = kind(model.denoiser, scale=scale, skip=skip)
        found = outcome(model, records, [guide])
        parts = [100 * said(r, t) for r, t in zip(records, found.texts, strict=True)]
        spread = 1.96 * np.std(parts) / np.sqrt(len(parts))
        left_out = 100 * guide.skipped / max(1, guide.passes + guide.skipped)
        row = (
            name, f"{scale:g}", "on" if skip else "off", f"{np.mean(parts):.0f} ± {spread:.0f}",
            f"{found.log_likelihood:.2f}", f"{found.forwards:.1f}",
            f"{guide.passes / len(records):.1f}", f"{left_out:.0f}",
        )  # fmt: skip
        table.add_row(*row)
        console.print(*row, found.texts[0], markup=False)
    return table


def slots_table(model: ctrlgen.Model, data: Path, n: int, console: Console) -> Table:
    """Exact answers, and second looks, where the model fills slots."""
    table = Table(
        "passes", "method", "patience", "exact %", "forwards", "second looks", "left out %",
        title="guidance by contrast of SNIPS slots",
    )  # fmt: skip
    sample, compiled = questions(data, "snips", n), Compiled(model)
    ways: dict[str, dict[str, Any]] = {
        "as needed": {},
        "8": {"steps": 8, "scheduler": LowConfidence()},
    }
    rows = [
        (way, scale, patience)
        for way in ways
        for scale, patience in ((0, 0), (1, 0), (1, 2), (1, 1))
    ]
    for way, scale, patience in track(rows, "slots", console=console, transient=True):
        guide = ClassifierFree(
            model.denoiser, scale=scale, skip=patience > 0, patience=max(1, patience)
        )
        found = measured(ctrlgen_method(compiled, controllers=[guide], **ways[way]), sample, way)
        left_out = 100 * guide.skipped / max(1, guide.passes + guide.skipped)
        row = (
            way, "CFG" if scale else "none", str(patience or "-"), f"{100 * found['exact']:.0f}",
            f"{found['forwards']:.1f}", f"{guide.passes / n:.1f}", f"{left_out:.0f}",
        )  # fmt: skip
        table.add_row(*row)
        console.print(*row, markup=False)
    return table


def cost_table(model: ctrlgen.Model, data: Path, length: int) -> Table:
    """Seconds and classifier texts of one guided step on a canvas of `length` open positions."""
    table = Table("method", "classifier texts", "ms/step", title=f"one step, L = {length}")
    denoiser, spec = model.denoiser, SENTENCE
    _, bound = model.bind(spec)
    scaffold: Scaffold = bound
    canvas = Canvas(scaffold, denoiser.mask_token_id, 2 * length)
    (gap,) = canvas.gaps()
    gap.resize(scaffold.filling(gap, length))
    canvas.prompt = denoiser.prompt(message(prompts(data, "rating", 1)[0]), [])
    places = [len(canvas.prompt) + i for i in range(length)]
    started = time.perf_counter()
    (logits,) = denoiser([canvas.prompt + canvas.view().ids], [places])
    table.add_row("the model's forward pass", "", f"{1000 * (time.perf_counter() - started):.1f}")
    classifier, vocab = TextClassifier.load()["rating"], logits.shape[1]
    for name, top_k, positions in (
        ("first order (TAG)", 0, 0),
        ("and exact: 20 tokens, 4 positions", 20, 4),
        ("and exact: 20 tokens, all positions", 20, None),
    ):
        guide = ClassifierGuidance(classifier, "high", top_k=top_k, positions=positions)
        guide(canvas, logits)  # warm
        started = time.perf_counter()
        guide(canvas, logits)
        texts = 1 + top_k * (length if positions is None else positions)
        table.add_row(name, f"≤ {texts:,}", f"{1000 * (time.perf_counter() - started):.1f}")
    guide = ClassifierGuidance(classifier, "high", top_k=vocab, positions=1)
    (region,) = regions(canvas)
    started = time.perf_counter()
    guide.differences(region, logits, scaffold.fill)
    one = 1000 * (time.perf_counter() - started)
    table.add_row("exact, L x V (from one position)", f"{length * vocab:,}", f"{length * one:,.0f}")
    return table


def main(
    data: Annotated[Path, typer.Option(help="Folder with e2e-train.jsonl.gz.")],
    n: Annotated[int, typer.Option(help="Records a row.")] = 60,
    scales: Annotated[str, typer.Option(help="Of classifier guidance.")] = "0,1,2,4",
    contrast: Annotated[str, typer.Option(help="Scales of CFG and A-CFG.")] = "0.5,1",
    model: Annotated[str | None, typer.Option(help="Checkpoint; embedded by default.")] = None,
    tables: Annotated[str, typer.Option(help="Which.")] = ",".join(TABLES),
    wanted: Annotated[str, typer.Option(help="Attributes.")] = "rating,family_friendly",
    out: plots.PlotFile = None,
) -> None:
    """Print the tables; rows, with an example, on stderr as they come."""
    console, progress = Console(width=120), Console(stderr=True)
    loaded = ctrlgen.load(model)
    strengths = [float(s) for s in scales.split(",")]
    drawn = Drawn()
    settings = (loaded, data, n, strengths, wanted.split(","), progress, drawn)
    makers = {
        "judge": lambda: judge_table(data),
        "cost": lambda: cost_table(loaded, data, 32),
        "phrases": lambda: blank_table(*settings),
        "texts": lambda: classifier_table(*settings),
        "contrast": lambda: contrast_table(
            loaded, data, n, [float(s) for s in contrast.split(",")], progress
        ),
        "slots": lambda: slots_table(loaded, data, n, progress),
    }
    for name in tables.split(","):
        console.print(makers[name]())
    if out is not None:
        plots.draw([*drawn.panels.values()], out)


if __name__ == "__main__":
    typer.run(main)
