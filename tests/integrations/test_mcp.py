"""MCP: the tools of a server for an agent, and generation as a tool."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

import ctrlgen
from ctrlgen.testing import RandomDenoiser

pytest.importorskip("mcp", reason="the extra `integrations` is not installed")

from mcp import Client
from mcp.server import MCPServer

from ctrlgen.integrations.mcp import MCPToolError, generation_server, tools_of


class Place(BaseModel):
    name: str
    age: int


def weather_server() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("weather")

    @server.tool()
    def weather(days: int) -> dict[str, int]:
        """Tell the weather."""
        return {"rain": days}

    @server.tool()
    def broken() -> str:
        raise ValueError("no thermometer")

    return server


def test_tools_are_read_and_called() -> None:
    async def use() -> None:
        async with Client(weather_server()) as client:
            weather, broken = await tools_of(client)
            assert (weather.name, weather.description) == ("weather", "Tell the weather.")
            assert weather.parameters["properties"]["days"]["type"] == "integer"
            assert weather.function is not None and broken.function is not None
            assert await asyncio.to_thread(weather.function, days=3) == {"rain": 3}
            with pytest.raises(MCPToolError, match="broken"):
                await asyncio.to_thread(broken.function)

    asyncio.run(use())


def test_an_agent_uses_them() -> None:
    async def use() -> ctrlgen.AgentRun:
        async with Client(weather_server()) as client:
            offered = await tools_of(client)
            model = ctrlgen.Model(RandomDenoiser())
            agent = ctrlgen.Agent(model, offered, choice="weather", max_turns=1)
            return await asyncio.to_thread(agent.run, "x")

    run = asyncio.run(use())
    (seen,) = run.observations
    assert seen.error is None
    assert seen.value == {"rain": seen.call.arguments["days"]}


def test_generation_is_a_tool() -> None:
    async def use() -> Any:
        model = ctrlgen.Model(RandomDenoiser())
        server = generation_server(model, {"place": Place}, max_new_tokens=60, steps=3)
        async with Client(server) as client:
            (tool,) = (await client.list_tools()).tools
            assert tool.name == "place"
            assert set(tool.output_schema["properties"]) == {"name", "age"}
            return await client.call_tool("place", {"prompt": "Who?"})

    result = asyncio.run(use())
    assert not result.is_error
    Place.model_validate(result.structured_content)
