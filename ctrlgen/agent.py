"""A model with tools: it calls them, reads what they return, and goes on until it answers.

    agent = ctrlgen.Agent(model, [weather, search])
    run = agent.run("Do I need an umbrella in Oslo?")
    print(run.answer)

Whatever happens, the run ends: turns, forward passes and the length of results are bounded, and a
call that is repeated without anything new ends it too. What a bound cut short is filled in by the
witness: valid, but not what the model said, so a call of such a turn is never executed.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from pydantic_core import to_json

from ctrlgen.errors import ContextOverflowError, OptionError, PromptError, SpecError
from ctrlgen.generator import Generator, Model
from ctrlgen.prompts import Prompt
from ctrlgen.result import Result, Usage
from ctrlgen.tool_call import ToolCall, ToolLike, tools
from ctrlgen.tool_call.calls import call_message, calls_of
from ctrlgen.tool_call.choice import Choice, read_tools
from ctrlgen.tool_call.conversation import instructions, plain

StopReason = Literal[
    "answer", "stop_on", "no_function", "repeat", "turns", "forwards", "deadline", "context"
]


@dataclass(frozen=True)
class Observation:
    """What came of a call.

    Args:
        call: The call.
        content: What the model is told: the result, or the tool's exception.
        value: What the function returned, None if it raised.
        error: What it raised.
    """

    call: ToolCall
    content: str
    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True)
class AgentRun:
    """What a run did.

    Args:
        answer: The model's answer in text, or what there was of it when `forwards` or `deadline`
            cut it short; None when the run ended without one.
        stop_reason: `answer`; a tool of `stop_on` was called; a called tool has no function here;
            the same call was repeated; or a bound was reached: `turns`, `forwards`, `deadline`, or
            the model's `context`. A turn that `forwards` or `deadline` cut short is not in the
            messages.
        messages: The conversation, as OpenAI writes it, new messages included.
        observations: All calls that were executed, in order.
        pending: Calls of the last turn that nobody has executed.
        turns: How often the model was asked.
        usage: Sum over all turns.
    """

    answer: str | None
    stop_reason: StopReason
    messages: list[dict[str, Any]]
    observations: tuple[Observation, ...]
    pending: tuple[ToolCall, ...]
    turns: int
    usage: Usage


@dataclass
class _State:
    """A run so far."""

    messages: list[dict[str, Any]]
    observations: list[Observation] = field(default_factory=list)
    pending: list[ToolCall] = field(default_factory=list)
    answer: str | None = None
    turns: int = 0
    usage: Usage = field(default_factory=Usage)


class Agent:
    """Lets a model use tools.

    Args:
        model: The model.
        offered: See `ctrlgen.tools`. What has no Python function is not called: the run stops and
            holds the call in `pending`.
        choice: Whether the model may answer in text: see `ctrlgen.tools`.
        parallel: Whether one turn may hold several calls.
        stop_on: Names of tools that end the run once they have been called; or a function of an
            `Observation` that says so.
        max_turns: How often the model is asked at most.
        max_forwards: Forward passes of all turns together. A call that it cuts short is not
            executed; one that the model's own `steps` ends is.
        max_seconds: No turn begins after so many seconds, and none of the model's lasts longer. A
            call that it, or a `deadline` of a turn, cuts short is not executed.
        max_result: Most characters of a result that the model is shown.
        describe: Whether a system message describes the tools. The embedded model reads their names
            only; an instruction-tuned model needs it.
        **options: `ctrlgen.Options` of every turn.

    Raises:
        SpecError: If the tools or the choice cannot be used.
        ValueError: If a bound is not positive.
    """

    def __init__(
        self,
        model: Model,
        offered: Iterable[ToolLike],
        *,
        choice: Choice = "auto",
        parallel: bool = False,
        stop_on: Collection[str] | Callable[[Observation], bool] = (),
        max_turns: int = 8,
        max_forwards: int | None = None,
        max_seconds: float | None = None,
        max_result: int = 4000,
        describe: bool = False,
        **options: Any,
    ) -> None:
        for name, bound in (("max_turns", max_turns), ("max_forwards", max_forwards)):
            if bound is not None and not (isinstance(bound, int) and bound >= 1):
                raise OptionError(f"{name} must be 1 or more, not {bound!r}")
        known = read_tools(offered)
        self._tools = {tool.name: tool for tool in known}
        if not callable(stop_on) and (unknown := set(stop_on) - self._tools.keys()):
            raise SpecError(f"stop_on names no tool: {sorted(unknown)[0]!r}")
        self._generator = Generator(
            model, tools(known, choice=choice, parallel=parallel), **options
        )
        self._stop_on, self._describe = stop_on, describe
        self.max_turns, self.max_forwards, self.max_seconds = max_turns, max_forwards, max_seconds
        self.max_result = max_result

    def run(self, messages: Prompt | Sequence[dict[str, Any]]) -> AgentRun:
        """Ask, call, tell, until something ends it.

        Args:
            messages: A question, or a conversation that may hold calls and results.

        Raises:
            PromptError: If it is neither.
            ContextOverflowError: If the conversation does not fit the model from the start.
            KeyboardInterrupt: While a tool runs, or while the model answers.
        """
        given = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        if not isinstance(given, Sequence) or not all(isinstance(each, dict) for each in given):
            raise PromptError(
                f"an agent takes a text or a list of messages, not {given!r:.80}",
                hint='give "…", or [{"role": "user", "content": "…"}]',
            )
        state = _State([dict(message) for message in given])
        started = time.monotonic()
        while True:
            reason = self._exhausted(state, started) or self._turn(state, started)
            if reason is not None:
                return AgentRun(
                    state.answer, reason, state.messages, tuple(state.observations),
                    tuple(state.pending), state.turns, state.usage,
                )  # fmt: skip

    def _exhausted(self, state: _State, started: float) -> StopReason | None:
        if state.turns >= self.max_turns:
            return "turns"
        if self.max_forwards is not None and state.usage.forward_passes >= self.max_forwards:
            return "forwards"
        late = self.max_seconds is not None and time.monotonic() - started >= self.max_seconds
        return "deadline" if late else None

    def _turn(self, state: _State, started: float) -> StopReason | None:
        """One question to the model, and the calls that it answers with."""
        try:
            result = self._ask(state, started)
        except ContextOverflowError:
            if not state.turns:
                raise
            return "context"
        state.turns += 1
        for each in fields(Usage):
            spent = getattr(state.usage, each.name) + getattr(result.usage, each.name)
            setattr(state.usage, each.name, spent)
        cut = self._cut_short(result)
        if isinstance(result.output, str):
            state.answer = result.output
            if cut:
                return cut
            state.messages.append({"role": "assistant", "content": result.output})
            return "answer"
        calls = calls_of(result.output)
        if cut:
            state.pending = calls
            return cut
        return self._execute(state, calls)

    def _cut_short(self, result: Result) -> StopReason | None:
        """The bound that ended an answer before the model had; None for a user's own `steps`."""
        if result.finish_reason == "interrupt":
            raise KeyboardInterrupt
        if result.finish_reason == "deadline":
            return "deadline"
        if result.finish_reason == "stop" or self.max_forwards is None:
            return None
        chosen = self._generator.options.steps
        if chosen is not None and result.usage.forward_passes >= chosen:
            return None
        return "forwards"

    def _ask(self, state: _State, started: float) -> Result:
        shown = plain(state.messages)
        if self._describe:
            shown.insert(0, instructions(self._tools.values()))
        options = self._generator.options
        changes: dict[str, Any] = {}
        if self.max_forwards is not None:
            left = self.max_forwards - state.usage.forward_passes
            changes |= {"steps": min(left, options.steps or left), "attempts": 1}
        if self.max_seconds is not None:
            rest = max(0.0, self.max_seconds - (time.monotonic() - started))
            changes["deadline"] = rest if options.deadline is None else min(rest, options.deadline)
        return self._generator.generate(shown, **changes)

    def _execute(self, state: _State, calls: list[ToolCall]) -> StopReason | None:
        """Run the calls of one turn and tell the model what came of them."""
        first = len(state.observations)
        ids = [f"call_{first + i}" for i in range(len(calls))]
        written = [call_message(call, key) for call, key in zip(calls, ids, strict=True)]
        state.messages.append({"role": "assistant", "content": None, "tool_calls": written})
        if any(self._tools[call.name].function is None for call in calls):
            state.pending = calls
            return "no_function"
        before = state.observations[-len(calls) :]
        fresh = [self._observe(call) for call in calls]
        state.observations += fresh
        for key, seen in zip(ids, fresh, strict=True):
            told = {"role": "tool", "tool_call_id": key, "content": seen.content}
            state.messages.append(told)
        if any(self._ends(seen) for seen in fresh):
            return "stop_on"
        same = [(o.call, o.content) for o in before] == [(o.call, o.content) for o in fresh]
        return "repeat" if same else None

    def _observe(self, call: ToolCall) -> Observation:
        tool = self._tools[call.name]
        assert tool.function is not None
        try:
            arguments = call.arguments if tool.input is None else {"input": call.input}
            value = _awaited(tool.function(**arguments))
            content = value if isinstance(value, str) else to_json(value, fallback=str).decode()
        except Exception as error:  # whatever a tool raises is for the model to read
            content = f"{type(error).__name__}: {error}"
            return Observation(call, content[: self.max_result], error=error)
        return Observation(call, content[: self.max_result], value)

    def _ends(self, seen: Observation) -> bool:
        if callable(self._stop_on):
            return self._stop_on(seen)
        return seen.call.name in self._stop_on


def _awaited(value: Any) -> Any:
    """The result of a coroutine, in a loop of its own: the caller's may be running."""
    if not inspect.iscoroutine(value):
        return value
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, value).result()
