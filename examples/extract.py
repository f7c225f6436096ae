"""A sentence becomes a pydantic object; what it does not say stays None."""

from typing import Literal

from pydantic import BaseModel

import ctrlgen


class Restaurant(BaseModel):
    name: str
    eatType: Literal["coffee shop", "pub", "restaurant"] | None = None
    food: str | None = None
    area: Literal["city centre", "riverside"] | None = None
    familyFriendly: Literal["yes", "no"] | None = None
    near: str | None = None


TEXTS = [
    "There is a place in the city centre, Alimentum, that is not family-friendly.",
    "The Punter is a child friendly Chinese coffee shop near Café Sicilia.",
]

model = ctrlgen.load()
extract = ctrlgen.Generator(model, Restaurant)
for place in extract.batch(TEXTS):
    print(place.model_dump_json(exclude_none=True))
