"""Mutated schemas of the corpus: no crash, no hang, no false accept; jsonschema is the judge.

`CTRLGEN_FUZZ_SECONDS` says how long each of the two tests goes on.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import HypothesisException, InvalidArgument
from hypothesis_jsonschema import from_schema
from jsonschema.protocols import Validator

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.constraints.schema_drafts import VALIDATORS, draft_of
from ctrlgen.constraints.schema_formats import checker
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.errors import ConstraintError, UnsatisfiableError

from .mutation import mutated, varied

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("CTRLGEN_FUZZ_SECONDS", "300"))
SEED = int(os.environ.get("CTRLGEN_FUZZ_SEED", "0"))
PATIENCE = 120  # seconds for one schema: many times its limits, on a busy machine
ROOT = Path(__file__).parents[2]
CORPUS = ROOT.parent / "shared" / "data" / "maskbench-dev.jsonl.gz"
SAMPLE = ROOT / "tests" / "data" / "json-schema-test-suite-sample.json"
STANDARD = SchemaOptions.standard()
VERIFY = replace(STANDARD, on_unsupported="verify")


def rows() -> list[dict[str, Any]]:
    """Schemas with instances: the corpus, or the committed sample of the official suite."""
    if CORPUS.exists():
        with gzip.open(CORPUS, "rt", encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
        return [row for row in found if len(json.dumps(row["schema"])) < 20_000]
    groups = json.loads(SAMPLE.read_text(encoding="utf-8"))["groups"]
    return [group for group in groups if isinstance(group["schema"], dict)]


@contextmanager
def patience(what: Any) -> Iterator[None]:
    """Fails if the body takes for ever."""

    def stop(signum: int, frame: Any) -> None:
        raise AssertionError(f"hangs: {json.dumps(what)}")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def lowered(schema: Any, options: SchemaOptions) -> tuple[Grammar, ByteAutomaton] | None:
    try:
        grammar = lower_schema(schema, options)
        return grammar, ByteAutomaton(grammar)
    except UnsatisfiableError:
        return None


def accepts(grammar: Grammar, automaton: ByteAutomaton, text: bytes) -> bool:
    found = automaton.is_accepting(automaton.run(automaton.start, text))
    return found and (grammar.verify is None or grammar.verify(text))


def judged(judge: Validator, value: Any) -> bool | None:
    """The verdict of jsonschema, None if it fails itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return judge.is_valid(value)
    except Exception:  # unresolvable references, patterns that it cannot read, and its own faults
        return None


def words(automaton: ByteAutomaton, chance: random.Random) -> Iterator[bytes]:
    """The shortest word, and some that wander first."""
    yield automaton.shortest(automaton.start)
    for _ in range(4):
        state, text = automaton.start, bytearray()
        for _ in range(chance.randrange(1, 40)):
            row = automaton.row(state)
            ahead = sorted({int(after) for after in row} - {-1})
            if not ahead:
                break
            state = chance.choice(ahead)
            text.append(chance.choice([byte for byte in range(256) if row[byte] == state]))
        yield bytes(text) + automaton.shortest(state)


def check_schema(schema: Any, instances: list[Any], chance: random.Random) -> None:
    """Asserts that none of `instances` is falsely accepted, and no word made that is invalid.

    Refusing the schema is no fault; any other error, and taking for ever, is.
    """
    judge = VALIDATORS[draft_of(schema)](schema, format_checker=checker())
    verdicts = [(value, judged(judge, value)) for value in instances]
    for options in (STANDARD, VERIFY):
        try:
            with patience(schema):
                made = lowered(schema, options)
                if made is None:
                    return
                for value, valid in verdicts:
                    text = json.dumps(value, ensure_ascii=False).encode()
                    assert valid is not False or not accepts(*made, text), (
                        f"false accept of {text!r} by {json.dumps(schema)}"
                    )
                for text in words(made[1], chance):
                    if made[0].verify is None:
                        valid = judged(judge, json.loads(text))
                        assert valid is not False, f"wrong word {text!r} of {json.dumps(schema)}"
        except ConstraintError:
            continue


def test_mutated_schemas() -> None:
    """What must hold is asserted by `check_schema`."""
    corpus, chance = rows(), random.Random(SEED)
    until, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < until or count < 20:
        row = chance.choice(corpus)
        schema = mutated(row["schema"], chance, chance.choice([0, 1, 1, 2, 3, 5]))
        instances = [test["data"] for test in row["tests"]]
        for value in instances[:4] or [{}]:
            instances += [varied(value, chance) for _ in range(4)]
        check_schema(schema, instances, chance)
        count += 1


def test_instances_that_hypothesis_draws() -> None:
    """Instances of another implementation do not crash us; jsonschema agrees with what we accept.

    They may be refused: ours are the spellings of `json.dumps`.
    """
    corpus, chance = rows(), random.Random(SEED)
    until, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < until or count < 5:
        row = chance.choice(corpus)
        if len(json.dumps(row["schema"])) < 2_000:
            check_drawn(row["schema"])
            count += 1


def check_drawn(schema: Any) -> None:
    """Asserts that no instance that hypothesis draws is falsely accepted, and none crashes us."""
    try:
        made = lowered(schema, STANDARD)
        strategy = from_schema(schema)
    except (ConstraintError, InvalidArgument, ValueError, RecursionError):
        return
    judge = VALIDATORS[draft_of(schema)](schema, format_checker=checker())

    @settings(
        max_examples=8, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def check(value: Any) -> None:
        valid = judged(judge, value)
        text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        if made is None or not accepts(*made, text):
            return
        assert valid is not False, f"false accept of {text!r} by {json.dumps(schema)}"

    try:
        with patience(schema):
            check()
    except (HypothesisException, RecursionError, re.error):
        return
