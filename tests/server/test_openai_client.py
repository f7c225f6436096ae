"""The real openai client against the server."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from .running import Address

TEXT = [{"role": "user", "content": "Alimentum is a place in the city centre."}]
ASK = [{"role": "user", "content": "What is the weather in Oslo?"}]


class Place(BaseModel):
    name: str
    area: str | None = None


class GetWeather(BaseModel):
    city: str


class PlayMusic(BaseModel):
    artist: str
    year: int | None = None


TOOLS = [openai.pydantic_function_tool(GetWeather), openai.pydantic_function_tool(PlayMusic)]
FLAT = [{"type": "function", **tool["function"]} for tool in TOOLS]


@pytest.fixture(scope="module")
def client(server: Address) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_parse(client: openai.OpenAI) -> None:
    done = client.chat.completions.parse(model="ctrlgen", messages=TEXT, response_format=Place)
    (choice,) = done.choices
    assert isinstance(choice.message.parsed, Place)
    assert choice.finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert done.model_extra["ctrlgen"]["finish_reason"] == "stop"


def test_stream_of_an_object(client: openai.OpenAI) -> None:
    pieces = []
    with client.chat.completions.stream(
        model="ctrlgen",
        messages=TEXT,
        response_format=Place,
        stream_options={"include_usage": True},
    ) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
        done = stream.get_final_completion()
    assert "".join(pieces) == done.choices[0].message.content
    assert isinstance(done.choices[0].message.parsed, Place)
    assert done.usage is not None and done.usage.completion_tokens > 0


def test_tools(client: openai.OpenAI) -> None:
    done = client.chat.completions.parse(
        model="ctrlgen",
        messages=ASK,
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=False,
    )
    (choice,) = done.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert isinstance(call.function.parsed_arguments, GetWeather | PlayMusic)


def test_a_named_tool(client: openai.OpenAI) -> None:
    named: Any = {"type": "function", "function": {"name": "PlayMusic"}}
    done = client.chat.completions.create(
        model="ctrlgen", messages=ASK, tools=TOOLS, tool_choice=named
    )
    (choice,) = done.choices
    assert choice.finish_reason == "stop"
    PlayMusic.model_validate_json(choice.message.tool_calls[0].function.arguments)


def test_tools_are_not_called_with_none(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(
        model="ctrlgen", messages=ASK, tools=TOOLS, tool_choice="none", max_tokens=24
    )
    assert done.choices[0].message.tool_calls is None
    assert done.choices[0].message.content


def test_auto_is_text_or_calls(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(model="ctrlgen", messages=ASK, tools=TOOLS)
    message = done.choices[0].message
    assert (message.content is None) != (message.tool_calls is None)


def test_stream_of_calls(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="ctrlgen", messages=ASK, tools=TOOLS, tool_choice="required"
    ) as stream:
        done = stream.get_final_completion()
    for call in done.choices[0].message.tool_calls:
        assert isinstance(call.function.parsed_arguments, GetWeather | PlayMusic)
    assert done.choices[0].finish_reason == "tool_calls"


def test_a_conversation_with_a_result(client: openai.OpenAI) -> None:
    call = {"name": "GetWeather", "arguments": '{"city":"Oslo"}'}
    messages: Any = [
        *ASK,
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
    ]
    done = client.chat.completions.create(
        model="ctrlgen", messages=messages, response_format={"type": "json_object"}, max_tokens=40
    )
    assert isinstance(json.loads(done.choices[0].message.content), dict)


def test_responses(client: openai.OpenAI) -> None:
    done = client.responses.parse(model="ctrlgen", input="Alimentum", text_format=Place)
    assert isinstance(done.output_parsed, Place)
    assert done.status == "completed"
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens


def test_responses_with_tools_and_items(client: openai.OpenAI) -> None:
    items: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather in Oslo?"}]},
        {"type": "function_call", "call_id": "a", "name": "GetWeather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "rain"},
        {"role": "user", "content": "And in Rome?"},
    ]
    done = client.responses.create(
        model="ctrlgen", input=items, instructions="Be brief.", tools=FLAT,
        tool_choice={"type": "function", "name": "GetWeather"},
    )  # fmt: skip
    (call,) = done.output
    assert (call.type, call.name) == ("function_call", "GetWeather")
    GetWeather.model_validate_json(call.arguments)


@pytest.mark.parametrize("calls", [True, False])
def test_stream_of_responses(client: openai.OpenAI, calls: bool) -> None:
    wish: Any = {"tools": FLAT, "tool_choice": "required"} if calls else {"text_format": Place}
    with client.responses.stream(model="ctrlgen", input="Alimentum", **wish) as stream:
        events = list(stream)
        done = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    if calls:
        assert all(isinstance(each.parsed_arguments, dict | BaseModel) for each in done.output)
        pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
        assert "".join(pieces) == "".join(each.arguments for each in done.output)
    else:
        assert isinstance(done.output_parsed, Place)
        pieces = [e.delta for e in events if e.type == "response.output_text.delta"]
        assert "".join(pieces) == done.output_text


def test_completions(client: openai.OpenAI) -> None:
    wish = {"structured_outputs": {"choice": ["yes", "no"]}}
    done = client.completions.create(model="ctrlgen", prompt="Sure?", extra_body=wish)
    assert done.choices[0].text in ("yes", "no")
    chunks = client.completions.create(
        model="ctrlgen", prompt="Sure?", extra_body=wish, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(chunks)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == done.choices[0].text
    assert chunks[-1].usage.completion_tokens > 0


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["ctrlgen"]
    assert client.models.retrieve("ctrlgen").owned_by == "ctrlgen"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-4o", messages=TEXT)


def test_errors_of_the_client(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="ctrlgen", messages=TEXT, extra_body={"guided_json": {"type": "object"}}
        )
    assert caught.value.param == "guided_json"
    assert "structured_outputs.json" in caught.value.message


def test_the_same_seed_gives_the_same_answer(client: openai.OpenAI) -> None:
    said = {
        client.chat.completions.create(
            model="ctrlgen", messages=TEXT, temperature=1.0, seed=7, response_format=_FORMAT
        ).choices[0].message.content
        for _ in range(2)
    }  # fmt: skip
    assert len(said) == 1


_FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {"name": "Place", "schema": Place.model_json_schema()},
}
