"""What a request wants: response_format, structured_outputs and tools as one Spec."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ctrlgen.errors import CtrlgenError
from ctrlgen.server.faults import Fault, of_error
from ctrlgen.server.limits import check_grammar, check_schema, check_text, read_json_text
from ctrlgen.server.requests import STRUCTURED
from ctrlgen.server.settings import Settings
from ctrlgen.server.structural import read_grammar, read_structural_tag
from ctrlgen.spec import Spec, choice, json_schema, regex
from ctrlgen.tool_call.choice import read_tools, resolve, tools
from ctrlgen.tool_call.conversation import instructions
from ctrlgen.tool_call.descriptions import ANY_TEXT


@dataclass(frozen=True)
class Wanted:
    """The form of an answer.

    Args:
        spec: What may be written.
        kind: Whether that is the content, or holds calls.
        param: The field of the request that asks for it.
        named: Whether the request names the one tool that is called.
        told: A system message that describes it to the model.
    """

    spec: Spec
    kind: Literal["content", "calls"] = "content"
    param: str | None = None
    named: bool = False
    told: dict[str, str] | None = None


def read_wanted(
    settings: Settings,
    *,
    response_format: dict[str, Any] | None = None,
    structured_outputs: dict[str, Any] | None = None,
    offered: list[dict[str, Any]] | None = None,
    tool_choice: str | dict[str, Any] | None = None,
    parallel: bool | None = None,
    format_param: str = "response_format",
) -> Wanted:
    """The one constraint of a request; free text if it has none.

    Raises:
        Fault: It has more than one, or one that cannot be used.
    """
    forms: list[Wanted] = []
    if response_format is not None and (
        spec := _of_format(response_format, format_param, settings)
    ):
        forms.append(_content(spec, format_param, settings))
    if structured_outputs is not None:
        spec = _of_structured(structured_outputs, settings)
        forms.append(_content(spec, "structured_outputs", settings))
    calls = _of_tools(offered, tool_choice, parallel is not False, settings)
    if calls is not None:
        forms.append(calls)
    if len(forms) > 1:
        names = " and ".join(str(form.param) for form in forms)
        message = f"{names} cannot be combined; leave one of them out"
        raise Fault(400, message, forms[1].param, "invalid_value")
    return forms[0] if forms else Wanted(regex(ANY_TEXT))


def _content(spec: Spec, param: str, settings: Settings) -> Wanted:
    told = None
    if settings.describe and spec.kind == "json":
        schema = json.dumps(spec.schema, ensure_ascii=False)
        told = {"role": "system", "content": f"Answer with JSON of this schema: {schema}"}
    return Wanted(spec, param=param, told=told)


def _of_format(value: dict[str, Any], param: str, settings: Settings) -> Spec | None:
    """OpenAI's response_format, or the format of `/v1/responses`, which is flat."""
    match value:
        case {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return json_schema({"type": "object"})
        case {"type": "json_schema", "json_schema": {"schema": dict() | bool() as schema}}:
            return _schema(schema, f"{param}.json_schema.schema", settings)
        case {"type": "json_schema", "schema": dict() | bool() as schema}:
            return _schema(schema, f"{param}.schema", settings)
        case {"type": "structural_tag"}:
            return read_structural_tag(value, settings, param)
    raise Fault(
        400,
        f"{param}: expected a type among text, json_object and json_schema, and the schema in "
        "json_schema.schema",
        param,
        "invalid_value",
    )


def _schema(schema: Any, param: str, settings: Settings) -> Spec:
    check_schema(schema, settings, param)
    return Spec("json", schema=schema)  # `json_schema` would warn the server of a client's typos


def _of_structured(value: dict[str, Any], settings: Settings) -> Spec:
    """The structured_outputs of vLLM."""
    given = {key: each for key, each in value.items() if each is not None}
    unknown = next((key for key in given if key not in (*STRUCTURED, *_LAYOUT)), None)
    if unknown is not None:
        param, there = f"structured_outputs.{unknown}"[:80], ", ".join(STRUCTURED)
        raise Fault(400, f"there is no {param!r}; there are {there}", param, "unknown_parameter")
    if given.get("disable_any_whitespace") is False or given.get("whitespace_pattern"):
        message = "JSON is always compact: leave out the options for white space"
        raise Fault(400, message, "structured_outputs", "unsupported_parameter")
    keys = [key for key in given if key in STRUCTURED]
    if len(keys) != 1:
        message = f"structured_outputs has one of {', '.join(STRUCTURED)}, not {len(keys)}"
        raise Fault(400, message, "structured_outputs", "invalid_value")
    return _structured(keys[0], given[keys[0]], settings)


_LAYOUT = ("disable_any_whitespace", "whitespace_pattern")


def _structured(key: str, value: Any, settings: Settings) -> Spec:
    param = f"structured_outputs.{key}"
    match key, value:
        case "json", str():
            return _structured(key, read_json_text(value, settings, param), settings)
        case "json", dict() | bool():
            return _schema(value, param, settings)
        case "json_object", True:
            return json_schema({"type": "object"})
        case "regex", _:
            return regex(check_text(value, settings.max_regex, param))
        case "grammar", _:
            return read_grammar(value, settings, param)
        case "structural_tag", _:
            return read_structural_tag(value, settings, param)
        case "choice", list() if all(isinstance(item, str) for item in value):
            if len(value) > settings.max_choices:
                message = f"{param} has more than {settings.max_choices} items"
                raise Fault(400, message, param, "constraint_too_large")
            check_schema(value, settings, param)
            try:
                return choice(value)
            except CtrlgenError as error:
                raise of_error(error, param) from None
    raise Fault(400, f"{param}: {value!r:.80} is not of the right type", param, "invalid_value")


def _of_tools(
    offered: list[dict[str, Any]] | None,
    tool_choice: str | dict[str, Any] | None,
    parallel: bool,
    settings: Settings,
) -> Wanted | None:
    """A call, or text if the choice leaves that open; None where no tool may be called."""
    if not offered:
        if tool_choice not in (None, "none", "auto"):
            raise Fault(400, "tool_choice without tools", "tool_choice", "invalid_value")
        return None
    if len(offered) > settings.max_tools:
        message = f"there are more than {settings.max_tools} tools"
        raise Fault(400, message, "tools", "constraint_too_large")
    check_schema(offered, settings, "tools")
    for tool in offered:
        _check_custom(tool, settings)
    wish = "auto" if tool_choice is None else tool_choice
    try:
        known = read_tools(offered)
    except CtrlgenError as error:
        raise of_error(error, "tools") from None
    try:
        mode, _ = resolve(wish, known)
        if mode == "none":
            return None
        named = isinstance(wish, dict) and wish.get("type") in ("function", "custom")
        spec = tools(known, choice=wish, parallel=parallel and not named)
    except CtrlgenError as error:
        raise of_error(error, "tool_choice") from None
    told = instructions(known) if settings.describe else None
    return Wanted(spec, "calls", "tools", named, told)


def _check_custom(tool: dict[str, Any], settings: Settings) -> None:
    """The grammar of a custom tool reads no files and is not too long."""
    custom = tool.get("custom", tool) if tool.get("type") == "custom" else {}
    form = custom.get("format") if isinstance(custom, dict) else None
    grammar = form.get("grammar", form) if isinstance(form, dict) else None
    if isinstance(grammar, dict) and "definition" in grammar:
        if grammar.get("syntax") == "regex":
            check_text(grammar["definition"], settings.max_regex, "tools")
        else:
            check_grammar(grammar["definition"], settings, "tools")
