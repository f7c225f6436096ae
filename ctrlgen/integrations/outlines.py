"""A ctrlgen model with the interface of an outlines model.

    model = OutlinesModel(ctrlgen.load())
    text = model("Alimentum is in the city centre.", Place)  # a str, as outlines has it

Every output type and term of outlines is taken. `outlines.Generator` and `Application` accept only
models that outlines itself names; `BlackBoxGenerator(model, Place)` takes any.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from outlines.inputs import Chat
from outlines.models.base import Model as OutlinesBase
from outlines.models.base import ModelTypeAdapter

from ctrlgen.canvas.committed import committed_text
from ctrlgen.errors import SpecError
from ctrlgen.generator import Generator, Model
from ctrlgen.loop import advance, fill, look_at
from ctrlgen.prompts import Prompt
from ctrlgen.spec import regex
from ctrlgen.tool_call.descriptions import ANY_TEXT


class _TypeAdapter(ModelTypeAdapter):
    """Prompts and types as ctrlgen takes them."""

    def format_input(self, model_input: Any) -> Prompt:
        """A text, or the messages of a chat."""
        return list(model_input.messages) if isinstance(model_input, Chat) else str(model_input)

    def format_output_type(self, output_type: Any = None) -> Any:
        """Any type of outlines; free text without one."""
        return regex(ANY_TEXT) if output_type is None else output_type


class OutlinesModel(OutlinesBase):
    """A ctrlgen model for code that is written for outlines.

    Args:
        model: The model.
        **options: `ctrlgen.Options` of every call; a call may change them.
    """

    def __init__(self, model: Model, **options: Any) -> None:
        self.model, self.options = model, options
        self.type_adapter = _TypeAdapter()

    def __call__(
        self, model_input: Any, output_type: Any = None, backend: str | None = None, **options: Any
    ) -> str:
        """The text of one answer."""
        _refuse(backend)
        return self.generate(model_input, output_type, **options)

    def batch(
        self,
        model_input: list[Any],
        output_type: Any = None,
        backend: str | None = None,
        **options: Any,
    ) -> list[str]:
        """The text of one answer for each input, denoised together."""
        _refuse(backend)
        return self.generate_batch(model_input, output_type, **options)

    def stream(
        self, model_input: Any, output_type: Any = None, backend: str | None = None, **options: Any
    ) -> Iterator[str]:
        """The text of one answer in pieces."""
        _refuse(backend)
        return self.generate_stream(model_input, output_type, **options)

    def generate(self, model_input: Any, output_type: Any = None, **options: Any) -> str:
        """The text of one answer."""
        return self.generate_batch([model_input], output_type, **options)[0]

    def generate_batch(
        self, model_input: list[Any], output_type: Any = None, **options: Any
    ) -> list[str]:
        """The text of one answer for each input, denoised together."""
        prompts = [self.type_adapter.format_input(each) for each in model_input]
        results = self._generator(output_type, options).generate_batch(prompts)
        return [result.text for result in results]

    def generate_stream(
        self, model_input: Any, output_type: Any = None, **options: Any
    ) -> Iterator[str]:
        """The text of one answer in pieces, each as soon as it is certain."""
        prompt = self.type_adapter.format_input(model_input)
        seat = self._generator(output_type, options).seat(prompt)
        sent = 0
        while not seat.finish():
            advance(seat, look_at([seat])[0])
            text = committed_text(seat.run.canvas)
            if len(text) > sent:
                yield text[sent:]
                sent = len(text)
        fill(seat.run)
        if rest := seat.run.canvas.text()[sent:]:
            yield rest

    def _generator(self, output_type: Any, options: dict[str, Any]) -> Generator:
        wanted = self.type_adapter.format_output_type(output_type)
        return Generator(self.model, wanted, **{**self.options, **options})


def _refuse(backend: str | None) -> None:
    if backend is not None:
        raise SpecError(f"there is no backend {backend!r}", hint="ctrlgen has one, its own")
