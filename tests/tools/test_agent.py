"""The agent's loop: what ends it, what the model is told, and what it costs."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import ctrlgen
from ctrlgen.agent import Agent
from ctrlgen.errors import ContextOverflowError, PromptError, SpecError
from ctrlgen.result import FinishReason, Result, Usage
from ctrlgen.testing import RandomDenoiser
from ctrlgen.tool_call import Tool, ToolCall


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def fail(a: int) -> str:
    raise KeyError(f"no {a}")


async def slow(a: int) -> dict[str, int]:
    return {"a": a}


def scripted(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, *texts: str, reason: FinishReason = "stop"
) -> list[Any]:
    """Let the agent's model say these texts; returns what it is asked."""
    asked: list[Any] = []
    said: Iterator[str] = iter(texts)

    def generate(prompt: Any, **options: Any) -> Result:
        asked.append((prompt, options))
        text = next(said)
        assert agent._generator.constraint.accepts(text)
        return Result(agent._generator.spec.parse(text), text, reason, Usage(3, 2, 10, 8, 2))

    monkeypatch.setattr(agent._generator, "generate", generate)
    return asked


def call(name: str, **arguments: Any) -> str:
    return json.dumps({"name": name, "arguments": arguments}, separators=(",", ":"))


def agent(*offered: Any, **options: Any) -> Agent:
    return Agent(ctrlgen.Model(RandomDenoiser()), offered, **options)


