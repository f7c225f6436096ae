"""A sentence chooses one of several tools and fills in its arguments."""

import json
from pathlib import Path

import ctrlgen

TOOLS = Path(__file__).parents[1] / "schemas" / "snips_tools.json"
SENTENCES = [
    "Play the greatest ballad from the seventies",
    "Will it get overcast in La Dolores?",
    "Book a table for six at Rosa's Kitchen in Boston",
]

model = ctrlgen.load()
choose = ctrlgen.Generator(model, ctrlgen.tools(json.loads(TOOLS.read_text(encoding="utf-8"))))
for sentence in SENTENCES:
    call = choose(sentence)
    print(json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False))
