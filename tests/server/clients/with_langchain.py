"""LangChain against a server: `python with_langchain.py URL`."""

import sys

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Place(BaseModel):
    name: str
    area: str | None = None


@tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


llm = ChatOpenAI(model="ctrlgen", base_url=f"{sys.argv[1]}/v1", api_key="none", max_retries=0)
for method in ("json_schema", "function_calling"):
    found = llm.with_structured_output(Place, method=method).invoke("Alimentum is in the centre.")
    assert isinstance(found, Place), method
message = llm.bind_tools([get_weather], tool_choice="any").invoke("What is the weather in Oslo?")
assert not message.invalid_tool_calls
for call in message.tool_calls:
    assert get_weather.invoke(call).content.startswith("rain in")
assert message.tool_calls
chunks = list(llm.bind_tools([get_weather], tool_choice="any").stream("The weather in Oslo?"))
assert sum(chunks[1:], chunks[0]).tool_calls
print("ok")
