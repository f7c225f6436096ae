"""pydantic-ai against a server: `python with_pydantic_ai.py URL`."""

import sys

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Place(BaseModel):
    name: str
    area: str | None = None


provider = OpenAIProvider(base_url=f"{sys.argv[1]}/v1", api_key="none")
model = OpenAIChatModel("ctrlgen", provider=provider)
for output_type in (Place, NativeOutput(Place)):
    agent = Agent(model, output_type=output_type, retries=0, model_settings={"temperature": 0.0})
    found = agent.run_sync("Alimentum is in the city centre.")
    assert isinstance(found.output, Place)
    assert found.usage.output_tokens > 0
print("ok")
