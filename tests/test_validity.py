"""Whatever the logits, the budget and the end: the answer is valid."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lark
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from ctrlgen.canvas import Canvas, Scaffold
from ctrlgen.canvas.parts import REVISIONS
from ctrlgen.constraints.atoms import Floats
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.grammar import lower_lark
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.controllers import ConstraintController
from ctrlgen.controllers.blocks import (
    AdaBlock,
    Block,
    DeferredWindow,
    FixedBlocks,
    LearnedBlocks,
    SchemaWalls,
    WholeCanvas,
)
from ctrlgen.controllers.lengths import LengthSource
from ctrlgen.errors import ConstraintError, LimitError, NonFiniteLogitsError
from ctrlgen.loop import denoise
from ctrlgen.run import Engine, Limits, Run
from ctrlgen.schedulers import (
    ConstrainedMarginals,
    EntropyBound,
    Factor,
    Klass,
    LowConfidence,
    Prophet,
    RemaskLoop,
    RunningConfidence,
    Saber,
    Scheduler,
    Threshold,
    TraceLock,
    Wino,
)
from ctrlgen.testing import ADVERSARIES, RandomDenoiser, ScriptedDenoiser
from tests.random_schemas import TYPES, RandomSchemas

SCHEMAS = Path(__file__).parents[1] / "schemas"
SCHEDULERS: list[Scheduler] = [
    Threshold(), LowConfidence(2), EntropyBound(), Factor(), Klass(0.3, 1.0, 1), Prophet(),
    RunningConfidence(4), RemaskLoop(), Wino(0.1, 0.5), Saber(), ConstrainedMarginals(0.5),
    TraceLock(),
]  # fmt: skip
BLOCKS: list[Block] = [
    WholeCanvas(), FixedBlocks(8), AdaBlock(length=4), DeferredWindow(4, 16), SchemaWalls(),
    LearnedBlocks(),
]  # fmt: skip
ROWS = [None, None, None, *ADVERSARIES.values()]
SPELLING = RandomDenoiser()


class Interrupted:
    """A denoiser that is interrupted in its k-th call."""

    def __init__(self, denoiser: ScriptedDenoiser, k: int) -> None:
        self.denoiser, self.k = denoiser, k
        self.mask_token_id, self.fill_token_id = denoiser.mask_token_id, denoiser.fill_token_id
        self.vocabulary, self.max_length = denoiser.vocabulary, denoiser.max_length
        self.encode, self.prompt = denoiser.encode, denoiser.prompt

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        if self.denoiser.calls + 1 == self.k:
            raise KeyboardInterrupt
        return self.denoiser(sequences, positions)

    leave_one_out = __call__


def scaffold_of(grammar: Grammar) -> Scaffold:
    constraint = Constraint(grammar, SPELLING.vocabulary)
    return Scaffold(constraint, SPELLING.encode, SPELLING.fill_token_id)


def denoiser_of(seed: int) -> ScriptedDenoiser:
    rng = np.random.default_rng(seed)
    rows = ROWS[int(rng.integers(len(ROWS)))]
    if rows is None:
        return RandomDenoiser(seed, scale=float(rng.choice([0.3, 3.0, 20.0])))
    return ScriptedDenoiser(rows, seed)


def attempt(
    scaffold: Scaffold,
    seed: int,
    room: Sequence[int] = (0, 1, 3, 20, 60, 120),
    controller: ConstraintController | None = None,
    source: LengthSource | None = None,
) -> str:
    """One run under random circumstances; the answer is in the language at every step."""
    rng = np.random.default_rng([seed, 1])
    denoiser = denoiser_of(seed)
    needed = int(scaffold.minimum.of(scaffold.constraint.grammar.root))
    budget = needed + int(rng.choice(room))
    steps = None if rng.random() < 0.4 else int(rng.integers(1, 9))
    limits = Limits(steps, 0.0 if rng.random() < 0.05 else None)
    engine = Engine(
        Interrupted(denoiser, int(rng.integers(1, 20))) if rng.random() < 0.15 else denoiser,  # type: ignore[arg-type]
        controller or ConstraintController(),
        SCHEDULERS[int(rng.integers(len(SCHEDULERS)))],
        float(rng.choice([0.0, 0.2, 1.0])),
        block=BLOCKS[int(rng.integers(len(BLOCKS)))],
        lengths=source,
    )
    run = Run([3, 4], Canvas(scaffold, SPELLING.mask_token_id, budget), rng)
    accepts = scaffold.constraint.accepts
    assert accepts(run.canvas.text())
    for _ in denoise(engine, [run], limits):
        assert accepts(run.trace[-1].text)
        assert run.canvas.size() <= budget
        assert len(run.canvas.view().ids) <= budget
        most = (2 + REVISIONS) * budget if steps is None else steps
        assert run.usage.forward_passes <= most
    text = run.canvas.text()
    assert accepts(text)
    assert run.finish_reason is not None
    assert run.usage.canvas_tokens <= budget
    if run.finish_reason == "stop":
        assert not run.open
    return text


@functools.cache
def compiled(number: int) -> tuple[dict[str, Any], Scaffold] | None:
    """The n-th random schema; None if it is refused."""
    schema = RandomSchemas(number).document()
    try:
        return schema, scaffold_of(lower_schema(schema))
    except ConstraintError:
        return None


def check_schema(number: int, seeds: Sequence[int], source: LengthSource | None = None) -> int:
    found = compiled(number)
    if found is None:
        return 0
    schema, scaffold = found
    checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for seed in seeds:
        checker.validate(json.loads(attempt(scaffold, seed, source=source)))
    return len(seeds)


@pytest.mark.parametrize("number", range(100))
def test_random_schemas(number: int) -> None:
    check_schema(number, (2 * number, 2 * number + 1))


def test_most_random_schemas_are_supported() -> None:
    assert sum(compiled(number) is not None for number in range(100)) > 80


@functools.cache
def compiled_type(index: int) -> tuple[TypeAdapter[Any], Scaffold]:
    adapter: TypeAdapter[Any] = TypeAdapter(TYPES[index])
    return adapter, scaffold_of(lower_schema(adapter.json_schema()))


def fault(adapter: TypeAdapter[Any], text: str) -> str:
    """What pydantic has against a text; nothing if it is valid."""
    try:
        adapter.validate_json(text)
    except ValidationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("index", range(len(TYPES)))
@pytest.mark.parametrize("seed", range(5))
def test_python_types(index: int, seed: int) -> None:
    adapter, scaffold = compiled_type(index)
    assert not fault(adapter, attempt(scaffold, 100 * index + seed))


PATTERNS = [p.read_text().rstrip("\r\n") for p in sorted(SCHEMAS.glob("*.regex"))] + [
    r"(ab|c)*d{2,5}",
    r"[^\x00-\x7f]{1,3}",
    r"(?:\d{1,3}\.){3}\d{1,3}",
]


@functools.cache
def compiled_pattern(pattern: str) -> Scaffold:
    return scaffold_of(Grammar(lower_regex(pattern)))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("seed", range(6))
def test_patterns(pattern: str, seed: int) -> None:
    assert re.fullmatch(pattern, attempt(compiled_pattern(pattern), seed))


GRAMMARS = {path.stem: path.read_text() for path in sorted(SCHEMAS.glob("*.lark"))}


@functools.cache
def compiled_grammar(name: str) -> tuple[lark.Lark, Scaffold]:
    return lark.Lark(GRAMMARS[name]), scaffold_of(lower_lark(GRAMMARS[name]))


@pytest.mark.parametrize("name", GRAMMARS)
@pytest.mark.parametrize("seed", range(3))
def test_grammars(name: str, seed: int) -> None:
    parser, scaffold = compiled_grammar(name)
    assert parser.parse(attempt(scaffold, seed, room=(0, 2, 6)))


class OutOfDepth(ConstraintController):
    """A controller whose searches often hit a limit."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def posterior(self, *arguments: Any) -> Posterior:
        if self.rng.random() < 0.5:
            raise LimitError("too many states")
        return super().posterior(*arguments)


