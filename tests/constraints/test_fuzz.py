"""Mutated schemas of the corpus: no crash, no hang, no wrong verdict; jsonschema is the judge.

No invalid instance may be accepted, no valid one refused (the departures of docs/json_schema.md
apart), and no word made that is invalid. `CTRLGEN_FUZZ_SECONDS` says how long each of the two
tests goes on.
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import HypothesisException, InvalidArgument
from hypothesis_jsonschema import from_schema
from jsonschema.exceptions import _RefResolutionError as Unresolvable
from jsonschema.protocols import Validator

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.json_text import spell
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.constraints.schema import lower_schema
from ctrlgen.constraints.schema_drafts import VALIDATORS, Draft, draft_of
from ctrlgen.constraints.schema_formats import checker
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.constraints.time_limit import time_limit
from ctrlgen.errors import ConstraintError, UnsatisfiableError

from .mutation import mutated, varied

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("CTRLGEN_FUZZ_SECONDS", "300"))
SEED = int(os.environ.get("CTRLGEN_FUZZ_SEED", "0"))
LIMIT = 20  # seconds that exploring the automaton of one schema may take
PATIENCE = 120  # seconds after which it hangs, in spite of its limits and on a busy machine
ROOT = Path(__file__).parents[2]
CORPUS = ROOT.parent / "shared" / "data" / "maskbench-dev.jsonl.gz"
SAMPLE = ROOT / "tests" / "data" / "json-schema-test-suite-sample.json"
STANDARD = SchemaOptions.standard()
VERIFY = replace(STANDARD, on_unsupported="verify")
DECLARED = replace(VERIFY, whitespace="compact", key_order="declared")
DEFAULT = SchemaOptions()


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


def judge_of(schema: Any) -> Validator | None:
    """Jsonschema for a schema, None if it cannot read it, or reads it wrongly."""
    draft = draft_of(schema)
    if draft == Draft.D2019 and '"unevaluated' in json.dumps(schema):
        return None  # there jsonschema counts `contains`, but not `additionalProperties`
    if isinstance(schema, dict) and not {"$id", "id"} & schema.keys():
        # a root without a URI is missing in jsonschema's dynamic scope
        schema = {"id" if draft <= Draft.D4 else "$id": "http://fuzz.invalid/root", **schema}
    try:
        return VALIDATORS[draft](schema, format_checker=checker())
    except Exception:  # identifiers that are no texts
        return None


def judged(judge: Validator | None, value: Any) -> bool | None:
    """The verdict of jsonschema, None if it fails itself."""
    if judge is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return judge.is_valid(value)
    except Exception:  # unresolvable references, patterns that it cannot read, and its own faults
        return None


UNDECIDED = b"?"
FUEL = 5_000


@dataclass(frozen=True)
class Members:
    """Members of an object in an order that is still open."""

    items: list[tuple[str, Any]]

    def choices(self) -> Iterator[list[Any]]:
        """Each member as the next one, and what is left then."""
        for i, (key, value) in enumerate(self.items):
            others = self.items[:i] + self.items[i + 1 :]
            yield [spell(key) + b":", value, *([b",", Members(others)] if others else [b"}"])]


def arranged(automaton: ByteAutomaton, value: Any) -> bytes | None:
    """The compact text of `value` with its keys in an order that is accepted.

    Returns:
        None if there is no such order, `UNDECIDED` if there are too many to try.
    """
    # What is left to read is a linked list of values, texts, and members of open order.
    waiting: list[tuple[int, Any, bytes]] = [(automaton.start, (value, None), b"")]
    for _ in range(FUEL):
        if not waiting:
            return None
        state, left, text = waiting.pop()
        if left is None:
            if automaton.is_accepting(state):
                return text
            continue
        first, rest = left
        if isinstance(first, Members):
            waiting += [(state, linked(c, rest), text) for c in [*first.choices()][::-1]]
        elif isinstance(first, dict) and first:
            waiting.append((state, linked([b"{", Members([*first.items()])], rest), text))
        elif isinstance(first, list) and first:
            items = [part for item in first for part in (b",", item)][1:]
            waiting.append((state, linked([b"[", *items, b"]"], rest), text))
        else:
            read = first if isinstance(first, bytes) else spell(first)
            state = automaton.run(state, read)
            if state >= 0:
                waiting.append((state, rest, text + read))
    return UNDECIDED


def linked(parts: list[Any], rest: Any) -> Any:
    """`parts` before the linked list `rest`."""
    for part in reversed(parts):
        rest = (part, rest)
    return rest


# Characters that Python's `\s`, `\w`, `\d`, `.` and `$` see in another way than ECMAScript's.
_DISPUTED = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\U0010ffff]")


def is_disputed(schema: Any, value: Any) -> bool:
    """Whether jsonschema, whose patterns are Python's, may read a pattern in another way."""
    texts = json.dumps([value, schema], ensure_ascii=False)
    keys = ('"pattern"', '"patternProperties"', '"regex"')
    return any(key in texts for key in keys) and any(
        _DISPUTED.search(text) for text in leaves(value) if isinstance(text, str)
    )


