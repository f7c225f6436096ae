"""Length sources: valid whatever the logits, and right where the model is."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ctrlgen
from ctrlgen.canvas import Canvas
from ctrlgen.canvas.excerpt import END, excerpt, following, has_key
from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers.lengths import LengthSource, OpenEnd, SeveralLengths, named
from ctrlgen.controllers.lengths.scores import SECOND_LOOK, Candidate, LengthScore
from ctrlgen.controllers.lengths.second_look import decided
from ctrlgen.denoisers.declared import absence_of, closing_of, commits_of, declared
from ctrlgen.denoisers.description import described
from ctrlgen.errors import ModelError
from ctrlgen.generator import Model
from ctrlgen.spec import to_spec
from ctrlgen.testing import RandomDenoiser, ScriptedDenoiser
from tests.canvas.test_canvas import INTEGER, STRING, canvas_of, object_of, take
from tests.test_validity import (
    PATTERNS,
    TYPES,
    attempt,
    check_schema,
    compiled_pattern,
    compiled_type,
    fault,
)

SOURCES: list[LengthSource] = [
    OpenEnd(), OpenEnd(sure=0.0, looks=1, tail=0, others=0), OpenEnd(sure=1.1),
    SeveralLengths(), SeveralLengths(lengths=(1, 3)), OpenEnd(sure=1.1, looks=9, score=None),
]  # fmt: skip
NAMES = ["open", "hasty", "hesitant", "several", "two lengths", "no second look"]


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
@pytest.mark.parametrize("number", range(0, 40, 2))
def test_random_schemas(number: int, source: LengthSource) -> None:
    check_schema(number, (3 * number, 3 * number + 1), source)


@pytest.mark.parametrize("source", SOURCES[::3], ids=NAMES[::3])
@pytest.mark.parametrize("index", range(len(TYPES)))
def test_python_types(index: int, source: LengthSource) -> None:
    adapter, scaffold = compiled_type(index)
    for seed in range(3):
        assert not fault(adapter, attempt(scaffold, 1000 * index + seed, source=source))


@pytest.mark.parametrize("source", SOURCES[::3], ids=NAMES[::3])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern: str, source: LengthSource) -> None:
    assert re.fullmatch(pattern, attempt(compiled_pattern(pattern), 5, source=source))


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_thousands(source: LengthSource) -> None:
    for number in range(200, 600):
        check_schema(number, range(7 * number, 7 * number + 3), source)


class Knowing(ScriptedDenoiser):
    """A denoiser without slack that knows the answer, and how long each value is.

    It writes the value of the key in front of a run of masks, or `null`. Where something stands
    behind the run it writes what fits there, as real ones do: the value cut or drawn out.
    """

    lengths = "open"

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(lambda rng, shape: np.zeros(shape))
        self.answer = answer
        self.rows_seen = 0

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        self.calls += 1
        self.rows_seen += len(sequences)
        return [self._logits(s, p) for s, p in zip(sequences, positions, strict=True)]

    def _logits(self, sequence: Sequence[int], positions: Sequence[int]) -> Floats:
        wanted = list(sequence)
        start = 0
        while start < len(sequence):
            if sequence[start] == self.mask_token_id:
                end = start
                while end < len(sequence) and sequence[end] == self.mask_token_id:
                    end += 1
                text = b"".join(self.vocabulary.tokens[t] or b"" for t in sequence[:start]).decode()
                wanted[start:end] = self._written(text, end - start, end == len(sequence))
                start = end
            else:
                start += 1
        out = np.zeros((len(positions), self.vocabulary.size))
        out[np.arange(len(positions)), [wanted[p] for p in positions]] = 12.0
        return out

    def _written(self, text: str, length: int, open_end: bool) -> list[int]:
        key = text.rpartition('":')[0].rpartition('"')[2]
        value = self.encode(json.dumps(self.answer.get(key), separators=(",", ":")))
        if open_end:
            return (value + self.encode(("}" if key == "d" else ",") * 999))[:length]
        return (value[:-1] + value[:1] * 999)[: length - 1] + value[-1:]


SCHEMA = object_of(["a"], a=STRING, b=STRING, c=INTEGER, d=STRING)


@pytest.mark.parametrize("source", [None, "open"])
def test_an_open_end_finds_lengths_and_what_is_absent(source: str | None) -> None:
    answer = {"a": "what a long value this is, longer than any slot", "c": 10, "d": "x"}
    denoiser = Knowing(answer)
    model: Any = Model(denoiser)  # type: ignore[arg-type]
    result = ctrlgen.Generator(model, SCHEMA, lengths=source).generate("?")
    assert result.output == answer
    assert result.usage.forward_passes == denoiser.calls
    assert result.usage.forward_rows == denoiser.rows_seen > denoiser.calls


class Doubting(Knowing):
    """Torn between the value and one a character shorter, until it sees how long the slot is."""

    def __init__(self, value: str, other: str | None = None) -> None:
        super().__init__({"a": value, "d": other})
        self.shorter = [*self.encode(json.dumps(value))[:-2], ord('"')]
        self.seen: list[str] = []

    def _logits(self, sequence: Sequence[int], positions: Sequence[int]) -> Floats:
        out = super()._logits(sequence, positions)
        pieces = [(self.vocabulary.tokens[t] or b"_").decode() for t in sequence]
        self.seen.append("".join(pieces))
        starts = [i for i in range(1, len(pieces)) if "".join(pieces[:i]).endswith('"a":')]
        if not starts or pieces[starts[0]] != "_":
            return out
        short, start, behind = self.shorter, starts[0], "".join(pieces[starts[0] :])
        masks = len(behind) - len(behind.lstrip("_"))
        for row, position in zip(out, positions, strict=True):
            at = position - start
            if 0 <= at < masks and masks == len(behind):  # an open end
                row[[*short, ord(",")][min(at, len(short))]] = 12.0
            elif 0 <= at < masks == len(short):  # what fits, without conviction
                row[:] = 0.0
                row[short[at]] = 4.0
        return out


def test_a_second_look_tells_the_length() -> None:
    model: Any = Model(Doubting("qzjx"))  # type: ignore[arg-type]
    made = ctrlgen.Generator(model, object_of(["a"], a=STRING, d=STRING))
    result = made.generate("?")
    assert result.output == {"a": "qzjx"}
    assert result.usage.forward_passes == 2
    again = [text for text in model.denoiser.seen if text.endswith("_}")]
    assert {text.count("_") for text in again} >= {5, 6}
    assert result.usage.forward_rows == 2 + len(again)  # a row a slot, then one a length


def test_a_second_look_shows_what_other_slots_are_likeliest_to_hold() -> None:
    model: Any = Model(Doubting("qzjx", "xy"))  # type: ignore[arg-type]
    source = OpenEnd(sure=1.1)  # nothing is sure
    made = ctrlgen.Generator(model, object_of(a=STRING, d=STRING), lengths=source)
    result = made.generate("?")
    assert result.output == {"a": "qzjx", "d": "xy"}
    again = [text for text in model.denoiser.seen[2:] if text.startswith('?{"a":_')]
    assert again
    assert all(text.endswith(',"d":"xy"}') for text in again)


def test_what_waits_for_a_second_look_has_its_likeliest_value() -> None:
    model: Any = Model(Doubting("qzjx"))  # type: ignore[arg-type]
    made = ctrlgen.Generator(model, object_of(["a"], a=STRING, d=STRING))
    assert made.generate("?", steps=1).output["a"] in ("qzjx", "qzj")


def test_all_values_together_outvote_an_empty_slot() -> None:
    """Whether there is a value is decided first, and only then which."""
    picked = np.log([0.5, 0.5])
    tries = [Candidate(0, 2, picked, True), Candidate(1, 2, picked), Candidate(1, 2, picked)]
    assert decided(tries, np.log([0.4, 0.35, 0.25])) == 1
    assert decided(tries, np.log([0.6, 0.3, 0.1])) == 0
    assert decided(tries[1:], np.log([0.4, 0.6])) == 1


def test_what_the_prompt_says_and_no_other_slot_holds_is_likelier() -> None:
    plain = Candidate(0, 3, np.log([0.5, 0.5, 0.5]))
    score = LengthScore(SECOND_LOOK)
    for other, better in ((replace(plain, phrase=True), 1),
                          (replace(plain, taken=True, before=True), 0)):  # fmt: skip
        assert int(np.argmax(score([plain, other]))) == better
    assert np.exp(score([plain, plain])).sum() == pytest.approx(1.0)


def test_absence_is_calibrated() -> None:
    config = type("Config", (), {})()
    assert absence_of(config) == 0.0
    config.absence = 2
    assert absence_of(config) == 2.0
    for wrong in ("2", None, True, float("nan"), [1.0]):
        config.absence = wrong
        with pytest.raises(ModelError, match="absence in config"):
            absence_of(config)

    def rows(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        out = np.full(shape, -30.0)
        out[:, [ord("1"), -1]] = np.log([0.9, 0.1])  # nine to one that there is a value
        return out

    digit = object_of(["a"], a=STRING, b={"type": "integer", "minimum": 1, "maximum": 1})
    for absence, keys in ((0.0, {"a", "b"}), (4.0, {"a"})):  # never where one is required
        model: Any = Model(ScriptedDenoiser(rows))
        model.denoiser.absence = absence
        assert set(ctrlgen.Generator(model, digit)("?", steps=3)) == keys


def test_a_source_may_change_the_canvas_before_a_pass() -> None:
    """One that is told that no key has a value leaves nothing to look at."""

    class Empty(OpenEnd):
        def measures(self, canvas: Canvas) -> bool:
            for gap in list(canvas.gaps()):
                canvas.drop(gap)
            return False

    model: Any = Model(RandomDenoiser(3))
    schema = object_of([], a=STRING, b=STRING)
    assert ctrlgen.Generator(model, schema, lengths=Empty())("?") == {}


def test_with_slack_rows_are_passes() -> None:
    denoiser = RandomDenoiser(3)
    usage = ctrlgen.Generator(Model(denoiser), SCHEMA).generate("?").usage
    assert usage.forward_rows == usage.forward_passes == denoiser.calls


def test_several_lengths_are_one_pass() -> None:
    denoiser = Knowing({"a": "xyz", "b": "uvw"})
    model: Any = Model(denoiser)  # type: ignore[arg-type]
    source = SeveralLengths(lengths=(4, 5, 6))
    both = object_of(a=STRING, b=STRING)
    result = ctrlgen.Generator(model, both, lengths=source).generate("?", steps=1)
    assert result.usage.forward_passes == denoiser.calls == 1
    assert result.usage.forward_rows == denoiser.rows_seen == 3


def test_an_excerpt_ends_with_its_gap_and_shows_what_is_settled() -> None:
    canvas = canvas_of(object_of([], a=STRING, b=STRING, c=STRING))
    a, b, c = canvas.gaps()
    take(canvas, c, '"x"')
    laid = excerpt(canvas, left_out=[a], until=b)
    tokens = canvas.scaffold.constraint.vocabulary.tokens
    text = b"".join(tokens[i] or b"" for i in laid.ids).decode()
    assert text == '{"c":"x","b":'
    assert laid.ids[laid.offsets[b] :] == [canvas.mask] * b.length
    shown = excerpt(canvas, lengths={a: 2}, until=b)
    assert shown.ids.count(canvas.mask) == 2 + b.length


def test_what_may_follow_a_gap() -> None:
    canvas = canvas_of(object_of(["b"], a=STRING, b=STRING, c=object_of(d=INTEGER)))
    a, b, c = canvas.gaps()
    assert following(canvas, a) == {ord(",")}
    assert following(canvas, b) == {ord(","), ord("}")}
    assert [has_key(canvas, gap) for gap in (a, b, c)] == [True, False, True]
    root = canvas_of(STRING)
    assert following(root, next(root.gaps())) == {END}
    items = canvas_of({"type": "array", "items": object_of(a=INTEGER), "minItems": 1})
    first, more = items.gaps()
    assert following(items, first) == {ord("}")}
    assert following(items, more) == {ord("]")}


def test_names_of_sources() -> None:
    assert named("slack") is None
    assert named("open") == OpenEnd()
    assert named(SOURCES[4]) is SOURCES[4]
    for wrong in ("Open", 3):
        with pytest.raises(ValueError, match="lengths must be 'slack', 'open', 'several'"):
            named(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lengths must be"):
        ctrlgen.Generator(Model(Knowing({})), SCHEMA, lengths="elastic")  # type: ignore[arg-type]


def test_a_denoiser_declares_its_source() -> None:
    config = type("Config", (), {})()
    assert declared(None, config) == "open"
    config.fill_token_id = 2
    assert declared(None, config) == "slack"
    config.lengths = "several"
    assert declared(None, config) == "several"
    assert declared("open", config) == "open"
    with pytest.raises(ModelError, match="no length source 'long'"):
        declared("long", config)  # type: ignore[arg-type]


def test_a_checkpoint_declares_what_commits() -> None:
    config = type("Config", (), {})()
    assert commits_of(config) == "threshold"
    config.commits = "tracelock"
    assert commits_of(config) == "tracelock"
    config.commits = "all"
    with pytest.raises(ModelError, match="no default scheduler 'all'"):
        commits_of(config)


def test_a_closing_mass_is_calibrated() -> None:
    config = type("Config", (), {})()
    assert closing_of(config) == (1.0, 0.0)
    config.closing = [0.5, -2]
    assert closing_of(config) == (0.5, -2.0)
    for wrong in ([1], "ab", [0, 1], 3):
        config.closing = wrong
        with pytest.raises(ModelError, match="closing in config"):
            closing_of(config)
    first = []
    for closing in ((1.0, -3.0), (1.0, 0.0)):  # at 0.31 it is too short, or long enough
        model: Any = Model(undecided())
        model.denoiser.closing = closing
        usage = ctrlgen.Generator(model, object_of(a=STRING)).generate("?", steps=9).usage
        first.append(usage.canvas_tokens)
    assert first[0] > 50 > 20 > first[1]


def test_models_that_read_are_told_what_null_means() -> None:
    messages = [{"role": "user", "content": "hello"}]
    plain, told = (
        described(messages, to_spec(SCHEMA), null_is_absent=null)[0]["content"]
        for null in (False, True)
    )
    assert told.startswith(plain)
    assert "null" in told[len(plain) :]
    for wanted in (ctrlgen.regex("a+"), bool, object_of(["a"], a=STRING)):
        spec = to_spec(wanted)
        assert described(messages, spec, null_is_absent=True) == described(messages, spec)


def undecided() -> ScriptedDenoiser:
    """A denoiser that closes strings here and there, however much room it has."""

    def rows(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        out = np.full(shape, -30.0)
        out[:, [ord("a"), ord('"'), -1]] = np.log([0.5, 0.03, 0.45])
        return out

    return ScriptedDenoiser(rows)


def test_a_slot_that_growing_does_not_help_stops_growing() -> None:
    model: Any = Model(undecided())
    model.denoiser.closing = (1.0, -3.0)  # at 0.31 it is plain that the value does not fit
    bounded = ctrlgen.Generator(model, object_of(a=STRING)).generate("?", steps=20)
    assert bounded.usage.canvas_tokens <= 120
    long: Any = Model(Knowing({"a": "x" * 180}))  # type: ignore[arg-type]
    assert ctrlgen.Generator(long, object_of(a=STRING))("?") == {"a": "x" * 180}
