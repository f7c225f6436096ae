"""A ctrlgen model as a chat model of LangChain (extra `integrations`).

llm = ChatCtrlgen(model=ctrlgen.load())
place = llm.with_structured_output(Place).invoke("Alimentum is in the city centre.")
message = llm.bind_tools([get_weather], tool_choice="any").invoke("The weather in Oslo?")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field

from ctrlgen.generator import Generator, Model
from ctrlgen.result import Result
from ctrlgen.spec import Spec, regex
from ctrlgen.tool_call import tools as tools_spec
from ctrlgen.tool_call.calls import call_id, calls_of
from ctrlgen.tool_call.conversation import plain
from ctrlgen.tool_call.descriptions import ANY_TEXT


class ChatCtrlgen(BaseChatModel):
    """Answers in text or with tool calls; calls are valid by construction.

    Args:
        model: The model.
        options: `ctrlgen.Options` of every answer.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: Model
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "ctrlgen"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | Any],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The same model with tools.

        Args:
            tools: What LangChain calls a tool.
            tool_choice: `any` or `required`, `auto` (default), `none`, or the name of a tool.
            parallel_tool_calls: Whether one answer may hold several calls.
            **kwargs: What LangChain adds for tracing.
        """
        offered = [convert_to_openai_tool(tool) for tool in tools]
        choice = {"any": "required", True: "required", None: "auto", False: "auto"}.get(
            tool_choice if not isinstance(tool_choice, dict) else "", tool_choice
        )
        return self.bind(
            tools=offered, tool_choice=choice, parallel_tool_calls=parallel_tool_calls, **kwargs
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if stop:
            raise ValueError("stop sequences are not supported; constrain the answer instead")
        shown = convert_to_openai_messages(messages)
        prompt = plain(shown if isinstance(shown, list) else [shown])
        result = Generator(self.model, _wanted(**kwargs), **self.options).generate(prompt)
        tokens = len(self.model.denoiser.encode(result.text))
        message = _message(result, result.usage.prompt_tokens, tokens)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _wanted(
    tools: list[dict[str, Any]] | None = None,
    tool_choice: Any = "auto",
    parallel_tool_calls: bool = False,
    ls_structured_output_format: Any = None,
    **unknown: Any,
) -> Spec:
    """What the bound arguments ask for."""
    if unknown:
        raise ValueError(f"ChatCtrlgen takes no {sorted(unknown)[0]}")
    if not tools or tool_choice == "none":
        return regex(ANY_TEXT)
    return tools_spec(tools, choice=tool_choice, parallel=parallel_tool_calls)


def _message(result: Result, prompt: int, tokens: int) -> AIMessage:
    usage = UsageMetadata(input_tokens=prompt, output_tokens=tokens, total_tokens=prompt + tokens)
    if isinstance(result.output, str):
        return AIMessage(content=result.output, usage_metadata=usage)
    written: list[Any] = [
        {"name": call.name, "args": call.arguments, "id": call_id()}
        for call in calls_of(result.output)
    ]
    return AIMessage(content="", tool_calls=written, usage_metadata=usage)
