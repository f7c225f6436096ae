"""Ctrlgen in a MaskBench-style harness: coverage, false accepts and mask times, beside its peers.

    python benchmarks/maskbench.py run   --harness FILE [--data FILE] [--n 300] [--engine NAME ...]
    python benchmarks/maskbench.py suite --harness FILE [--draft draft2020-12] [--engine NAME ...]
    python benchmarks/maskbench.py verdicts --harness FILE [--data FILE]

`run` and `verdicts` take long: with `--out FOLDER` they write each result as it comes and go on
where they stopped, with `--budget SECONDS` they stop in time.

The harness is a Python file with `Pool`, `load`, `summarise` and the peers' engines. It writes each
instance as `json.dumps` does, with a space after commas and colons and keys in the instance's own
order, and allows further keys: ctrlgen is asked for `SchemaOptions.standard()`. `ctrlgen` refuses
what it cannot guarantee by construction; `ctrlgen-verify` lets jsonschema judge the whole text
before it may end. `--clock cpu` times what the engine computes instead of what passes, where a
machine is shared. For the official suite, formats are annotations, as it expects, and a schema that
nothing satisfies is one whose every instance is refused.
"""

from __future__ import annotations

import gc
import gzip
import importlib.util
import json
import os
import re
import sys
import time
from argparse import Namespace
from collections import Counter
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, Literal

import plots
import typer
from resumable import Results
from rich.console import Console
from rich.table import Table

from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.constraints.time_limit import time_limit
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import CtrlgenError, UnsatisfiableError

app = typer.Typer(add_completion=False)


REMOTES = "CTRLGEN_BENCH_REMOTES"  # the engines live in processes of the harness


class Walk:
    """One text on its way: the state, what was read, and the mask last asked for."""

    def __init__(self, constraint: Constraint | None) -> None:
        """Before the first token."""
        self.constraint = constraint
        self.state: int | None = constraint.start() if constraint else None
        self.read = bytearray()
        self.mask: Any = None
        self.may_end = False


class Ctrlgen:
    """The engine as the harness calls it."""

    name = "ctrlgen"
    options = SchemaOptions.standard()

    def version(self) -> str:
        """The version of the package."""
        return version("ctrlgen")

    def init(self, tok: Any) -> None:
        """Reads the vocabulary."""
        self.vocabulary = Vocabulary.from_tokenizer(tok.rs)
        self.eos = tok.eos
        gc.freeze()  # as a server does: what the harness and the vocabulary hold is no garbage

    def compile(self, schema: Any) -> Constraint | None:
        """Schema to constraint."""
        return Constraint(lower_schema(schema, self.options), self.vocabulary)

    def start(self, constraint: Constraint | None) -> Walk:
        """A fresh walk."""
        return Walk(constraint)

    def mask(self, walk: Walk) -> None:
        """The mask of the state, and whether the text may end."""
        constraint, state = walk.constraint, walk.state
        if constraint is None:
            walk.mask = ()
            return
        walk.mask = constraint.bits(state)
        walk.may_end = constraint.is_accepting(state)
        verify = constraint.grammar.verify
        if walk.may_end and verify is not None:
            walk.may_end = verify(bytes(walk.read))

    def allowed(self, walk: Walk, token: int) -> bool:
        """What the last mask says of a token."""
        if token == self.eos:
            return walk.may_end
        word = token >> 5
        return word < len(walk.mask) and bool(int(walk.mask[word]) >> (token & 31) & 1)

    def advance(self, walk: Walk, token: int) -> None:
        """Read an allowed token."""
        walk.state = walk.constraint.next(walk.state, token)
        walk.read += self.vocabulary.tokens[token] or b""


class CtrlgenVerify(Ctrlgen):
    """What is not guaranteed by construction is judged at the end of the text."""

    name = "ctrlgen-verify"
    options = replace(Ctrlgen.options, on_unsupported="verify")


class Suite(Ctrlgen):
    """As the official suite expects it."""

    def init(self, tok: Any) -> None:
        """Reads the vocabulary and the suite's remote documents."""
        super().init(tok)
        with gzip.open(os.environ[REMOTES], "rt") as file:
            remotes = json.load(file)
        self.options = replace(self.options, formats="ignore", registry=remotes)

    def compile(self, schema: Any) -> Constraint | None:
        """Schema to constraint, None for one that nothing satisfies."""
        try:
            return super().compile(schema)
        except UnsatisfiableError:
            return None


class SuiteVerify(Suite):
    """The same with a judge."""

    options = CtrlgenVerify.options


OURS = {"ctrlgen": "Ctrlgen", "ctrlgen-verify": "CtrlgenVerify"}
SUITES = {"ctrlgen": "Suite", "ctrlgen-verify": "SuiteVerify"}


