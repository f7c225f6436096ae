"""instructor against a server: `python with_instructor.py URL`."""

import sys

import instructor
import openai
from pydantic import BaseModel


class Place(BaseModel):
    name: str
    area: str | None = None


messages = [{"role": "user", "content": "Alimentum is in the city centre."}]
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    raw = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none")
    client = instructor.from_openai(raw, mode=mode)
    place, completion = client.create_with_completion(
        model="ctrlgen", messages=messages, response_model=Place, max_retries=0
    )
    assert isinstance(place, Place), mode
    assert completion.usage.total_tokens > 0
    *_, last = client.create_partial(model="ctrlgen", messages=messages, response_model=Place)
    assert last.name, mode
print("ok")
