"""The tools of MCP servers for an agent, and generation as a tool of an MCP server.

    async with mcp.Client(server) as client:
        agent = ctrlgen.Agent(model, await tools_of(client))
        run = await asyncio.to_thread(agent.run, "What is the weather in Oslo?")

    generation_server(model, {"place": Place}).run()

The agent runs on another thread: a client answers on the event loop that it was opened on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mcp import Client
from mcp.server import MCPServer

from ctrlgen.errors import SpecError
from ctrlgen.generator import Generator, Model
from ctrlgen.tool_call import Tool
from ctrlgen.tool_call.descriptions import read_tool

MAX_TOOLS = 1000
"""Most tools that are read from one server."""


class MCPToolError(Exception):
    """What a tool of an MCP server says of its own failure."""


async def tools_of(client: Client, *, seconds: float = 60.0) -> list[Tool]:
    """The tools of a server, to be called by an `Agent` on another thread.

    Args:
        client: An open client.
        seconds: Most seconds of a call.

    Raises:
        SpecError: A tool cannot be used, or there are too many.
    """
    loop = asyncio.get_running_loop()
    found: list[Tool] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        for each in page.tools:
            described = {"name": each.name, "description": each.description}
            tool = read_tool({**described, "inputSchema": each.input_schema})
            function = _caller(client, loop, each.name, seconds)
            found.append(Tool(tool.name, tool.parameters, tool.description, function))
        if len(found) > MAX_TOOLS:
            raise SpecError(f"the server has more than {MAX_TOOLS} tools")
        cursor = page.next_cursor
        if cursor is None:
            return found


def _caller(
    client: Client, loop: asyncio.AbstractEventLoop, name: str, seconds: float
) -> Callable[..., Any]:
    """A function that calls a tool on the client's event loop and waits for the result."""

    def call(**arguments: Any) -> Any:
        work = client.call_tool(name, arguments, read_timeout_seconds=seconds)
        result = asyncio.run_coroutine_threadsafe(work, loop).result()
        texts = [part.text for part in result.content if part.type == "text"]
        if result.is_error:
            raise MCPToolError("\n".join(texts) or f"{name} failed")
        return "\n".join(texts) if result.structured_content is None else result.structured_content

    return call


def generation_server(
    model: Model, output_types: Mapping[str, Any], *, name: str = "ctrlgen", **options: Any
) -> MCPServer[Any]:
    """An MCP server with a tool a type: a prompt in, a value of the type out.

    Args:
        model: The model.
        output_types: Names of tools, and what they generate: types that pydantic knows.
        name: Name of the server.
        **options: `ctrlgen.Options` of every answer.

    Raises:
        ConstraintError: A type cannot be compiled.
    """
    server: MCPServer[Any] = MCPServer(name)
    turn = threading.Lock()  # a model denoises for one caller at a time
    for tool, output_type in output_types.items():
        generator = Generator(model, output_type, **options)
        described = f"Write a {tool} about what the prompt says."
        server.add_tool(_generating(generator, output_type, turn), tool, description=described)
    return server


def _generating(generator: Generator, output_type: Any, turn: threading.Lock) -> Callable[..., Any]:
    async def generate(prompt: str) -> Any:
        def answer() -> Any:
            with turn:
                return generator(prompt)

        return await asyncio.to_thread(answer)

    generate.__annotations__ = {"prompt": str, "return": output_type}
    return generate