@pytest.mark.parametrize("seed", range(len(TYPES)))
def test_a_search_that_hits_its_limit_ends_in_the_witness(seed: int) -> None:
    adapter, scaffold = compiled_type(seed)
    assert not fault(adapter, attempt(scaffold, seed, controller=OutOfDepth(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_thousands(part: int) -> None:
    for number in range(150 + 40 * part, 190 + 40 * part):
        check_schema(number, range(5 * number, 5 * number + 5))
        compiled.cache_clear()
    for index in range(len(TYPES)):
        adapter, scaffold = compiled_type(index)
        for seed in range(5):
            assert not fault(adapter, attempt(scaffold, 7919 * part + 100 * index + seed))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers(bad: float) -> None:
    _, scaffold = compiled_type(0)
    denoiser = ScriptedDenoiser(lambda rng, shape: np.full(shape, bad))
    run = Run([], Canvas(scaffold, denoiser.mask_token_id, 60), np.random.default_rng())
    engine = Engine(denoiser, ConstraintController(), Threshold())
    with pytest.raises(NonFiniteLogitsError):
        list(denoise(engine, [run], Limits()))
    assert scaffold.constraint.accepts(run.canvas.text())


def runs_of(seeds: Sequence[int], steps: int | None, together: bool) -> list[tuple[str, int]]:
    _, scaffold = compiled_type(3)
    denoiser = RandomDenoiser(5)
    engine = Engine(denoiser, ConstraintController(), Threshold(0.5), temperature=1.0)
    runs = [
        Run([seed], Canvas(scaffold, denoiser.mask_token_id, 120), np.random.default_rng(seed))
        for seed in seeds
    ]
    for batch in [runs] if together else [[run] for run in runs]:
        list(denoise(engine, batch, Limits(steps)))
    return [(run.canvas.text(), run.usage.forward_passes) for run in runs]


@pytest.mark.parametrize("steps", [None, 3])
def test_a_batch_is_what_its_members_are_alone(steps: int | None) -> None:
    assert runs_of(range(4), steps, True) == runs_of(range(4), steps, False)
    assert len({text for text, _ in runs_of(range(4), steps, True)}) > 1


def test_one_graph_cache_serves_many_constraints() -> None:
    """States of different automata are equal ints and must not be mixed up."""
    controller = ConstraintController()
    denoiser = RandomDenoiser(1)
    for index in range(len(TYPES)):
        adapter, scaffold = compiled_type(index)
        run = Run([], Canvas(scaffold, denoiser.mask_token_id, 90), np.random.default_rng(index))
        list(denoise(Engine(denoiser, controller, Threshold()), [run], Limits(3)))
        assert not fault(adapter, run.canvas.text())