def _load(harness: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("harness", harness)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = module
    spec.loader.exec_module(module)
    return module


def _count_cpu_time(harness: ModuleType) -> None:
    """Lets the engines' processes, which are forked from this one, time themselves in CPU time."""
    harness.time = SimpleNamespace(
        perf_counter=time.process_time, monotonic=time.monotonic, time=time.time
    )


def _named(engine: str, ours: dict[str, str]) -> str:
    return f"{Path(__file__).resolve()}:{ours[engine]}" if engine in ours else engine


Harness = Annotated[Path, typer.Option(help="the harness, a Python file")]
Budget = Annotated[float, typer.Option(help="seconds after which each engine stops; 0 for ever")]
Engines = Annotated[list[str], typer.Option("--engine", help="ctrlgen, ctrlgen-verify, or a peer")]


_COLUMNS = (
    "right", "false accepts", "false rejects", "refused", "timed out", "compile+mask ms p50/p99",
    "mask us p50/p99", "mask+advance us", "MB",
)  # fmt: skip


@app.command()
def run(
    harness: Harness,
    engine: Engines = ["ctrlgen", "ctrlgen-verify"],  # noqa: B006 (typer copies it)
    data: Annotated[Path | None, typer.Option(help="schemas with instances, .jsonl.gz")] = None,
    n: Annotated[int, typer.Option(help="stratified sample; 0 for all")] = 300,
    seed: int = 0,
    out: Annotated[Path | None, typer.Option(help="folder for the raw results")] = None,
    memory: Annotated[int, typer.Option(help="address space per engine, GB")] = 10,
    clock: Annotated[Literal["wall", "cpu"], typer.Option(help="what times count")] = "wall",
    patience: Annotated[float, typer.Option(help="factor of the limits, 10 s and 20 s")] = 1.0,
    failures: Annotated[bool, typer.Option(help="list what is not right")] = False,
    budget: Budget = 0,
    picture: plots.PlotFile = None,
) -> None:
    """Schemas with valid and invalid instances."""
    module = _load(harness)
    if clock == "cpu":
        _count_cpu_time(module)
    rows = module.load(data or module.DATA, n, seed)
    limits = 10 * patience, 20 * patience
    found: dict[str, list[dict[str, Any]]] = {}
    for name in engine:
        kept = Results(out and out / f"run-{name}.jsonl", budget)
        pool = module.Pool(_named(name, OURS), memory)
        for row in kept.missing(rows):
            tests = [{"valid": t["valid"], "data": t["data"]} for t in row["tests"]]
            result = pool.run({"schema": row["schema"], "tests": tests}, *limits)
            valid = sum(t["valid"] for t in tests)
            result.update(id=row["id"], split=row["split"], n_tests=len(tests), n_valid=valid)
            kept.add({**result, "peak": _peak(pool)})
        pool.kill()
        found[name] = kept.of(rows)
        if failures:
            _list(name, found[name])
    everywhere = set.intersection(*({r["id"] for r in each if _took(r)} for each in found.values()))
    common = {n: [r for r in each if r["id"] in everywhere] for n, each in found.items()}
    schemas = _print(module, f"{len(rows)} schemas", found)
    if len(found) > 1:
        _print(module, f"the {len(everywhere)} schemas that all of these engines take", common)
    if picture is not None:
        plots.draw(
            [plots.Bars("What engines say", "schemas", [*_VERDICTS.values()], schemas)], picture
        )


def _took(result: dict[str, Any]) -> bool:
    return result["compile"] == "ok" and "timeout" not in result


def _print(
    module: ModuleType, title: str, found: dict[str, list[dict[str, Any]]]
) -> dict[str, list[float]]:
    """Prints a table; returns how many schemas met each verdict, by engine."""
    table, schemas = Table("engine", *_COLUMNS, title=title), {}
    for name, results in found.items():
        summary = module.summarise(results)
        table.add_row(name, *_figures(summary, results))
        schemas[name] = [float(summary[key]) for key in _VERDICTS]
    Console(width=170).print(table)
    return schemas


# What the harness counts, and what it is called.
_VERDICTS = {
    "passing": "right", "inval_err": "false accept", "val_err": "false reject",
    "compile_error": "refused",
}  # fmt: skip


def _peak(pool: Any) -> int:
    """The most memory that the engine has had so far, in MB; 0 if it was killed."""
    if pool.p is None:
        return 0
    status = Path(f"/proc/{pool.p.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) // 1024 if found else 0


def _figures(summary: dict[str, Any], results: list[dict[str, Any]]) -> list[str]:
    first, mask = summary["ttfm_us"], summary["mask_us"]
    stopped = sum("timeout" in r or "crash" in r for r in results)
    peak = max((result["peak"] for result in results), default=0)
    return [
        f"{summary['passing']}/{summary['n']}",
        str(summary["inval_err"]),
        str(summary["val_err"]),
        str(summary["compile_error"]),
        str(stopped),
        f"{first[0] / 1000:.1f} / {first[2] / 1000:.1f}",
        f"{mask[0]:.0f} / {mask[2]:.0f}",
        f"{summary['tbm_avg']:.0f}",
        str(peak),
    ]


def _list(name: str, results: list[dict[str, Any]]) -> None:
    for result in results:
        wrong = [t for t in result["tests"] if t.get("accept") != t["valid"]]
        if result["compile"] == "ok" and not wrong and "timeout" not in result:
            continue
        kinds = Counter("false accept" if not t["valid"] else "false reject" for t in wrong)
        where = [f"test {t['i']} at {t.get('at')}/{t.get('n')} {t.get('exc', '')}" for t in wrong]
        said = result.get("error") or result.get("timeout") or dict(kinds)
        print(f"{name}: {result['id']}: {result['compile']} {said} {where[:3]}")


@app.command()
def verdicts(
    harness: Harness,
    data: Annotated[Path | None, typer.Option(help="schemas with instances, .jsonl.gz")] = None,
    n: Annotated[int, typer.Option(help="stratified sample; 0 for all")] = 0,
    seed: int = 0,
    out: Annotated[Path | None, typer.Option(help="folder for the raw results")] = None,
    limit: Annotated[float, typer.Option(help="seconds for a schema")] = 30,
    budget: Budget = 0,
) -> None:
    """What both say of every instance, byte by byte and without masks."""
    rows = _load(harness).load(data or _load(harness).DATA, n, seed)
    kept = Results(out and out / "verdicts.jsonl", budget)
    bytewise = Vocabulary([bytes([byte]) for byte in range(256)])
    for row in kept.missing(rows):
        exact, error = _verdicts(row, bytewise, Ctrlgen.options, limit)
        # What is not refused is the same constraint with a judge, who has nothing to judge.
        judged = _verdicts(row, bytewise, CtrlgenVerify.options, limit) if error else (exact, "")
        kept.add(
            {"id": row["id"], "exact": exact, "judged": judged[0], "error": error or judged[1]}
        )
    results = kept.of(rows)
    for result in results:
        if result["exact"] != "right":
            print(*result.values())
    print(len(results), "of", len(rows))
    for way in ("exact", "judged"):
        print(way, dict(Counter(result[way] for result in results)))


def _verdicts(
    row: dict[str, Any], vocabulary: Vocabulary, options: SchemaOptions, limit: float
) -> tuple[str, str]:
    """What is wrong with one schema, if anything is, and the error that refused it."""
    try:
        with time_limit(limit):
            constraint = Constraint(lower_schema(row["schema"], options), vocabulary)
            found = {_verdict(constraint, test) for test in row["tests"]} - {"right"}
    except CtrlgenError as error:
        return "refused", str(error)[:300]
    return " and ".join(sorted(found)) or "right", ""


def _verdict(constraint: Constraint, test: dict[str, Any]) -> str:
    text = json.dumps(test["data"], ensure_ascii=False).encode("utf-8", "replace")
    verify = constraint.grammar.verify
    found = constraint.accepts(text) and (verify is None or verify(text))
    wrong = "false accept" if found else "false reject"
    return "right" if found == test["valid"] else wrong


@app.command()
def suite(
    harness: Harness,
    engine: Engines = ["ctrlgen", "ctrlgen-verify"],  # noqa: B006 (typer copies it)
    draft: str = "draft2020-12",
    out: Annotated[Path, typer.Option(help="folder for the raw results")] = Path("results"),
) -> None:
    """The required groups of the official JSON-Schema-Test-Suite."""
    module = _load(harness)
    os.environ[REMOTES] = str(module.SUITE % "remotes")
    table = Table("engine", "groups", "exact", "up to key order and number spelling",
                  "false accepts", "false rejects", "refused")  # fmt: skip
    for name in engine:
        file = out / f"suite-{draft}-{name}.json"
        limits = {"mem": 10, "compile_limit": 10, "walk_limit": 20}
        module.cmd_suite(
            Namespace(engine=_named(name, SUITES), draft=draft, out=str(file), **limits)
        )
        results = json.loads(file.read_text())["results"]
        classes = Counter(map(module.group_class, results))
        right = classes["exact"] + classes["respelled"]
        wrong = [classes["under"] + classes["both"], classes["over"] + classes["both"]]
        refused = classes["nocompile"] + classes["broken"]
        figures = [len(results), classes["exact"], right, *wrong, refused]
        table.add_row(name, *map(str, figures))
    Console(width=160).print(table)


if __name__ == "__main__":
    app()
