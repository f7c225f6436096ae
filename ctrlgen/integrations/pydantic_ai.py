"""A ctrlgen model as a model of pydantic-ai (extra `integrations`).

agent = Agent(CtrlgenModel(ctrlgen.load()), output_type=Place, tools=[get_weather])
place = agent.run_sync("Alimentum is in the city centre.").output
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from pydantic_ai import messages as parts
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model as PydanticModel
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from ctrlgen.generator import Generator, Model
from ctrlgen.result import Result
from ctrlgen.spec import Spec, json_schema, regex
from ctrlgen.tool_call import ToolCall, tools
from ctrlgen.tool_call.conversation import plain
from ctrlgen.tool_call.descriptions import ANY_TEXT

_UNSUPPORTED = ("stop_sequences", "top_p", "presence_penalty", "frequency_penalty", "logit_bias")


class CtrlgenModel(PydanticModel[Any]):
    """Requests are answered in this process, one after the other.

    Args:
        model: The model.
        **options: `ctrlgen.Options` of every answer; settings of a request go first.
    """

    def __init__(self, model: Model, **options: Any) -> None:
        self._model, self._options = model, options
        self._turn = threading.Lock()
        super().__init__(profile=ModelProfile(supports_json_schema_output=True))

    @property
    def model_name(self) -> str:
        """What usage is counted under."""
        return "ctrlgen"

    system = model_name

    async def request(
        self,
        messages: list[parts.ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> parts.ModelResponse:
        """Answer a conversation."""
        settings, asked = self.prepare_request(model_settings, model_request_parameters)
        prompt = plain(_shown(self.prepare_messages(messages)))
        spec, options = _wanted(asked), {**self._options, **_options(settings or {})}

        def answer() -> Result:
            with self._turn:
                return Generator(self._model, spec, **options).generate(prompt)

        result = await asyncio.to_thread(answer)
        tokens = len(self._model.denoiser.encode(result.text))
        usage = RequestUsage(input_tokens=result.usage.prompt_tokens, output_tokens=tokens)
        return parts.ModelResponse(parts=_parts(result), usage=usage, model_name=self.model_name)


def _wanted(asked: ModelRequestParameters) -> Spec:
    """The type of an answer: text, a schema, or calls of functions and of output tools."""
    offered = [*asked.function_tools, *asked.output_tools]
    if asked.output_mode == "native" and asked.output_object is not None:
        if offered:
            raise UserError("NativeOutput together with tools is not supported: use ToolOutput")
        return json_schema(asked.output_object.json_schema)
    if not offered:
        return regex(ANY_TEXT)
    described = [
        {"name": t.name, "description": t.description, "parameters": t.parameters_json_schema}
        for t in offered
    ]
    return tools(
        described, choice="auto" if asked.allow_text_output else "required", parallel=False
    )


def _options(settings: ModelSettings | dict[str, Any]) -> dict[str, Any]:
    refused = next((key for key in _UNSUPPORTED if settings.get(key)), None)
    if refused is not None:
        raise UserError(f"ctrlgen has no {refused}")
    names = {"max_tokens": "max_new_tokens", "temperature": "temperature", "seed": "seed"}
    return {ours: settings[key] for key, ours in names.items() if settings.get(key) is not None}  # type: ignore[literal-required]


def _parts(result: Result) -> list[parts.TextPart | parts.ToolCallPart]:
    if isinstance(result.output, ToolCall):
        return [parts.ToolCallPart(result.output.name, result.output.arguments)]
    return [parts.TextPart(result.output if isinstance(result.output, str) else result.text)]


def _shown(messages: list[parts.ModelMessage]) -> list[dict[str, Any]]:
    """The conversation as OpenAI has it."""
    out: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, parts.ModelRequest):
            if message.instructions:
                out.append({"role": "system", "content": message.instructions})
            out += [_told(part) for part in message.parts]
        else:
            out += [_said(part) for part in message.parts]
    return out


def _told(part: Any) -> dict[str, Any]:
    match part:
        case parts.SystemPromptPart(content=str(text)):
            return {"role": "system", "content": text}
        case parts.UserPromptPart(content=str(text)):
            return {"role": "user", "content": text}
        case parts.RetryPromptPart(tool_name=None):
            return {"role": "user", "content": part.model_response()}
        case parts.ToolReturnPart() | parts.RetryPromptPart():
            text = _returned(part)
            return {"role": "tool", "tool_call_id": part.tool_call_id, "content": text}
    raise UserError(f"ctrlgen reads texts and results of tools, not {type(part).__name__}")


def _returned(part: parts.ToolReturnPart | parts.RetryPromptPart) -> str:
    if isinstance(part, parts.ToolReturnPart):
        return part.model_response_str()
    return part.model_response()


def _said(part: Any) -> dict[str, Any]:
    match part:
        case parts.TextPart(content=text):
            return {"role": "assistant", "content": text}
        case parts.ToolCallPart():
            function = {"name": part.tool_name, "arguments": part.args_as_json_str()}
            call = {"id": part.tool_call_id, "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
    raise UserError(f"ctrlgen reads texts and calls, not {type(part).__name__}")
