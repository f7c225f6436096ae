"""Accuracy, forward passes and validity on data the embedded model was not trained on.

    python benchmarks/extraction.py --data DIR [--n 200] [--plot FILE]

Prints one table: held-out SNIPS utterances, held-out E2E records, SGD dev calls (services partly
unseen), each with the same model and prompts: unconstrained decoding, S3-style fixed slots
(arXiv:2507.04504: pinned keys, 16 masks a field, top-k confidence, no constraint), and ctrlgen.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import plots
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ctrlgen
from ctrlgen.baselines import SchemaScaffolding, decode
from ctrlgen.controllers.proposer import propose_each
from ctrlgen.denoisers import Denoiser
from ctrlgen.schedulers import Threshold
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
    accepted: dict[str, list[Any]] | None = None

    def right(self, value: Any) -> bool:
        """Whether an answer is the gold one, or one of those that are as good."""
        if self.accepted is None:
            return bool(value == self.gold)
        got = _inner(value)
        return value.get("name") == self.gold["name"] and all(
            got.get(key, "") in good for key, good in self.accepted.items()
        )

    @property
    def properties(self) -> dict[str, Any]:
        """Schemas of the record's keys, or of the gold tool's arguments."""
        if self.tools is None:
            return dict(self.schema["properties"])
        tool = next(t for t in self.tools if t["name"] == self.gold["name"])
        return dict(tool["parameters"]["properties"])


@dataclass
class Answer:
    """What a method wrote, and what that cost."""

    text: str
    forwards: int
    fields: dict[str, Any] | None = None


def questions(folder: Path, source: str, n: int) -> list[Question]:
    """A seeded sample of the held-out part of one corpus."""
    if source == "bfcl":
        return bfcl_questions(folder, n)
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


def bfcl_questions(folder: Path, n: int) -> list[Question]:
    """A seeded sample of BFCL rows with one call and up to four tools to choose from."""
    kinds = ("simple_python", "multiple", "live_simple", "live_multiple")
    rows = [
        row
        for row in corpora.read_rows(folder / "bfcl-dev.jsonl.gz")
        if row["category"] in kinds and len(row["functions"]) <= 4
    ]
    out = []
    for row in random.Random(0).sample(rows, n):
        spec = tools_spec(row["functions"])
        ((name, accepted),) = row["ground_truth"][0].items()
        arguments = {k: good[0] for k, good in accepted.items() if "" not in good}
        gold = {"name": name, "arguments": arguments}
        assert isinstance(spec.schema, dict)
        out.append(Question(row["messages"], spec.schema, gold, row["functions"], accepted))
    return out


Method = Callable[[list[Question]], list[Answer]]


class Compiled:
    """Generators of a model by the schemas of their questions, compiled once for all methods."""

    def __init__(self, model: ctrlgen.Model) -> None:
        self.model = model
        self._known: dict[str, ctrlgen.Generator] = {}

    def __call__(self, question: Question) -> ctrlgen.Generator:
        """The generator for a question."""
        key = json.dumps(question.schema)
        if key not in self._known:
            kind = tools_spec(question.tools) if question.tools else question.schema
            self._known[key] = ctrlgen.Generator(self.model, kind)
        return self._known[key]


def ctrlgen_method(compiled: Compiled, **options: Any) -> Method:
    """This engine under some options."""

    def answer(batch: list[Question]) -> list[Answer]:
        results = [compiled(question).generate(question.messages, **options) for question in batch]
        return [Answer(result.text, result.usage.forward_passes) for result in results]

    return answer


def _names(question: Question) -> list[str]:
    return [t["name"] for t in question.tools or []]


def _spell(denoiser: Denoiser, ids: list[int]) -> str:
    return b"".join(denoiser.vocabulary.tokens[i] or b"" for i in ids).decode(errors="replace")


def unconstrained(denoiser: Denoiser, steps: int, length: int = 64) -> Method:
    """The whole answer from masks, no scaffold, no constraint."""

    def answer(batch: list[Question]) -> list[Answer]:
        out = []
        for q in batch:
            prompt = denoiser.prompt(q.messages, _names(q))
            ids = decode(denoiser, prompt, [denoiser.mask_token_id] * length, steps)
            out.append(Answer(_spell(denoiser, ids), steps))
        return out

    return answer


def fixed_slots(model: ctrlgen.Model, steps: int, *, published: bool = False) -> Method:
    """S3 with the gold tool's name and all its keys pinned, 16 masks a field, no constraint.

    As published, quotation marks are pinned and the prompt asks for a null literal. The embedded
    model was taught otherwise: a slot holds the whole value, and one of nothing but fill is absent.
    """
    style: dict[str, Any] = {} if published else {"null": None, "quoted": False}

    def answer(batch: list[Question]) -> list[Answer]:
        out = []
        for question in batch:
            schema, before, after = question.schema, "", ""
            if question.tools:
                name = question.gold["name"]
                schema = next(t["parameters"] for t in question.tools if t["name"] == name)
                schema = {"type": "object", "properties": schema["properties"]}
                before, after = f'{{"name":{json.dumps(name)},"arguments":', "}"
            if not schema["properties"]:
                out.append(Answer(f"{before}{{}}{after}", 0, {}))
                continue
            keys = {"type": "object", "properties": {key: {} for key in schema["properties"]}}
            s3 = SchemaScaffolding(
                model, keys, masks=FIXED_SLOT, steps=steps, before=before, after=after, **style
            )
            found = s3(question.messages, _names(question))
            written = {key: _loose(v) for key, v in found.values.items() if v is not None}
            out.append(Answer(found.text, found.forward_passes, written))
        return out

    return answer


def _loose(text: str) -> Any:
    """A value that may be no JSON: then it is the text, without quotes at its ends."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip('"')


