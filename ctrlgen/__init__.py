"""Structured generation for diffusion language models.

import ctrlgen

model = ctrlgen.load()
place = model("Alimentum is in the city centre.", Restaurant)  # -> Restaurant
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrlgen.lazy import exports

if TYPE_CHECKING:
    from ctrlgen.agent import Agent, AgentRun
    from ctrlgen.errors import CtrlgenError
    from ctrlgen.generator import Generator, Model, compile, from_transformers, load
    from ctrlgen.options import Options
    from ctrlgen.result import Result, StepEvent, Usage
    from ctrlgen.spec import Spec, cfg, choice, json_schema, regex
    from ctrlgen.tool_call import ToolCall, tools

__version__ = "0.1.0"

# Where each public name lives. They are imported when first used, so that `ctrlgen --help` and
# code that only handles errors or specs never wait for torch.
_HOME = {
    "Agent": "agent",
    "AgentRun": "agent",
    "CtrlgenError": "errors",
    "Generator": "generator",
    "Model": "generator",
    "Options": "options",
    "Result": "result",
    "Spec": "spec",
    "StepEvent": "result",
    "ToolCall": "tool_call",
    "Usage": "result",
    "cfg": "spec",
    "choice": "spec",
    "compile": "generator",
    "from_transformers": "generator",
    "json_schema": "spec",
    "load": "generator",
    "regex": "spec",
    "tools": "tool_call",
}

__all__ = [
    "Agent",
    "AgentRun",
    "CtrlgenError",
    "Generator",
    "Model",
    "Options",
    "Result",
    "Spec",
    "StepEvent",
    "ToolCall",
    "Usage",
    "cfg",
    "choice",
    "compile",
    "from_transformers",
    "json_schema",
    "load",
    "regex",
    "tools",
]

__getattr__, __dir__ = exports(__name__, _HOME)
