"""Branches by paired likelihoods: valid, counted, and each seen in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import ctrlgen
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers.branches import PairedBranches, alternatives
from ctrlgen.controllers.lengths import LengthSource, OpenEnd, SeveralLengths
from ctrlgen.generator import Model
from ctrlgen.testing import ScriptedDenoiser
from tests.canvas.test_canvas import DENOISER, INTEGER, STRING, canvas_of, object_of
from tests.test_validity import TYPES, attempt, check_schema, compiled_type, fault

BASES: list[LengthSource | None] = [None, OpenEnd(), SeveralLengths(lengths=(2, 5))]


@pytest.mark.parametrize("base", BASES, ids=["slack", "open", "several"])
@pytest.mark.parametrize("number", range(0, 40, 2))
def test_random_schemas(number: int, base: LengthSource | None) -> None:
    check_schema(number, (3 * number, 3 * number + 1), PairedBranches(base))


@pytest.mark.parametrize("index", range(len(TYPES)))
def test_python_types(index: int) -> None:
    adapter, scaffold = compiled_type(index)
    for seed, base in enumerate(BASES):
        source = PairedBranches(base, lead=float(30 * seed))
        assert not fault(adapter, attempt(scaffold, 1000 * index + seed, source=source))


def words_of(schema: dict[str, Any], *, null: bool = False) -> list[str]:
    canvas = canvas_of(schema)
    gap = next(canvas.gaps())
    tokens = canvas.scaffold.constraint.vocabulary.tokens
    found = alternatives(canvas, gap, 8, null=null)
    return sorted(b"".join(tokens[t] or b"" for t in word).decode() for word in found)


def test_alternatives_of_a_slot() -> None:
    colours = {"enum": ["red", "green", 3, None]}
    assert words_of(object_of(a=colours)) == ['"green"', '"red"', "3", "null"]
    flag = object_of([], a={"type": "boolean"})
    assert words_of(flag) == ["", "false", "true"]
    assert words_of(flag, null=True) == ["false", "null", "true"]
    assert words_of(object_of(a=STRING)) == words_of(object_of(a=INTEGER)) == []
    assert words_of(object_of(a={"enum": [f"v{i}" for i in range(9)]})) == []


class Paired(ScriptedDenoiser):
    """Prefers `"ab"` by single tokens, but `"cd"` once its other half is there to be seen."""

    def __init__(self) -> None:
        super().__init__(lambda rng, shape: np.zeros(shape), longer=())

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        self.calls += 1
        return [self._rows(s, p) for s, p in zip(sequences, positions, strict=True)]

    def _rows(self, sequence: Sequence[int], positions: Sequence[int]) -> Floats:
        out = np.full((len(positions), self.vocabulary.size), -8.0)
        span = [sequence[p] for p in positions]
        for i, fits in enumerate(('"', "ac", "bd", '"')):
            out[i, [ord(c) for c in fits]] = 2.0
        out[4:, self.fill_token_id] = 4.0
        out[1, ord("a")] += 0.5
        if ord("d") in span:
            out[1, ord("c")] += 9.0
        if ord("c") in span:
            out[2, ord("d")] += 9.0
        return out


def test_alternatives_are_seen_in_place() -> None:
    choice = {"enum": ["ab", "cd", "ef", "gh"]}
    model: Any = Model(Paired())
    plain = ctrlgen.Generator(model, choice).generate("?")
    assert plain.output == "ab"
    paired = ctrlgen.Generator(model, choice, branches="paired").generate("?")
    assert paired.output == "cd"
    usage = paired.usage
    # All masked: one row. Two of four go on: two patterns each, then four each.
    assert (usage.forward_passes, usage.forward_rows) in {(2, 1 + 4), (3, 1 + 4 + 8)}


def test_a_clear_lead_needs_one_row() -> None:
    def rows(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        out = np.zeros(shape)
        out[:, DENOISER.encode("true")[0]] = 9.0
        return out

    model: Any = Model(ScriptedDenoiser(rows))
    flag = ctrlgen.Generator(model, {"type": "boolean"}, branches="paired").generate("?")
    assert flag.output is True
    assert flag.usage.forward_rows == flag.usage.forward_passes == 1


def test_the_option_is_checked() -> None:
    with pytest.raises(ValueError, match="branches must be 'posterior' or 'paired'"):
        ctrlgen.Generator(Model(Paired()), STRING, branches="both")  # type: ignore[arg-type]
