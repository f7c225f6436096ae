"""What an answer with tools holds: a call, several, or text."""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
)


class ToolCall(BaseModel):
    """One call that the model asks for.

    Attributes:
        name: Name of the tool.
        arguments: JSON values by parameter name.
        input: The text for a tool that takes text of a grammar instead of arguments.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    input: str | None = None

    @model_serializer(mode="wrap")
    def _as_called(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without an `input` where the tool takes arguments."""
        fields: dict[str, Any] = dump(self)
        return {k: v for k, v in fields.items() if k != "input" or v is not None}

    def arguments_json(self) -> str:
        """The arguments as compact JSON."""
        return json.dumps(self.arguments, ensure_ascii=False, separators=(",", ":"))


CALL: TypeAdapter[Any] = TypeAdapter(ToolCall)
"""Reads `{"name":...,"arguments":{...}}`."""


def _calls(value: Any) -> list[ToolCall]:
    return [CALL.validate_python(each) for each in (value if isinstance(value, list) else [value])]


def _answer(value: Any) -> ToolCall | str:
    return _text(value) if _is_text(value) else CALL.validate_python(value)


def _answers(value: Any) -> list[ToolCall] | str:
    return _text(value) if _is_text(value) else _calls(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"content"}


def _text(value: Any) -> str:
    if not _is_text(value) or not isinstance(value["content"], str):
        raise ValueError("an answer in text is an object with a content")
    return value["content"]


CALLS: TypeAdapter[Any] = TypeAdapter(Annotated[Any, PlainValidator(_calls)])
"""Reads one call, or a JSON array of calls, as a list."""

ANSWER: TypeAdapter[Any] = TypeAdapter(Annotated[Any, PlainValidator(_answer)])
"""Reads one call, or `{"content":"..."}` as a str."""

ANSWERS: TypeAdapter[Any] = TypeAdapter(Annotated[Any, PlainValidator(_answers)])
"""Reads one call or several as a list, or `{"content":"..."}` as a str."""

TEXT: TypeAdapter[Any] = TypeAdapter(Annotated[Any, PlainValidator(_text)])
"""Reads `{"content":"..."}` as a str."""


def calls_of(output: ToolCall | list[ToolCall] | str) -> list[ToolCall]:
    """The calls in an answer; none if it is text."""
    if isinstance(output, str):
        return []
    return output if isinstance(output, list) else [output]


def call_id() -> str:
    """A fresh name for a call."""
    return f"call_{secrets.token_hex(12)}"


def call_message(call: ToolCall, key: str) -> dict[str, Any]:
    """A call in a message, as OpenAI writes it under the id `key`."""
    if call.input is not None:
        return {"id": key, "type": "custom", "custom": {"name": call.name, "input": call.input}}
    function = {"name": call.name, "arguments": call.arguments_json()}
    return {"id": key, "type": "function", "function": function}
