"""The public way in, with the embedded model: typed results, budgets, batches, and bad input."""

import json
import signal
from enum import Enum
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import AfterValidator, BaseModel, Field
from transformers import AutoTokenizer

import ctrlgen
from ctrlgen.controllers.blocks import FixedBlocks
from ctrlgen.controllers.proposer import propose_each
from ctrlgen.denoisers import TransformersDenoiser
from ctrlgen.denoisers.checkpoints import EMBEDDED
from ctrlgen.errors import (
    CanvasTooSmallError,
    ContextOverflowError,
    GrammarError,
    ModelError,
    NonFiniteLogitsError,
    OptionError,
    OutputValidationError,
    PromptError,
    RegexError,
    SchemaError,
    SpecError,
    UnsatisfiableError,
)
from ctrlgen.schedulers import LowConfidence, Scheduler, Threshold, TraceLock
from ctrlgen.testing import RandomDenoiser

TEXT = "There is a place in the city centre, Alimentum, that is not family-friendly."


class Area(Enum):
    CENTRE = "city centre"
    RIVERSIDE = "riverside"


class Restaurant(BaseModel):
    name: str = Field(min_length=1)
    area: Area | None = None
    family_friendly: bool | None = None
    price: Literal["cheap", "moderate", "high"] | None = None


@pytest.fixture(scope="module")
def model():
    return ctrlgen.load()


def test_a_typed_object_comes_out(model):
    place = model(TEXT, Restaurant)
    assert isinstance(place, Restaurant)
    assert place.area is None or isinstance(place.area, Area)


def test_the_result_tells_what_it_cost(model):
    result = ctrlgen.Generator(model, Restaurant).generate(TEXT)
    assert result.output == Restaurant.model_validate_json(result.text)
    assert result.finish_reason == "stop"
    assert 0 < result.usage.forward_passes == len(result.trace)
    settled = result.usage.committed_tokens + result.usage.forced_tokens
    assert 0 < settled <= result.usage.canvas_tokens


def book(city: str) -> None:
    """A tool."""


@pytest.mark.parametrize(
    ("output_type", "options", "scheduler"),
    [
        (Restaurant, {}, TraceLock),
        (int, {"temperature": 0}, TraceLock),
        (ctrlgen.tools([book], choice="auto"), {}, TraceLock),
        # What the policy was not trained for: draws, other proposals, texts without slots.
        (Restaurant, {"temperature": 0.5}, Threshold),
        (Restaurant, {"proposer": propose_each}, Threshold),
        (ctrlgen.regex("[a-z]+"), {}, Threshold),
        (ctrlgen.cfg('start: "a"+'), {}, Threshold),
        (Restaurant, {"scheduler": LowConfidence()}, LowConfidence),
    ],
)
def test_what_commits_by_default(model, output_type, options, scheduler):
    seat = ctrlgen.Generator(model, output_type).seat(TEXT, **options)
    assert type(seat.engine.scheduler) is scheduler
    other = ctrlgen.Generator(ctrlgen.Model(RandomDenoiser()), output_type).seat(TEXT, **options)
    assert type(other.engine.scheduler) is (LowConfidence if "scheduler" in options else Threshold)


def test_a_scheduler_of_none_is_the_default_again(model):
    generator = ctrlgen.Generator(model, Restaurant, scheduler=LowConfidence())
    seats = generator.seat(TEXT), generator.seat(TEXT, scheduler=None)
    assert [type(seat.engine.scheduler) for seat in seats] == [LowConfidence, TraceLock]


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_any_number_of_steps_is_valid(model, steps):
    result = ctrlgen.Generator(model, Restaurant, steps=steps).generate(TEXT)
    assert isinstance(result.output, Restaurant)
    assert result.usage.forward_passes <= steps


def test_an_expired_deadline_is_valid_and_says_so(model):
    result = ctrlgen.Generator(model, Restaurant).generate(TEXT, deadline=0)
    assert isinstance(result.output, Restaurant)
    assert (result.finish_reason, result.usage.forward_passes) == ("deadline", 0)


