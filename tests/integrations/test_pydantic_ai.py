"""pydantic-ai's agents on a ctrlgen model."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

import ctrlgen
from ctrlgen.testing import RandomDenoiser

pytest.importorskip("pydantic_ai", reason="the extra `integrations` is not installed")

from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import UsageLimitExceeded, UserError
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.usage import UsageLimits

from ctrlgen.integrations.pydantic_ai import CtrlgenModel, _shown


class Place(BaseModel):
    name: str
    age: int


@pytest.fixture
def model() -> CtrlgenModel:
    return CtrlgenModel(ctrlgen.Model(RandomDenoiser(3)), max_new_tokens=60, steps=4)


@pytest.mark.parametrize("output_type", [Place, NativeOutput(Place), ToolOutput(Place), str])
def test_outputs(model: CtrlgenModel, output_type: Any) -> None:
    found = asyncio.run(
        Agent(model, output_type=output_type, retries=0, instructions="Be brief.").run("Who?")
    )
    assert isinstance(found.output, Place | str)
    assert (type(found.output) is str) == (output_type is str)
    assert found.usage.output_tokens > 0


def test_functions_are_called() -> None:
    """With random logits each turn calls the function or ends; some seed does both."""
    called: list[int] = []

    def count(upto: int) -> str:
        called.append(upto)
        return "done"

    for seed in range(12):
        model = CtrlgenModel(ctrlgen.Model(RandomDenoiser(seed)), max_new_tokens=60, steps=2)
        agent = Agent(model, output_type=Place, tools=[count], retries=0)
        before = len(called)
        try:
            found = asyncio.run(agent.run("Who?", usage_limits=UsageLimits(request_limit=6)))
        except UsageLimitExceeded:
            continue
        assert isinstance(found.output, Place)
        if len(called) > before:
            break
    assert called
    assert all(isinstance(upto, int) for upto in called)


def test_conversations() -> None:
    call = ToolCallPart("f", {"a": 1}, tool_call_id="x")
    history = [ModelResponse([TextPart("So"), call]), ModelRequest([ToolReturnPart("f", "r", "x")])]
    assert _shown(history) == [
        {"role": "assistant", "content": "So"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
        {"role": "tool", "tool_call_id": "x", "content": "r"},
    ]  # fmt: skip


def test_what_it_cannot_do_is_refused(model: CtrlgenModel) -> None:
    with pytest.raises(UserError, match="top_p"):
        asyncio.run(Agent(model, model_settings={"top_p": 0.5}).run("Who?"))
