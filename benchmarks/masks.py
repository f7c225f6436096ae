"""Masks from left to right: what a token costs on walks over the valid instances of schemas.

    python benchmarks/masks.py --tokenizer DIR --schemas FILE.jsonl.gz [--n 300]
        [--plot FILE]

Each line of the file is `{"schema": ..., "tests": [{"valid": ..., "data": ...}]}`. Every instance
is spelled as compact JSON, tokenised, and read token by token: the mask as packed bits, then the
step. A *cold* mask is the first of its state. Times are CPU times; a peer (llguidance)
walks the same instances in the same run. Counts are exact.
"""

from __future__ import annotations

import gzip
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import plots
import typer
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from ctrlgen.constraints import (
    automaton,
    heads,
    masks,
    reading,
    schema,
    stacks,
    stencils,
)
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import CtrlgenError


@dataclass
class Times:
    """Microseconds per event, and counts, of one engine."""

    compile: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    mask: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    both: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Phases:
    """Time inside functions, without that inside other functions that are watched."""

    def __init__(self) -> None:
        self.own: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def watch(self, owner: Any, name: str, phase: str) -> None:
        """Counts the calls of `owner.name` towards `phase`."""
        plain = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            began = time.process_time()
            try:
                return plain(*args, **options)
            finally:
                spent = time.process_time() - began
                self.own[phase] += spent - self._inner.pop()
                self._inner[-1] += spent

        setattr(owner, name, timed)


def watch_all() -> Phases:
    """Phases of ctrlgen's own masks; watching costs time itself."""
    phases = Phases()
    phases.watch(schema, "lower_schema", "schema to nodes")
    phases.watch(automaton.ByteAutomaton, "__init__", "nodes to terms")
    phases.watch(automaton.ByteAutomaton, "row", "rows of the automaton")
    phases.watch(reading.Reader, "after", "steps over bytes")
    phases.watch(reading.Reader, "read_in", "thin reading")
    phases.watch(stacks.Stacks, "arcs", "arcs of stacks")
    phases.watch(masks, "head_of", "naming of heads")
    phases.watch(heads.Keys, "of_terms", "naming of heads")
    phases.watch(masks, "cut", "cutting of stencils")
    phases.watch(masks.Walk, "__call__", "walks of the trie")
    phases.watch(stencils.Stencil, "words", "masks of stencils")
    phases.watch(masks.Masks, "bits", "union of masks")
    return phases


