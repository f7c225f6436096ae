"""outlines against a server: `python with_outlines.py URL`."""

import sys
from typing import Literal

import openai
import outlines
from pydantic import BaseModel


class Place(BaseModel):
    name: str
    area: str | None = None


model = outlines.from_vllm(openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none"), "ctrlgen")
Place.model_validate_json(model("Alimentum is in the city centre.", Place))
assert model("Sure?", Literal["yes", "no"]) in ("yes", "no")
assert model("When?", outlines.regex(r"\d{4}-\d{2}"))[4] == "-"
assert model("Nested?", outlines.cfg('start: "x" | "(" start ")"')).strip("()") == "x"
assert int(model("How many?", int)) is not None
print("ok")
