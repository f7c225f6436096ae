"""Where the length of a slot comes from: exact match against slots of the right length.

    python benchmarks/lengths.py --data DIR [--n 100] [--twin DIR] [--sources snips,sgd,e2e]
        [--plot FILE]

One table. `oracle` gives every slot as many positions as its gold value has tokens; whether there
is one is the model's to say (but for the twin, to which a slot as long as `null` says it). With
`text` only free text gets its length: the length of an enum tells the value. With `where present`
the twin's open end says whether there is a value. `keys` is told that, too. `fixed` slots have one
length for all. The embedded model was trained with slack. The twin was not
(`scripts/train_embedded.py --no-slack`): it stands in for LLaDA-like models, and finds lengths with
an open end (`one look`: as it was before there was a second) or by trying several; `padding as
slack` takes its end-of-answer padding for slack. `paired branches` scores forks, enums and booleans
in place. Passes are forward passes an object, rows the sequences in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import plots
import typer
from extraction import Answer, Question, questions, score
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ctrlgen
from ctrlgen.canvas import Canvas
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.atoms import Floats
from ctrlgen.constraints.gap import Slack
from ctrlgen.controllers.branches import PairedBranches
from ctrlgen.controllers.lengths import (
    LengthSource,
    OpenEnd,
    Row,
    SeveralLengths,
    open_places,
    without_fill,
)
from ctrlgen.controllers.lengths.base import log_softmax
from ctrlgen.schedulers import Threshold
from ctrlgen.tool_call import tools as tools_spec

Source = Callable[[Question], LengthSource | str]


@dataclass
class OracleLengths:
    """Every slot is as long as its gold value.

    Args:
        gold: The values by key.
        keys: Whether keys without a value leave the canvas at once.
        null: Whether a slot without a value is as long as `null`, which tells it; otherwise it is
            as long as slots are at first, and fill tells it.
        text: Whether only free text is told.
    """

    gold: dict[str, Any]
    keys: bool
    null: bool
    text: bool = False

    def measures(self, canvas: Canvas) -> bool:
        """In every pass, so that fill stays what it is."""
        return True

    def rows(self, canvas: Canvas) -> list[Row]:
        """The canvas, its fresh gaps resized."""
        for place in open_places(canvas):
            if place.gap.looks == 0:
                self._resize(canvas, place.gap)
        view = canvas.view()
        spans = [range(p.offset, p.offset + p.gap.length) for p in open_places(canvas)]
        return [Row(view.ids, [i for span in spans for i in span])]

    def _resize(self, canvas: Canvas, gap: Gap) -> None:
        key = "name" if gap.is_fork else gap.name.rpartition("/")[2]
        if key not in self.gold and self.keys and gap.slack.absent:
            canvas.drop(gap)
            return
        gap.looks = 1
        if (key not in self.gold and not self.null) or (self.text and gap.kind != "string"):
            return
        text = json.dumps(self.gold.get(key), ensure_ascii=False)
        length = max(gap.minimum, len(canvas.scaffold.encode(text)))
        gap.resize(canvas.scaffold.filling(gap, length))
        gap.exact = key in self.gold and (self.null or self.keys)

    def read(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        """The logits as they are, or without fill where a length is given."""
        gaps = [place.gap for place in open_places(canvas)]
        out, at = [], 0
        for gap in gaps:
            part = logits[0][at : at + gap.length]
            at += gap.length
            if gap.exact:
                part = without_fill(part, canvas.scaffold.fill)
            elif self.null:
                part = log_softmax(part, canvas.mask)
                null = canvas.scaffold.encode("null")
                for i, token in enumerate(null[: len(part)]):
                    part[i, canvas.scaffold.fill] = part[i, token]
            out.append(part)
        self._free = _held([gap for gap in gaps if not gap.exact])
        return np.concatenate(out) if out else logits[0][:0]

    def plain(self, canvas: Canvas, logits: Floats) -> Floats:
        """Never asked: every pass is measured."""
        return logits

    def settle(self, canvas: Canvas) -> None:
        """Slots are free again, though none has grown."""
        _release(self._free)


@dataclass(frozen=True)
class OracleWherePresent(OpenEnd):
    """An open end says whether there is a value, the gold answer how long it is.

    Args:
        gold: The values by key.
    """

    gold: dict[str, Any] = field(default_factory=dict)
    _waiting: list[Gap] = field(default_factory=list)

    def read(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        """The open end's logits, but for slots whose length it got wrong: those wait a pass."""
        loose = {gap for gap in canvas.gaps() if not gap.exact}
        out, kept, at = super().read(canvas, rows, logits), [], 0
        for place in open_places(canvas):
            gap, part = place.gap, out[at : at + place.gap.length]
            at += gap.length
            key = gap.name.rpartition("/")[2]
            if gap in loose and gap.exact and gap.untouched and key in self.gold:
                text = json.dumps(self.gold[key], ensure_ascii=False)
                length = max(gap.minimum, len(canvas.scaffold.encode(text)))
                if length != gap.length:
                    gap.resize(canvas.scaffold.filling(gap, length))
                    gap.exact = gap.held = True
                    self._waiting.append(gap)
                    continue
            kept.append(part)
        return np.concatenate(kept) if kept else out[:0]

    def settle(self, canvas: Canvas) -> None:
        """Those that waited are seen in the next pass."""
        super().settle(canvas)
        while self._waiting:
            self._waiting.pop().held = False


