"""How often a wrong answer holds one phrase of the prompt in two slots, by method of control.py.

    python benchmarks/twins.py --data DIR [--n 40] [--source snips] [--only threshold,RCR]

Slots are predicted independently, so two of them may want the same words. Counted are answers that
are not right and in which the text of one slot stands in that of another, which it does not in the
gold answer.
"""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any

import typer
from control import methods_of
from extraction import Compiled, questions
from rich.console import Console
from rich.table import Table

import ctrlgen

SHORTEST = 4


def has_twins(call: dict[str, Any]) -> bool:
    """Whether the text of one argument stands in that of another; short ones need be equal."""
    texts = [v.lower() for v in call.get("arguments", call).values() if isinstance(v, str)]
    pairs = permutations(texts, 2)
    return any(a == b or (len(a) >= SHORTEST and a in b) for a, b in pairs)


def main(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    n: int = 40,
    source: str = "snips",
    only: Annotated[str, typer.Option(help="Beginnings of `method: setting`.")] = "",
) -> None:
    """Print the counts."""
    compiled, sample = Compiled(ctrlgen.load()), questions(data, source, n)
    table = Table("method", "setting", "wrong", "with twins")
    for curve, setting, method in methods_of(compiled):
        if not f"{curve}: {setting}".startswith(tuple(only.split(","))):
            continue
        values = [json.loads(answer.text) for answer in method(sample)]
        pairs = [(v, q.gold) for v, q in zip(values, sample, strict=True) if not q.right(v)]
        twins = sum(has_twins(value) and not has_twins(gold) for value, gold in pairs)
        table.add_row(curve, setting, str(len(pairs)), str(twins))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