def test_an_interrupt_is_valid_and_says_so(model, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(TransformersDenoiser, "__call__", interrupt)
    result = ctrlgen.Generator(model, Restaurant).generate(TEXT)
    assert isinstance(result.output, Restaurant)
    assert result.finish_reason == "interrupt"


def test_a_real_interrupt_at_any_moment_is_valid(model):
    generator = ctrlgen.Generator(model, Restaurant)
    reasons = set()
    # A shell starts its background jobs with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    for delay in np.linspace(0.002, 0.25, 30):
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            for _ in range(20):  # long enough for the alarm to fall into a run
                result = generator.generate(TEXT)
                reasons.add(result.finish_reason)
                assert isinstance(result.output, Restaurant)
                if result.finish_reason == "interrupt":
                    break
        except KeyboardInterrupt:
            pass  # between two runs it is the caller's
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert "interrupt" in reasons


def test_what_a_validator_refuses_is_drawn_again(model):
    drawn = []

    def odd(value: int) -> int:
        drawn.append(value)
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value

    number = Annotated[int, Field(ge=0, le=99), AfterValidator(odd)]
    generator = ctrlgen.Generator(model, number, attempts=30)
    results = [generator.generate(f"number {n}", seed=n) for n in range(8)]
    assert all(r.output % 2 for r in results)
    assert any(value % 2 == 0 for value in drawn)
    assert all(r.usage.forward_passes == len(r.trace) for r in results)


def test_what_a_validator_always_refuses_is_an_error(model):
    def never(value: int) -> int:
        raise ValueError("never")

    with pytest.raises(OutputValidationError, match="never"):
        model("7", Annotated[int, AfterValidator(never)], attempts=2)


def test_seeds_repeat_and_differ(model):
    generator = ctrlgen.Generator(model, list[str], temperature=3.0, max_new_tokens=60, steps=3)
    assert generator(TEXT, seed=1) == generator(TEXT, seed=1)
    assert len({str(generator(TEXT, seed=s)) for s in range(6)}) > 1


def test_a_batch_is_as_one_by_one(model):
    generator = ctrlgen.Generator(model, Restaurant)
    prompts = [TEXT, "The Punter is a cheap pub.", "Cocum, riverside."]
    assert generator.batch(prompts) == [generator(p) for p in prompts]


def test_every_streamed_witness_is_valid(model):
    events = list(ctrlgen.Generator(model, Restaurant).stream(TEXT))
    for event in events:
        Restaurant.model_validate_json(event.text)
    assert events[-1].result is not None
    assert events[-1].result.text == events[-1].text


def test_a_tool_is_chosen_and_called(model):
    weather = {
        "name": "GetWeather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    music = {
        "name": "PlayMusic",
        "parameters": {"type": "object", "properties": {"artist": {"type": "string"}}},
    }
    call = model("What is the weather in Oslo?", ctrlgen.tools([weather, music]))
    assert call.name in ("GetWeather", "PlayMusic")
    assert set(call.arguments) <= {"city", "artist"}


def test_messages_are_prompts_too(model):
    messages = [{"role": "user", "content": "a table"}, {"role": "assistant", "content": "when?"}]
    assert isinstance(model(messages, Restaurant), Restaurant)


def test_the_left_to_right_view(model):
    constraint = ctrlgen.compile(bool, model.denoiser.tokenizer)
    state = constraint.start()
    mask = constraint.mask(state)
    allowed = [model.denoiser.vocabulary.tokens[t] for t in np.flatnonzero(mask)]
    assert mask.dtype == bool
    assert all(b"true".startswith(t) or b"false".startswith(t) for t in allowed)
    assert constraint.distance(state) >= 1
    assert constraint.accepts("true")
    assert not constraint.accepts("True")


@pytest.mark.parametrize(
    ("output_type", "error"),
    [
        (object(), SpecError),
        ({"type": "integer", "minimum": 3, "maximum": 1}, (UnsatisfiableError, SchemaError)),
        ({"enum": []}, (UnsatisfiableError, SchemaError)),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, SchemaError),
        ({"type": "wat"}, SchemaError),
        ({"$ref": "#"}, SchemaError),
        (ctrlgen.regex(r"(?<=a)b"), UnsatisfiableError),
        (ctrlgen.regex(r"(a|b)\1"), RegexError),
        (ctrlgen.regex("(a"), RegexError),
        (ctrlgen.cfg("start: missing"), GrammarError),
        (ctrlgen.cfg("start: ("), GrammarError),
    ],
)
def test_what_cannot_be_compiled_is_refused_first(model, output_type, error):
    with pytest.raises(error):
        ctrlgen.Generator(model, output_type)


def test_a_canvas_too_small_says_how_much_is_needed(model):
    generator = ctrlgen.Generator(model, Restaurant)
    with pytest.raises(CanvasTooSmallError) as caught:
        generator(TEXT, max_new_tokens=2)
    needed = caught.value.needed
    assert isinstance(generator(TEXT, max_new_tokens=needed), Restaurant)


def test_a_prompt_beyond_the_context_is_refused(model):
    with pytest.raises(ContextOverflowError):
        model("word " * 2000, Restaurant)


