"""LangChain's interface on a ctrlgen model."""

from typing import Any

import pytest
from pydantic import BaseModel

import ctrlgen
from ctrlgen.testing import RandomDenoiser

pytest.importorskip("langchain_core", reason="the extra `integrations` is not installed")

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from ctrlgen.integrations.langchain import ChatCtrlgen


class Place(BaseModel):
    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@pytest.fixture
def llm() -> ChatCtrlgen:
    return ChatCtrlgen(
        model=ctrlgen.Model(RandomDenoiser()), options={"max_new_tokens": 60, "steps": 4}
    )


def test_structured_output(llm: ChatCtrlgen) -> None:
    assert isinstance(llm.with_structured_output(Place).invoke("Who?"), Place)
    both = llm.with_structured_output(Place, include_raw=True).invoke("Who?")
    assert (both["parsing_error"], type(both["parsed"])) == (None, Place)


@pytest.mark.parametrize("choice", ["any", "required", True, "get_weather"])
def test_calls(llm: ChatCtrlgen, choice: Any) -> None:
    message = llm.bind_tools([get_weather], tool_choice=choice).invoke("Oslo?")
    (call,) = message.tool_calls
    assert get_weather.invoke(call).content.startswith("rain in")
    assert message.usage_metadata["total_tokens"] > 0


def test_text_and_conversations(llm: ChatCtrlgen) -> None:
    asked = llm.bind_tools([get_weather]).invoke("Oslo?")
    assert bool(asked.content) != bool(asked.tool_calls)
    assert llm.bind_tools([get_weather], tool_choice="none").invoke("Oslo?").content
    call = {"name": "get_weather", "args": {"city": "Oslo"}, "id": "a"}
    history = [
        HumanMessage("Oslo?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("rain", tool_call_id="a"),
    ]
    assert llm.invoke(history).content
    assert [each.content for each in llm.batch(["a", "b"])]


def test_what_it_cannot_do_is_refused(llm: ChatCtrlgen) -> None:
    with pytest.raises(ValueError, match="stop"):
        llm.invoke("x", stop=["."])
    with pytest.raises(ValueError, match="top_p"):
        llm.invoke("x", top_p=0.5)