def departs(schema: Any, value: Any) -> bool:
    """Whether a valid value may be refused: see the departures in docs/json_schema.md."""
    numbers = [leaf for leaf in leaves(value) if isinstance(leaf, float)]
    # To draft 4, 1.0 is no integer, so it is offered for no enumerated 1 where integers are asked.
    if draft_of(schema) <= Draft.D4 and any(map(float.is_integer, numbers)):
        return True
    said = json.dumps(schema)
    bounded = any(f'"{key}' in said for key in ("min", "max", "exclusive", "multipleOf"))
    exponents = [repr(number).partition("e")[2] for number in numbers]
    # Exponents have two digits, and none in ranges with a bound.
    return any(power and (bounded or len(power) > 3) for power in exponents)


def leaves(value: Any) -> Iterator[Any]:
    """The scalars and keys in a value."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


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
    """Asserts that the verdict on each of `instances` is right, and that no word made is invalid.

    Refusing the schema is no fault; any other error, and taking for ever, is.
    """
    judge = judge_of(schema)
    verdicts = [(value, judged(judge, value)) for value in instances]
    for options in (STANDARD, VERIFY, DECLARED, DEFAULT):
        try:
            with patience(schema), time_limit(LIMIT):
                made = lowered(schema, options)
                for value, valid in verdicts if options is not DEFAULT else ():
                    check_verdict(schema, options, made, value, valid)
                for text in words(made[1], chance) if made else ():
                    value = json.loads(text)
                    if made and made[0].verify is None and not is_disputed(schema, value):
                        valid = judged(judge, value)
                        assert valid is not False, f"wrong word {text!r} of {json.dumps(schema)}"
        except ConstraintError:
            continue


def check_verdict(
    schema: Any,
    options: SchemaOptions,
    made: tuple[Grammar, ByteAutomaton] | None,
    value: Any,
    valid: bool | None,
) -> None:
    """Asserts that `value` is accepted if it is valid, and refused if it is not."""
    if valid is None or is_disputed(schema, value):
        return
    if options is DECLARED:
        text = arranged(made[1], value) if made else None
        if text is UNDECIDED or (made and text and made[0].verify and not made[0].verify(text)):
            return
        found = text is not None
    else:
        text = json.dumps(value, ensure_ascii=False).encode()
        found = made is not None and accepts(*made, text)
    said = f"{json.dumps(value)} by {json.dumps(schema)} ({options.key_order})"
    assert valid or not found, f"false accept of {said}"
    assert found or not valid or departs(schema, value), f"false reject of {said}"


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
    judge = judge_of(schema)

    @settings(
        max_examples=8, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def check(value: Any) -> None:
        check_verdict(schema, STANDARD, made, value, judged(judge, value))

    try:
        with patience(schema), time_limit(LIMIT):
            check()
    except (HypothesisException, ConstraintError, RecursionError, re.error, Unresolvable):
        return  # hypothesis-jsonschema cannot draw from every schema
