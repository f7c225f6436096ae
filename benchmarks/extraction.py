"""Accuracy, forward passes and validity on data the embedded model was not trained on.

    python benchmarks/extraction.py --data DIR [--n 200]

Prints one table: held-out SNIPS utterances, held-out E2E records, SGD dev calls (services partly
unseen), each with the same model and prompts: unconstrained decoding, S3-style fixed slots
(arXiv:2507.04504: pinned keys, 16 masks a field, top-k confidence, no constraint), and ctrlgen.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ctrlgen
from ctrlgen.controllers.proposer import propose_each
from ctrlgen.denoisers import Denoiser
from ctrlgen.tool_call import tools as tools_spec

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from embedded import corpora

RESTAURANT = Path(__file__).parents[1] / "schemas" / "restaurant.json"
FIXED_SLOT = 16
BATCH = 16


@dataclass
class Question:
    """One prompt, the schema of its answer, and the answer."""

    messages: list[dict[str, str]]
    schema: dict[str, Any]
    gold: Any
    tools: list[dict[str, Any]] | None


@dataclass
class Answer:
    """What a method wrote, and what that cost."""

    text: str
    forwards: int


def questions(folder: Path, source: str, n: int) -> list[Question]:
    """A seeded sample of the held-out part of one corpus."""
    load = {"snips": corpora.load_snips, "e2e": corpora.load_e2e, "sgd": corpora.load_sgd}[source]
    examples = random.Random(0).sample(load(folder, test=True), n)
    services = {"snips": json.loads((folder / "snips-tools.json").read_text())}
    dev = json.loads((folder / "sgd-dev-tools.json").read_text())
    by_tool = {frozenset(t["name"] for t in tools): tools for tools in dev.values()}
    out = []
    for e in examples:
        messages = [{"role": role, "content": text} for role, text in e.turns]
        if source == "e2e":
            out.append(Question(messages, json.loads(RESTAURANT.read_text()), e.answer, None))
            continue
        tools = services["snips"] if source == "snips" else by_tool[frozenset(e.tools)]
        spec = tools_spec(tools)
        assert isinstance(spec.schema, dict)
        out.append(Question(messages, spec.schema, {"name": e.tool, "arguments": e.answer}, tools))
    return out


Method = Callable[[list[Question]], list[Answer]]


def ctrlgen_method(model: ctrlgen.Model, **options: Any) -> Method:
    """This engine under some options."""
    generators: dict[str, ctrlgen.Generator] = {}

    def answer(batch: list[Question]) -> list[Answer]:
        out = []
        for question in batch:
            key = json.dumps(question.schema)
            if key not in generators:
                kind = tools_spec(question.tools) if question.tools else question.schema
                generators[key] = ctrlgen.Generator(model, kind, **options)
            result = generators[key].generate(question.messages)
            out.append(Answer(result.text, result.usage.forward_passes))
        return out

    return answer


def _names(question: Question) -> list[str]:
    return [t["name"] for t in question.tools or []]


def _decode(denoiser: Denoiser, prompt: list[int], canvas: list[int], steps: int) -> list[int]:
    """Plain LLaDA decoding: every step commits the most confident of the masked positions."""
    canvas = list(canvas)
    masked = [i for i, t in enumerate(canvas) if t == denoiser.mask_token_id]
    per_step = -(-len(masked) // steps)
    while masked:
        (logits,) = denoiser([prompt + canvas], [[len(prompt) + i for i in masked]])
        logits[:, denoiser.mask_token_id] = -np.inf
        best = logits.argmax(axis=1)
        confidence = logits.max(axis=1) - np.log(np.exp(logits).sum(axis=1))
        for j in np.argsort(-confidence)[:per_step]:
            canvas[masked[j]] = int(best[j])
        masked = [i for i in masked if canvas[i] == denoiser.mask_token_id]
    return canvas


def _spell(denoiser: Denoiser, ids: list[int]) -> str:
    return b"".join(denoiser.vocabulary.tokens[i] or b"" for i in ids).decode(errors="replace")


def unconstrained(denoiser: Denoiser, steps: int, length: int = 64) -> Method:
    """The whole answer from masks, no scaffold, no constraint."""

    def answer(batch: list[Question]) -> list[Answer]:
        out = []
        for q in batch:
            prompt = denoiser.prompt(q.messages, _names(q))
            ids = _decode(denoiser, prompt, [denoiser.mask_token_id] * length, steps)
            out.append(Answer(_spell(denoiser, ids), steps))
        return out

    return answer


def fixed_slots(denoiser: Denoiser, steps: int) -> Method:
    """S3: gold tool name and every key of its schema pinned, 16 masks a field, no constraint.

    An all-filler field counts as absent, the counterpart of S3's null literal.
    """

    def answer(batch: list[Question]) -> list[Answer]:
        return [_fixed(denoiser, q, steps) for q in batch]

    return answer


def _fixed(denoiser: Denoiser, question: Question, steps: int) -> Answer:
    schema, head = question.schema, ""
    if question.tools:
        name = question.gold["name"]
        schema = next(t["parameters"] for t in question.tools if t["name"] == name)
        head = '{"name":' + json.dumps(name) + ',"arguments":'
    keys = list(schema["properties"])
    canvas, slots = [], []
    for i, key in enumerate(keys):
        canvas += denoiser.encode((head + "{" if i == 0 else ",") + json.dumps(key) + ":")
        slots.append((key, len(canvas)))
        canvas += [denoiser.mask_token_id] * FIXED_SLOT
    ids = _decode(denoiser, denoiser.prompt(question.messages, _names(question)), canvas, steps)
    values = {key: _spell(denoiser, ids[at : at + FIXED_SLOT]) for key, at in slots}
    body = ",".join(f"{json.dumps(k)}:{v}" for k, v in values.items() if v)
    return Answer(head + "{" + body + "}" + ("}" if head else ""), steps)


def score(batch: list[Question], answers: list[Answer]) -> dict[str, float]:
    """Shares of valid and exactly right answers, field F1, invented values, mean forwards."""
    valid = exact = hit = said = wanted = invented = strings = 0
    for question, answer in zip(batch, answers, strict=True):
        try:
            value = json.loads(answer.text)
            jsonschema.validate(value, question.schema)
        except (ValueError, jsonschema.ValidationError):
            value = None
        valid += value is not None
        exact += value == question.gold
        got, gold = _fields(value), _fields(question.gold)
        hit, said, wanted = hit + len(got & gold), said + len(got), wanted + len(gold)
        texts = _strings(_inner(value))
        source = " ".join(message["content"] for message in question.messages).lower()
        invented += sum(text.lower() not in source for text in texts)
        strings += len(texts)
    n = len(batch)
    forwards = sum(a.forwards for a in answers) / n
    return {
        "valid": valid / n,
        "exact": exact / n,
        "f1": 2 * hit / max(1, said + wanted),
        "hallucinated": invented / max(1, strings),
        "forwards": forwards,
    }


def _inner(value: Any) -> dict[str, Any]:
    """The record itself: the arguments of a call, or the answer."""
    if isinstance(value, dict) and "name" in value and "arguments" in value:
        value = value["arguments"]
    return value if isinstance(value, dict) else {}


def _fields(value: Any) -> set[str]:
    return {f"{k}={json.dumps(v)}" for k, v in _inner(value).items()}


def _strings(value: Any) -> list[str]:
    """All string values, at any depth."""
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inside for text in _strings(each)]


def measured(method: Method, sample: list[Question], name: str) -> dict[str, float]:
    """The scores of a method, with seconds an object."""
    started, answers = time.perf_counter(), []
    console = Console(stderr=True)
    for at in track(range(0, len(sample), BATCH), name, console=console, transient=True):
        answers += method(sample[at : at + BATCH])
    seconds = (time.perf_counter() - started) / len(sample)
    return {**score(sample, answers), "seconds": seconds}


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    n: int = 200,
    model: Annotated[str | None, typer.Option(help="Checkpoint; embedded by default.")] = None,
    sources: str = "snips,e2e,sgd",
    quick: Annotated[bool, typer.Option(help="ctrlgen rows only.")] = False,
) -> None:
    """Print the table of accuracy against forward passes."""
    loaded = ctrlgen.load(model)
    methods: dict[str, Method] = {}
    if not quick:
        methods["unconstrained, 16 steps"] = unconstrained(loaded.denoiser, 16)
        methods["fixed 16 slots (S3), 16 steps"] = fixed_slots(loaded.denoiser, 16)
    for steps in (1, 2, 4, 8, None):
        methods[f"ctrlgen, {steps or 'unlimited'} steps"] = ctrlgen_method(loaded, steps=steps)
    torn = ctrlgen_method(loaded, proposer=propose_each)
    methods["ctrlgen, unlimited, not grounded"] = torn
    table = Table(
        "data", "method", "valid", "exact", "field F1", "invented", "forwards", "s/object"
    )
    console = Console()
    for source in sources.split(","):
        sample = questions(data, source, n)
        for name, method in methods.items():
            s = measured(method, sample, f"{source} {name}")
            row = (
                f"{100 * s['valid']:.1f}",
                f"{100 * s['exact']:.1f}",
                f"{s['f1']:.3f}",
                f"{100 * s['hallucinated']:.1f}",
                f"{s['forwards']:.1f}",
            )
            table.add_row(source, name, *row, f"{s['seconds']:.3f}")
            console.print(source, name, *row, f"{s['seconds']:.3f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
