"""Augmentation that forces copying: values change in the text and in the record together.

Without it a small masked-diffusion model learns the form of a record and invents its values; with
it the only way to lower the loss is to look the value up in the prompt.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

from .corpora import Example
from .spoken import KINDS, restate, said

RENAMES = {
    "name": ["restaurant", "venue", "place_name", "title"],
    "eatType": ["type", "kind", "venue_type", "eat_type"],
    "food": ["cuisine", "food_type"],
    "priceRange": ["price", "price_range", "cost"],
    "rating": ["customer_rating", "customerRating", "score"],
    "area": ["location", "district", "city_area"],
    "familyFriendly": ["family_friendly", "kid_friendly", "child_friendly", "kids_allowed"],
    "near": ["nearby", "close_to", "landmark"],
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Pool:
    """Words and values to draw replacements from, collected from the training examples."""

    def __init__(self, examples: list[Example]) -> None:
        words: set[str] = set()
        values: dict[str, set[str]] = {}
        for example in examples:
            for _, text in example.turns:
                words.update(w for w in re.findall(r"[^\W\d_]+", text) if len(w) > 2)
            for key, value in example.answer.items():
                values.setdefault(key, set()).add(str(value))
        self.words = sorted(words)
        self.values = {key: sorted(v) for key, v in sorted(values.items())}
        self.every = sorted(set().union(*values.values())) if values else ["x"]

    def value(self, key: str, rng: random.Random) -> str:
        """A value that could stand in `key`: another example's, any example's, words or noise."""
        kind = rng.random()
        if kind < 0.6 and key in self.values:
            return rng.choice(self.values[key])
        if kind < 0.7:
            return rng.choice(self.every)
        if kind < 0.88:
            words = [rng.choice(self.words) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]
            return (
                " ".join(w.title() for w in words)
                if rng.random() < 0.5
                else " ".join(words).lower()
            )
        return random_string(rng)


def random_string(rng: random.Random) -> str:
    """Pronounceable or numeric noise that no tokenizer knows as one token."""
    if rng.random() < 0.3:
        return str(rng.randrange(10 ** rng.randint(1, 6)))
    noise = "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 9)))
    return noise.title() if rng.random() < 0.5 else noise


def _occurs_once_as_word(value: str, text: str) -> bool:
    return len(re.findall(rf"(?<!\w){re.escape(value)}(?!\w)", text)) >= 1


def swap_values(example: Example, pool: Pool, rng: random.Random, rate: float) -> Example:
    """`example` with each copyable value replaced, at `rate`, in every turn and in the answer."""
    joined = "\n".join(text for _, text in example.turns)
    turns, answer = example.turns, dict(example.answer)
    for key, value in example.answer.items():
        copyable = isinstance(value, str) and len(value) > 2 and _occurs_once_as_word(value, joined)
        if not copyable or rng.random() > rate:
            continue
        clash = any(value in str(v) or str(v) in value for k, v in answer.items() if k != key)
        new = pool.value(key, rng)
        if clash or re.search(rf"(?<!\w){re.escape(new)}(?!\w)", joined):
            continue
        pattern = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
        turns = [(role, pattern.sub(lambda _, n=new: n, text)) for role, text in turns]
        answer[key] = new
    return Example(example.source, turns, example.keys, answer, example.tool, example.tools)


def swap_spoken(example: Example, rng: random.Random) -> Example:
    """`example` with its dates and times changed, where the turns say them, and said anew."""
    turns, answer = example.turns, dict(example.answer)
    for form, kind in KINDS.items():
        spoken = set().union(*(said(text, kind) for _, text in turns))
        old = {v for v in answer.values() if isinstance(v, str) and re.fullmatch(form, v)}
        changes = {value: kind[3](rng) for value in sorted(old & spoken)}
        if len(set(changes.values()) | (spoken - old)) < len(changes) + len(spoken - old):
            continue  # a new value would be mistaken for another
        turns = [(role, restate(text, kind, changes, rng)) for role, text in turns]
        answer = {key: changes.get(value, value) if isinstance(value, str) else value
                  for key, value in answer.items()}  # fmt: skip
    return replace(example, turns=turns, answer=answer)


def drop_turns(example: Example, rng: random.Random) -> Example:
    """`example` with fewer turns: the last two stay, and every turn that names a value."""
    values = [str(v).lower() for v in example.answer.values()]
    rate, last = rng.random(), len(example.turns) - 2

    def told(text: str) -> bool:
        named = set().union(*(said(text, kind) for kind in KINDS.values()))
        return any(v in text.lower() or v in named for v in values)

    turns = [
        (role, text)
        for i, (role, text) in enumerate(example.turns)
        if i >= last or told(text) or rng.random() > rate
    ]
    return replace(example, turns=turns)


def _restyle(key: str, rng: random.Random) -> str:
    """Another spelling of a field name: snake_case, camelCase or a synonym."""
    kind = rng.random()
    if kind < 0.4 and key in RENAMES:
        return rng.choice(RENAMES[key])
    if kind < 0.7:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
    head, *tail = key.split("_")
    return head + "".join(word.title() for word in tail)


def rename_keys(example: Example, rng: random.Random) -> Example:
    """`example` with its field names restyled and, sometimes, in another order."""
    names = {key: _restyle(key, rng) for key in example.keys}
    if len(set(names.values())) < len(names):
        return example
    keys = list(names.values())
    if rng.random() < 0.5:
        rng.shuffle(keys)
    answer = {names[key]: value for key, value in example.answer.items()}
    return Example(example.source, example.turns, keys, answer, example.tool, example.tools)


def type_values(example: Example, rng: random.Random) -> Example:
    """`example` with yes/no as booleans and digits as integers, as a typed schema would ask."""
    typed: dict[str, Any] = {}
    for key, value in example.answer.items():
        if value in ("yes", "no", "True", "False"):
            typed[key] = value in ("yes", "True")
        elif isinstance(value, str) and re.fullmatch(r"0|[1-9]\d{0,8}", value):
            typed[key] = int(value)
        else:
            typed[key] = value
    return Example(example.source, example.turns, example.keys, typed, example.tool, example.tools)