def sample(path: Path, n: int, seed: int) -> list[dict[str, Any]]:
    """Seeded lines of a file, those with instances only."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = [
        row for row in map(json.loads, text.splitlines()) if any(t["valid"] for t in row["tests"])
    ]
    return random.Random(seed).sample(rows, min(n, len(rows)))


def instances(row: dict[str, Any], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The tokens of the valid instances of one line."""
    for test in row["tests"]:
        if test["valid"]:
            text = json.dumps(test["data"], ensure_ascii=False, separators=(",", ":"))
            yield tokenizer.encode(text, add_special_tokens=False).ids


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What `call` returns, and its microseconds."""
    began = time.process_time()
    value = call()
    return value, (time.process_time() - began) * 1e6


def walk(constraint: Constraint, ids: list[int], times: Times, seen: set[int]) -> bool:
    """Reads one instance; whether it is in the language."""
    state = constraint.start()
    for token in [*ids, -1]:
        words, spent = timed(lambda: constraint.bits(state))  # noqa: B023
        times.mask.append(spent)
        if state not in seen:
            seen.add(state)
            times.cold.append(spent)
        if token < 0:
            return constraint.is_accepting(state)
        if not int(words[token >> 5]) >> (token & 31) & 1:
            return False
        after, step = timed(lambda: constraint.next(state, token))  # noqa: B023
        times.both.append(spent + step)
        assert after is not None, "the mask allows the token"
        state = after
    raise AssertionError("unreachable")


def run_ctrlgen(rows: list[dict[str, Any]], words: Vocabulary, tokenizer: Tokenizer) -> Times:
    """All walks with ctrlgen."""
    times = Times()
    for row in rows:
        try:
            constraint, spent = timed(
                lambda: Constraint(schema.lower_schema(row["schema"]), words)  # noqa: B023
            )
            _, first = timed(lambda: constraint.bits(constraint.start()))  # noqa: B023
        except CtrlgenError:
            times.counts["refused"] += 1
            continue
        times.compile.append(spent)
        times.first.append(spent + first)
        seen: set[int] = {constraint.start()}
        for ids in instances(row, tokenizer):
            times.counts["instances"] += 1
            times.counts["accepted"] += walk(constraint, ids, times, seen)
        times.counts["states"] += constraint.automaton.n_states
        times.counts["lifted states"] += len(seen)
    times.counts["token sets"] = len(words.token_sets)
    return times


def run_llguidance(rows: list[dict[str, Any]], tokenizer: Tokenizer, width: int) -> Times:
    """The same walks with llguidance, lenient, compact JSON."""
    import llguidance
    import llguidance.hf
    import llguidance.numpy
    from transformers import PreTrainedTokenizerFast

    eos = next(iter(tokenizer.get_added_tokens_decoder()))
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=tokenizer.id_to_token(eos)
    )
    tok = llguidance.hf.from_tokenizer(wrapped, n_vocab=width, eos_token=eos)
    mask = llguidance.numpy.allocate_token_bitmask(1, width)
    style = {"lenient": True, "whitespace_flexible": False}
    times = Times()
    for row in rows:

        def build() -> Any:
            text = json.dumps(row["schema"])  # noqa: B023
            grammar = llguidance.LLMatcher.grammar_from_json_schema(text, overrides=style)
            return llguidance.LLMatcher(tok, grammar, log_level=0)

        try:
            matcher, spent = timed(build)
        except ValueError:
            times.counts["refused"] += 1
            continue
        if matcher.is_error():
            times.counts["refused"] += 1
            continue
        times.compile.append(spent)
        fresh = matcher.deep_copy()
        _, first = timed(lambda: llguidance.numpy.fill_next_token_bitmask(fresh, mask, 0))  # noqa: B023
        times.first.append(spent + first)
        for ids in instances(row, tokenizer):
            times.counts["instances"] += 1
            reader = matcher.deep_copy()
            for token in ids:
                _, spent = timed(lambda: llguidance.numpy.fill_next_token_bitmask(reader, mask, 0))  # noqa: B023
                times.mask.append(spent)
                if not int(mask[0, token >> 5]) >> (token & 31) & 1:
                    break
                _, step = timed(lambda: reader.consume_token(token))  # noqa: B023
                times.both.append(spent + step)
            else:
                times.counts["accepted"] += reader.is_accepting()
    return times


def percentiles(values: list[float], scale: float = 1.0) -> str:
    """p50 / p90 / p99 / max."""
    if not values:
        return "–"
    found = np.percentile(np.asarray(values) / scale, [50, 90, 99, 100])
    return " / ".join(f"{value:,.1f}" for value in found)


def print_table(columns: dict[str, Times], console: Console) -> None:
    """One column per engine."""
    table = Table("p50 / p90 / p99 / max", *columns)
    every = columns.values()
    table.add_row("compile, ms", *(percentiles(t.compile, 1000) for t in every))
    table.add_row("compile + first mask, ms", *(percentiles(t.first, 1000) for t in every))
    table.add_row("mask, µs", *(percentiles(t.mask) for t in every))
    table.add_row("cold mask, µs", *(percentiles(t.cold) for t in every))
    table.add_row("mask + step, µs", *(percentiles(t.both) for t in every))
    mean = [f"{np.mean(t.both):,.1f}" if t.both else "–" for t in every]
    table.add_row("mask + step, µs, average", *mean)
    table.add_row("masks", *(f"{len(t.mask):,}" for t in every))
    table.add_row("cold masks", *(f"{len(t.cold):,}" if t.cold else "–" for t in every))
    for name in dict.fromkeys(name for t in every for name in t.counts):
        table.add_row(name, *(f"{t.counts.get(name, 0):,}" for t in every))
    console.print(table)


def panels(columns: dict[str, Times]) -> list[plots.Curves]:
    """The share of masks, and of masks and steps, that take at most so long."""
    parts: dict[str, Callable[[Times], list[float]]] = {
        "mask": lambda times: times.mask,
        "mask + step": lambda times: times.both,
    }
    return [
        plots.Curves(
            title, "microseconds", "% of masks", log_x=10, stairs=True,
            lines={engine: plots.shares(values(times)) for engine, times in columns.items()},
        )
        for title, values in parts.items()
    ]  # fmt: skip


def main(
    tokenizer: Annotated[Path, typer.Option(help="Folder of a tokenizer.json.")],
    schemas: Annotated[Path, typer.Option(help="Schemas with instances, one JSON a line.")],
    n: Annotated[int, typer.Option(help="Schemas to draw.")] = 300,
    seed: int = 0,
    peer: Annotated[bool, typer.Option(help="Also run llguidance.")] = True,
    phases: Annotated[bool, typer.Option(help="Share of time by phase (slows ctrlgen).")] = False,
    out: plots.PlotFile = None,
) -> None:
    """Print the table."""
    console = Console()
    backend = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    words, spent = timed(lambda: Vocabulary.from_tokenizer(backend))
    console.print(f"vocabulary: {words.size:,} tokens in {spent / 1e6:.2f} s")
    rows = sample(schemas, n, seed)
    watched = watch_all() if phases else None
    columns = {"ctrlgen": run_ctrlgen(rows, words, backend)}
    if peer:
        columns["llguidance"] = run_llguidance(rows, backend, words.size)
    print_table(columns, console)
    if watched:
        shares = Table("phase", "seconds", "share")
        total = sum(watched.own.values())
        for phase, seconds in sorted(watched.own.items(), key=lambda pair: -pair[1]):
            shares.add_row(phase, f"{seconds:.2f}", f"{seconds / total:.0%}")
        console.print(shares)
    if out is not None:
        plots.draw(panels(columns), out)


if __name__ == "__main__":
    typer.run(main)
