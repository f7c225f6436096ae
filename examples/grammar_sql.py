"""A question becomes a SELECT statement: whatever the model writes, it parses."""

from pathlib import Path

import ctrlgen

GRAMMAR = Path(__file__).parents[1] / "schemas" / "sql_select.lark"
QUESTIONS = [
    "Show the name and price of products with price above 100",
    "List the title of books sorted by year",
]

model = ctrlgen.load()
ask = ctrlgen.Generator(model, ctrlgen.cfg(GRAMMAR), max_new_tokens=64)
for question in QUESTIONS:
    print(ask(question))