def test_results_are_fed_back_until_there_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = agent(add)
    asked = scripted(helper, monkeypatch, call("add", a=1, b=2), '{"content":"It is 3."}')
    run = helper.run("1 + 2?")
    assert (run.answer, run.stop_reason, run.turns) == ("It is 3.", "answer", 2)
    assert [seen.value for seen in run.observations] == [3]
    assert run.usage.forward_passes == 4
    assert asked[1][0] == [
        {"role": "user", "content": "1 + 2?"},
        {"role": "assistant", "content": call("add", a=1, b=2)},
        {"role": "user", "content": "add: 3"},
    ]
    assert [message["role"] for message in run.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert run.messages[1]["tool_calls"][0]["function"] == {
        "name": "add",
        "arguments": '{"a":1,"b":2}',
    }


def test_an_exception_is_an_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = agent(fail, max_result=14)
    asked = scripted(helper, monkeypatch, call("fail", a=1), '{"content":"Sorry."}')
    run = helper.run("x")
    assert run.stop_reason == "answer"
    assert isinstance(run.observations[0].error, KeyError)
    assert asked[1][0][-1]["content"] == "fail: KeyError: 'no "


def test_several_calls_and_coroutines(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = agent(add, slow, parallel=True)
    two = f"[{call('add', a=1, b=2)},{call('slow', a=4)}]"
    asked = scripted(helper, monkeypatch, two, '{"content":"Both."}')
    run = helper.run("x")
    assert [seen.content for seen in run.observations] == ["3", '{"a":4}']
    assert [message["content"] for message in asked[1][0][-2:]] == ["add: 3", 'slow: {"a":4}']


def test_a_call_without_a_function_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = agent(add, {"name": "buy"})
    scripted(helper, monkeypatch, call("buy"))
    run = helper.run("x")
    assert (run.stop_reason, run.pending) == ("no_function", (ToolCall(name="buy"),))
    assert run.messages[-1]["tool_calls"][0]["function"]["name"] == "buy"


@pytest.mark.parametrize("rule", [["add"], lambda seen: seen.value == 3])
def test_stop_on(monkeypatch: pytest.MonkeyPatch, rule: Any) -> None:
    helper = agent(add, stop_on=rule)
    scripted(helper, monkeypatch, call("add", a=1, b=2))
    run = helper.run("x")
    assert (run.stop_reason, run.answer, run.observations[0].value) == ("stop_on", None, 3)


def test_a_repeated_call_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = agent(add)
    other = call("add", a=2, b=2)
    scripted(helper, monkeypatch, call("add", a=1, b=2), other, other, other)
    run = helper.run("x")
    assert (run.stop_reason, run.turns) == ("repeat", 3)


def test_turns_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = agent(add, max_turns=3)
    scripted(helper, monkeypatch, *(call("add", a=i, b=0) for i in range(9)))
    run = helper.run("x")
    assert (run.stop_reason, run.turns, len(run.observations)) == ("turns", 3, 3)


def test_forwards_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = agent(add, max_forwards=5, steps=4)
    asked = scripted(helper, monkeypatch, *(call("add", a=i, b=0) for i in range(9)))
    run = helper.run("x")
    assert (run.stop_reason, run.turns) == ("forwards", 3)
    assert [options["steps"] for _, options in asked] == [4, 3, 1]


def test_a_call_that_a_deadline_cut_short_is_not_executed() -> None:
    helper = agent(add, choice="required", deadline=0.0)
    run = helper.run("x")
    assert (run.stop_reason, run.turns, run.observations) == ("deadline", 1, ())
    assert [pending.name for pending in run.pending] == ["add"]
    assert [message["role"] for message in run.messages] == ["user"]


def test_an_answer_that_a_deadline_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = agent(add)
    scripted(helper, monkeypatch, '{"content":"It"}', reason="deadline")
    run = helper.run("x")
    assert (run.stop_reason, run.answer, len(run.messages)) == ("deadline", "It", 1)


def test_ctrl_c_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []

    def note(a: int) -> None:
        called.append(a)

    def pressed(*_: Any) -> None:
        raise KeyboardInterrupt

    helper = agent(note, choice="required")
    monkeypatch.setattr(RandomDenoiser, "__call__", pressed)
    with pytest.raises(KeyboardInterrupt):
        helper.run("x")
    assert not called


@pytest.mark.parametrize(
    ("options", "executed"),
    [({"max_forwards": 1}, 0), ({"max_forwards": 1, "steps": 4}, 0), ({"steps": 1}, 1),
     ({"max_forwards": 1, "steps": 1}, 1)],
)  # fmt: skip
def test_only_the_budget_of_the_run_cuts_a_call_short(
    options: dict[str, int], executed: int
) -> None:
    # Which tool is a decision of its own, after which nothing is left for its arguments.
    run = agent(add, slow, choice="required", max_turns=1, **options).run("x")
    assert len(run.observations) == executed
    assert len(run.pending) == 1 - executed
    assert executed or run.stop_reason == "forwards"


def test_no_time_at_all_asks_nothing() -> None:
    run = agent(add, max_seconds=0).run("x")
    assert (run.stop_reason, run.turns, run.usage.forward_passes) == ("deadline", 0, 0)


def test_the_context_bounds_the_conversation() -> None:
    def page() -> str:
        return "word " * 400

    helper = Agent(
        ctrlgen.Model(RandomDenoiser(max_length=300)), [page], choice="required", max_turns=3
    )
    helper._generator.model.denoiser.prompt = lambda messages, tools: [  # type: ignore[method-assign]
        token for m in messages for token in helper._generator.model.denoiser.encode(m["content"])
    ]
    run = helper.run("x")
    assert (run.stop_reason, run.turns) == ("context", 1)
    with pytest.raises(ContextOverflowError):
        helper.run("word " * 400)


def test_the_model_is_told_of_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = agent(add, describe=True)
    asked = scripted(helper, monkeypatch, '{"content":"Hello."}')
    helper.run("x")
    assert "Add two numbers." in asked[0][0][0]["content"]


def test_tools_that_take_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    shout = Tool("shout", function=lambda input: input.upper(), input=ctrlgen.regex("[a-z]+"))
    helper = agent(shout)
    scripted(helper, monkeypatch, '{"name":"shout","input":"abc"}', '{"content":"ok"}')
    run = helper.run("x")
    assert run.observations[0].value == "ABC"
    assert run.messages[1]["tool_calls"][0]["custom"] == {"name": "shout", "input": "abc"}


@pytest.mark.parametrize("options", [{"max_turns": 0}, {"max_forwards": 0}])
def test_bounds_are_positive(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        agent(add, **options)


@pytest.mark.parametrize("prompt", [5, None, ["hi"]])
def test_a_conversation_is_a_text_or_messages(prompt: Any) -> None:
    with pytest.raises(PromptError, match="a text or a list of messages"):
        agent(add).run(prompt)


def test_stop_on_names_tools() -> None:
    with pytest.raises(SpecError, match="stop_on"):
        agent(add, stop_on=["subtract"])


def test_the_embedded_model_calls_a_function() -> None:
    def GetWeather(city: str, country: str | None = None) -> str:
        return f"rain in {city}"

    helper = Agent(ctrlgen.load(), [GetWeather], choice="required", max_turns=2)
    run = helper.run("What is the weather in Lisbon?")
    assert run.stop_reason in ("turns", "repeat")
    assert all(seen.call.name == "GetWeather" for seen in run.observations)
    assert run.observations[0].content.startswith("rain in")
