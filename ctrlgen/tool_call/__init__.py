"""Tools as a type: the model decides whether to call, which of them, and with what.

descriptions   functions, models, OpenAI, Anthropic, MCP and BFCL tools as one `Tool`
docstrings     what a docstring says of a function and its parameters
dialect        BFCL's type names as JSON Schema
choice         tools and a tool choice as a Spec
conversation   messages with calls and results as plain ones
partial        the calls in the beginning of an answer, for streams
"""

from __future__ import annotations

from ctrlgen.tool_call.calls import ToolCall
from ctrlgen.tool_call.choice import tools
from ctrlgen.tool_call.descriptions import Tool, ToolLike

__all__ = ["Tool", "ToolCall", "ToolLike", "tools"]