def test_bad_options_are_refused(model):
    for options in ({"steps": 0}, {"temperature": -1.0}, {"max_new_tokens": 0}, {"deadline": -1}):
        with pytest.raises(ValueError, match="must"):
            ctrlgen.Generator(model, Restaurant, **options)


def test_nan_logits_are_an_error(model, monkeypatch):
    def nan(self, sequences, positions):
        return [np.full((len(p), self.vocabulary.size), np.nan) for p in positions]

    monkeypatch.setattr(TransformersDenoiser, "__call__", nan)
    with pytest.raises(NonFiniteLogitsError):
        model(TEXT, Restaurant)


def test_a_tokenizer_without_a_mask_token_is_an_error(model, monkeypatch):
    monkeypatch.setattr(model.denoiser.model.config, "mask_token_id", None)
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="mask"):
        ctrlgen.from_transformers(model.denoiser.model, tokenizer)


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="cannot load"):
        ctrlgen.load(tmp_path)


def test_the_json_is_compact(model):
    text = ctrlgen.Generator(model, Restaurant).generate(TEXT).text
    assert text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (None, "a text or a list"),
        (5, "a text or a list"),
        ([], "a text or a list"),
        (["hello"], "no role"),
        ([{"role": "wizard", "content": "hi"}], "no role"),
        ([{"role": "user"}], "content of message 0 is not a text"),
        ([{"role": "user", "content": ["hi"]}], "not a text"),
        ("a\ud800b", "lone surrogate at position 1"),
    ],
)
def test_a_prompt_that_is_none_is_refused(model, prompt, message):
    with pytest.raises(PromptError, match=message):
        ctrlgen.Generator(model, int).generate(prompt)


def test_records_are_for_models_that_know_them():
    record = [{"role": "record", "content": '{"name":"Aromi"}'}]
    assert ctrlgen.load().denoiser.prompt(record, [])
    with pytest.raises(PromptError, match="only the embedded model"):
        ctrlgen.Generator(ctrlgen.Model(RandomDenoiser()), int).generate(record)


def test_a_batch_is_no_text(model):
    with pytest.raises(PromptError, match="list of prompts"):
        ctrlgen.Generator(model, int).batch("abc")


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": float("nan")}, {"temperature": float("inf")}, {"temperature": -1},
        {"deadline": float("nan")}, {"deadline": -1.0}, {"steps": 1.5}, {"steps": 0},
        {"scheduler": "threshold"}, {"attempts": 0}, {"attempts": None}, {"steps": True},
        {"temperature": "hot"}, {"temperature": None}, {"deadline": "1"}, {"seed": "a"},
        {"seed": -1}, {"seed": [1, 0.5]}, {"controllers": ["x"]}, {"controllers": 5},
        {"proposer": "x"}, {"check": "x"}, {"block": 5}, {"block": FixedBlocks},
        {"lengths": "long"}, {"branches": "x"}, {"describe": "yes"},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(model, options):
    with pytest.raises(OptionError, match="must"):
        ctrlgen.Generator(model, int, **options)


def test_an_option_that_there_is_not_is_told_with_the_one_meant(model):
    with pytest.raises(OptionError, match=r"no option 'temprature' .*'temperature' meant"):
        ctrlgen.Generator(model, int)("x", temprature=1.0)


def test_a_generator_takes_a_model(model):
    with pytest.raises(ModelError, match=r"ctrlgen\.Model\(denoiser\)"):
        ctrlgen.Generator(model.denoiser, int)


def test_a_batch_is_a_list(model):
    with pytest.raises(PromptError, match="not a generator"):
        ctrlgen.Generator(model, int).batch(text for text in ["a", "b"])


def test_bytes_are_no_prompt(model):
    with pytest.raises(PromptError, match="a text or a list"):
        model(b"abc", int)


def test_an_answer_longer_than_the_context_is_not_blamed_on_the_prompt(model):
    with pytest.raises(ContextOverflowError, match="no prompt is short enough"):
        model("x", {"type": "string", "minLength": 5000})


class NothingOpen:
    def window(self, proposal):
        return np.zeros(len(proposal.confidence), dtype=bool)


class NothingCommits(Scheduler):
    def select(self, proposal):
        return np.zeros(len(proposal.confidence), dtype=bool)


@pytest.mark.parametrize("options", [{"block": NothingOpen()}, {"scheduler": NothingCommits()}])
def test_a_run_ends_though_nothing_is_picked(model, options):
    assert isinstance(ctrlgen.Generator(model, Restaurant)(TEXT, **options), Restaurant)