@dataclass
class KnownKeys:
    """Another source that is told which keys have a value.

    Args:
        gold: The values by key.
        inner: The other source, None for slack.
    """

    gold: dict[str, Any]
    inner: LengthSource | None

    def measures(self, canvas: Canvas) -> bool:
        """When the other source does; by then nothing is left of other keys."""
        for place in open_places(canvas):
            gap = place.gap
            if gap.slack.absent and not gap.is_fork:
                if gap.name.rpartition("/")[2] in self.gold:
                    gap.slack = Slack(canvas.scaffold.fill)
                    gap.resize(canvas.scaffold.filling(gap, gap.length))
                else:
                    canvas.drop(gap)
        return self.inner is not None and self.inner.measures(canvas)

    def rows(self, canvas: Canvas) -> list[Row]:
        """The other source's."""
        assert self.inner is not None
        return self.inner.rows(canvas)

    def read(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        """The other source's."""
        assert self.inner is not None
        return self.inner.read(canvas, rows, logits)

    def plain(self, canvas: Canvas, logits: Floats) -> Floats:
        """The other source's."""
        return logits if self.inner is None else self.inner.plain(canvas, logits)

    def settle(self, canvas: Canvas) -> None:
        """The other source's."""
        if self.inner is not None:
            self.inner.settle(canvas)


@dataclass
class FixedLengths:
    """All slots have one length, and never another.

    Args:
        length: Positions.
    """

    length: int

    def measures(self, canvas: Canvas) -> bool:
        """In every pass, so that fill stays what it is."""
        return True

    def rows(self, canvas: Canvas) -> list[Row]:
        """The canvas, its fresh gaps resized."""
        for place in open_places(canvas):
            if place.gap.looks == 0 and not place.gap.is_fork:
                length = max(place.gap.minimum, self.length)
                place.gap.resize(canvas.scaffold.filling(place.gap, length))
            place.gap.looks = 1
        view = canvas.view()
        spans = [range(p.offset, p.offset + p.gap.length) for p in open_places(canvas)]
        return [Row(view.ids, [i for span in spans for i in span])]

    def read(self, canvas: Canvas, rows: list[Row], logits: Sequence[Floats]) -> Floats:
        """The logits as they are, or without fill where a length is given."""
        self._free = _held([place.gap for place in open_places(canvas)])
        return logits[0]

    def plain(self, canvas: Canvas, logits: Floats) -> Floats:
        """Never asked: every pass is measured."""
        return logits

    def settle(self, canvas: Canvas) -> None:
        """Slots are free again, though none has grown."""
        _release(self._free)


def _held(gaps: list[Gap]) -> list[Gap]:
    """Keep gaps from growing for one step."""
    for gap in gaps:
        gap.exact = True
    return gaps


def _release(gaps: list[Gap]) -> None:
    for gap in gaps:
        gap.exact = False


def _values(question: Question) -> dict[str, Any]:
    """The gold values by key; the tool's is `name`."""
    gold: dict[str, Any] = question.gold
    return {**gold["arguments"], "name": gold["name"]} if question.tools else gold


def oracle(*, keys: bool = False, null: bool = False, text: bool = False) -> Source:
    """The lengths of a question's gold answer."""
    return lambda question: OracleLengths(_values(question), keys, null, text)


def where_present(question: Question) -> LengthSource:
    """Those lengths, once the open end has said that there is a value."""
    return OracleWherePresent(gold=_values(question))


def known_keys(inner: LengthSource | None) -> Source:
    """A source that is told a question's keys."""
    return lambda question: KnownKeys(_values(question), inner)


def always(source: LengthSource | str) -> Source:
    """The same for every question."""
    return lambda question: source


def run(
    model: ctrlgen.Model, source: Source, sample: list[Question], name: str
) -> tuple[dict[str, float], float]:
    """Scores, and rows an object."""
    generators: dict[str, ctrlgen.Generator] = {}
    answers, rows = [], 0
    for question in track(sample, name, console=Console(stderr=True), transient=True):
        key = json.dumps(question.schema)
        if key not in generators:
            kind = tools_spec(question.tools) if question.tools else question.schema
            # The same rule for both models: the commit policy was trained for one of them.
            generators[key] = ctrlgen.Generator(model, kind, scheduler=Threshold())
        result = generators[key].generate(question.messages, lengths=source(question))
        answers.append(Answer(result.text, result.usage.forward_passes))
        rows += result.usage.forward_rows
    return score(sample, answers), rows / len(sample)


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    n: int = 100,
    twin: Annotated[Path | None, typer.Option(help="Checkpoint that knows no slack.")] = None,
    sources: str = "snips,sgd,e2e",
    only: Annotated[str, typer.Option(help="Rows whose name contains one of these.")] = "",
    out: plots.PlotFile = None,
) -> None:
    """Print the table of exact match, passes and rows against oracle lengths."""
    fixed = {f"fixed {k}": always(FixedLengths(k)) for k in (8, 16, 32)}
    embedded = {
        "oracle": oracle(),
        "oracle, text": oracle(text=True),
        "oracle, keys": oracle(keys=True),
        **fixed,
        "elastic: slack": always("slack"),
        "elastic: slack, keys": known_keys(None),
        "paired branches": always(PairedBranches()),
    }
    methods = [("embedded", ctrlgen.load(), name, source) for name, source in embedded.items()]
    if twin is not None:
        without = {
            "oracle": oracle(null=True),
            "oracle, keys": oracle(keys=True, null=True),
            "oracle where present": where_present,
            **fixed,
            "padding as slack": always("slack"),
            "elastic: open end": always("open"),
            "open end, one look": always(OpenEnd(sure=0.9, score=None)),
            "elastic: open end, keys": known_keys(OpenEnd()),
            "elastic: several lengths": always("several"),
            "elastic: several lengths, keys": known_keys(SeveralLengths()),
        }
        loaded = ctrlgen.load(twin)
        methods += [("twin", loaded, name, source) for name, source in without.items()]
    table = Table("data", "model", "lengths", "valid", "exact", "field F1", "passes", "rows")
    console, points = Console(width=110), list[tuple[str, str, float, float]]()
    for corpus in sources.split(","):
        sample = questions(data, corpus, n)
        for model, loaded, name, source in methods:
            if not any(word in f"{model} {name}" for word in only.split(",")):
                continue
            s, rows = run(loaded, source, sample, f"{corpus} {model} {name}")
            row = (
                corpus, model, name, f"{100 * s['valid']:.1f}", f"{100 * s['exact']:.1f}",
                f"{s['f1']:.3f}", f"{s['forwards']:.2f}", f"{rows:.1f}",
            )  # fmt: skip
            table.add_row(*row)
            console.print(*row)
            points.append((corpus, f"{model}: {name}", s["forwards"], s["exact"]))
    console.print(table)
    if out is not None:
        plots.draw(plots.trade_offs(points), out)


if __name__ == "__main__":
    typer.run(main)