def score(batch: list[Question], answers: list[Answer]) -> dict[str, float]:
    """Means and shares over the answers, and how many answers and values they are of.

    valid: matches the schema; structure: JSON with the right keys, types aside; exact; f1: of
    (key, value) pairs; content: of (key, word) pairs, what does not parse included; invented: of
    all strings where any may stand, those that stand neither in the source nor in the gold answer.
    """
    totals = Counter[str]()
    pairs: dict[str, list[Counter[str]]] = {"f1": [], "content": []}
    for question, answer in zip(batch, answers, strict=True):
        value, valid = _parsed(answer.text, question.schema)
        totals["valid"] += valid
        totals["structure"] += _right_keys(value, question)
        totals["exact"] += valid and question.right(value)
        written = _inner(value) or answer.fields or {}
        gold = _inner(question.gold)
        for name, parts in (("f1", _fields), ("content", _words)):
            got, wanted = parts(_inner(value) if name == "f1" else written), parts(gold)
            pairs[name] += [got & wanted, got, wanted]
        texts = strings(written, question.properties)
        source = " ".join(message["content"] for message in question.messages).lower()
        known = {text.lower() for text in strings(gold, {})}
        totals["invented"] += sum(
            text.lower() not in source and text.lower() not in known for text in texts
        )
        totals["strings"] += len(texts)
    n = len(batch)
    out = {name: totals[name] / n for name in ("valid", "structure", "exact")}
    for name, found in pairs.items():
        hit, got, wanted = (sum(sum(c.values()) for c in found[i::3]) for i in range(3))
        out[name] = 2 * hit / max(1, got + wanted)
    out["invented"] = totals["invented"] / max(1, totals["strings"])
    out["forwards"] = sum(a.forwards for a in answers) / n
    return {**out, "answers": n, "strings": totals["strings"]}


def _parsed(text: str, schema: dict[str, Any]) -> tuple[Any, bool]:
    """The JSON value, None if it is none, and whether the schema accepts it."""
    try:
        value = json.loads(text)
    except ValueError:
        return None, False
    return value, jsonschema.Draft202012Validator(schema).is_valid(value)


def _right_keys(value: Any, question: Question) -> bool:
    """Whether an answer is a call of one of the tools, or a record, with keys that it may have."""
    if not isinstance(value, dict):
        return False
    if question.tools is None:
        return set(value) <= set(question.properties)
    tool = next((t for t in question.tools if t["name"] == value.get("name")), None)
    arguments = value.get("arguments")
    if tool is None or not isinstance(arguments, dict):
        return False
    parameters = tool["parameters"]
    required = set(parameters.get("required", ()))
    return required <= set(arguments) <= set(parameters["properties"])


def _inner(value: Any) -> dict[str, Any]:
    """The record itself: the arguments of a call, or the answer."""
    if isinstance(value, dict) and "name" in value and "arguments" in value:
        value = value["arguments"]
    return value if isinstance(value, dict) else {}


def _fields(value: dict[str, Any]) -> Counter[str]:
    return Counter(f"{k}={json.dumps(v)}" for k, v in value.items())


def _words(value: dict[str, Any]) -> Counter[str]:
    """Every word of every value, with its key."""
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in value.items()}
    return Counter(f"{k}={word}" for k, t in texts.items() for word in t.lower().split())


def strings(value: Any, properties: dict[str, Any]) -> list[str]:
    """All strings, at any depth, but those of a closed list, which need not stand anywhere."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in value for text in strings(each, {})]
    if not isinstance(value, dict):
        return []
    free = {k: v for k, v in value.items() if not {"enum", "const"} & set(properties.get(k, {}))}
    return [text for each in free.values() for text in strings(each, {})]


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
    out: plots.PlotFile = None,
) -> None:
    """Print the table of accuracy against forward passes."""
    loaded = ctrlgen.load(model)
    compiled = Compiled(loaded)
    methods: dict[str, Method] = {}
    if not quick:
        methods["unconstrained, 16 steps"] = unconstrained(loaded.denoiser, 16)
        methods["fixed 16 slots (S3), 16 steps"] = fixed_slots(loaded, 16)
    for steps in (1, 2, 4, 8, None):
        methods[f"ctrlgen, {steps or 'unlimited'} steps"] = ctrlgen_method(compiled, steps=steps)
    sure = Threshold()
    methods["ctrlgen threshold, unlimited steps"] = ctrlgen_method(compiled, scheduler=sure)
    torn = ctrlgen_method(compiled, scheduler=sure, proposer=propose_each)
    methods["ctrlgen threshold, not grounded"] = torn
    table = Table(
        "data", "method", "valid", "exact", "field F1", "invented", "forwards", "s/object"
    )
    console, points = Console(), list[tuple[str, str, float, float]]()
    for source in sources.split(","):
        sample = questions(data, source, n)
        for name, method in methods.items():
            s = measured(method, sample, f"{source} {name}")
            row = (
                f"{100 * s['valid']:.1f}",
                f"{100 * s['exact']:.1f}",
                f"{s['f1']:.3f}",
                f"{100 * s['invented']:.1f}",
                f"{s['forwards']:.1f}",
            )
            table.add_row(source, name, *row, f"{s['seconds']:.3f}")
            console.print(source, name, *row, f"{s['seconds']:.3f}")
            points.append((source, name.partition(", ")[0], s["forwards"], s["exact"]))
    console.print(table)
    if out is not None:
        plots.draw(plots.trade_offs(points), out)


if __name__ == "__main__":
    typer.run(main)
