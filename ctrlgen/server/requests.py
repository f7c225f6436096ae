"""The fields of requests: what is known, what means nothing here, and what is refused.

No field is accepted and ignored where that would change the answer: what ctrlgen cannot do is
refused unless the value asks for nothing (`n: 1`), and the names of other servers' constraints are
refused with the name that they have here.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ctrlgen.server.faults import Fault

STRUCTURED = ("json", "json_object", "regex", "choice", "grammar", "structural_tag")
"""The keys of `structured_outputs`, of which a request has one."""

RENAMED = {
    **{f"guided_{key}": f"structured_outputs.{key}" for key in STRUCTURED},
    **{key: f"structured_outputs.{key}" for key in STRUCTURED},
    "ebnf": "structured_outputs.grammar",
    "json_schema": "response_format.json_schema",
    "schema": "response_format.json_schema",
    "format": "response_format",
    "guided_decoding": "structured_outputs",
    "guided_decoding_backend": "structured_outputs",
    "guided_whitespace_pattern": "structured_outputs",
    "functions": "tools",
    "function_call": "tool_choice",
}
"""Names that other servers, or older versions of the interface, have for constraints."""

# Fields that do not change what is written.
_HARMLESS = frozenset((
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention", "client_metadata", "include",
))  # fmt: skip

# Fields with the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "top_p": (1,), "top_k": (0, -1), "min_p": (0,), "echo": (False,),
    "presence_penalty": (0,), "frequency_penalty": (0,), "repetition_penalty": (1,),
    "logprobs": (False,), "top_logprobs": (0,), "logit_bias": ({},), "stop": ([],), "suffix": ("",),
    "modalities": (["text"],), "background": (False,), "truncation": ("disabled",),
    "verbosity": ("medium",),
}  # fmt: skip


class Fields(BaseModel):
    """What every question may hold."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str | None = None
    stream: bool | None = None
    temperature: float | None = Field(None, ge=0, le=100)
    seed: int | None = Field(None, ge=0, lt=1 << 64)
    steps: int | None = Field(None, ge=1)
    deadline: float | None = Field(None, ge=0)


class StreamOptions(BaseModel):
    """What a stream says besides the answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False
    include_canvas: bool = False
    include_obfuscation: bool = False


class ChatRequest(Fields):
    """A question to `/v1/chat/completions`."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=2000)
    stream_options: StreamOptions | None = None
    response_format: dict[str, Any] | None = None
    structured_outputs: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)


class CompletionRequest(Fields):
    """A question to `/v1/completions`."""

    prompt: str
    stream_options: StreamOptions | None = None
    response_format: dict[str, Any] | None = None
    structured_outputs: dict[str, Any] | None = None
    max_tokens: int | None = Field(None, ge=1)


class TextOptions(BaseModel):
    """The form of the text in an answer of `/v1/responses`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ResponsesRequest(Fields):
    """A question to `/v1/responses`."""

    input: str | list[dict[str, Any]] = Field(max_length=1 << 21)
    instructions: str | None = None
    text: TextOptions | None = None
    structured_outputs: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = Field(None, ge=1)


R = TypeVar("R", bound=Fields)


def read(kind: type[R], body: dict[str, Any], model_name: str) -> R:
    """The request in a body.

    Raises:
        Fault: A field is missing, wrong or unknown (400), or the model is (404).
    """
    try:
        request = kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"] if not _is_branch(part))
        raise Fault(400, f"{where}: {first['msg']}", where, "invalid_value") from None
    for key, value in (request.model_extra or {}).items():
        _check(key, value)
    if request.model and request.model != model_name:
        message = f"the model {request.model!r:.80} does not exist; there is {model_name!r}"
        raise Fault(404, message, "model", "model_not_found")
    return request


def _is_branch(part: Any) -> bool:
    """Whether pydantic tells which member of a union it tried."""
    return part in ("str", "list[dict[str,any]]", "dict[str,any]")


def _check(key: str, value: Any) -> None:
    if key in RENAMED:
        message = f"there is no field {key!r}: use {RENAMED[key]!r}"
        raise Fault(400, message, key, "unknown_parameter")
    if key in _HARMLESS or value is None:
        return
    if key in _NEUTRAL:
        if not any(value == each and type(value) in _kinds(each) for each in _NEUTRAL[key]):
            message = f"{key} other than {_NEUTRAL[key][0]!r} is not supported"
            raise Fault(400, message, key, "unsupported_parameter")
        return
    raise Fault(400, f"there is no field {key!r:.80}", key[:80], "unknown_parameter")


def _kinds(value: Any) -> tuple[type, ...]:
    if isinstance(value, bool):
        return (bool,)
    return (int, float) if isinstance(value, int) else (type(value),)
