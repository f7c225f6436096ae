"""Synthetic examples: key-value sentences with random keys, and small text-to-text tasks.

They teach what the corpora lack: field names never seen, numbers, booleans, lists, nested records,
short plain answers for regular expressions, and formulas and queries for grammars.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .augment import Pool, random_string
from .corpora import Example
from .spoken import draw_date, draw_time, say_date, say_time

FIELDS_TEXT = """
name age city email phone date price title author year colour size weight brand model status
country street company job salary team score level language topic owner category quantity total
id code room time duration first_name last_name birth_date zip_code order_id due_date start_time
end_time max_price priority product user amount currency destination origin speed height width
material genre artist album track rating review
"""
FIELDS = FIELDS_TEXT.split()
NUMBERS_TEXT = """
zero one two three four five six seven eight nine ten eleven twelve
"""
NUMBERS = NUMBERS_TEXT.split()
TEMPLATES = (
    "{k} is {v}",
    "{k}: {v}",
    "the {k} is {v}",
    "{k} = {v}",
    "with {k} {v}",
    "its {k} was {v}",
    "{v} as the {k}",
    "{k} should be {v}",
    "set {k} to {v}",
)
CLOSINGS = ("Yes, please.", "That is right.", "Book it.", "ok", "Sounds good, go on.", "Thank you!")
TABLES_TEXT = """
users orders products cities books songs employees students cars movies
"""
TABLES = TABLES_TEXT.split()
COLUMNS_TEXT = """
name age price year title city salary rating email country
"""
COLUMNS = COLUMNS_TEXT.split()


def _number(rng: random.Random) -> int | float:
    whole = rng.randrange(10 ** rng.randint(1, 4))
    return whole if rng.random() < 0.7 else round(whole / 100, 2)


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1990, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _value(pool: Pool, rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.55:
        return pool.value("", rng)
    if kind < 0.75:
        return _number(rng)
    if kind < 0.82:
        return _date(rng)
    if kind < 0.88:
        return rng.random() < 0.5
    if kind < 0.92:
        return f"{random_string(rng).lower()}@{rng.choice(pool.words).lower()}.com"
    return [pool.value("", rng) for _ in range(rng.randint(1, 3))]


def _spoken(value: Any, rng: random.Random) -> str:
    if isinstance(value, bool):
        return rng.choice(("true", "yes") if value else ("false", "no"))
    if isinstance(value, list):
        return ", ".join(value) if rng.random() < 0.5 else " and ".join(value)
    return str(value)


def key_values(pool: Pool, rng: random.Random) -> Example:
    """A sentence of random keys with random values, some keys absent, some nested in a record."""
    words = [w.lower() for w in rng.sample(pool.words, 4)]
    keys = rng.sample([*FIELDS, *words], rng.randint(2, 7))
    present = [k for k in keys if rng.random() < 0.7] or keys[:1]
    answer = {k: _value(pool, rng) for k in keys if k in present}
    said = [
        rng.choice(TEMPLATES).format(k=k.replace("_", " "), v=_spoken(v, rng))
        for k, v in answer.items()
    ]
    rng.shuffle(said)
    text = rng.choice((", ", "; ", ". ", " and ")).join(said)
    if len(present) > 3 and rng.random() < 0.25:
        inner = [k for k in keys if k in present][-2:]
        nested = {k: answer.pop(k) for k in inner}
        outer = rng.choice(("details", "info", "address", "item"))
        keys = [k for k in keys if k not in inner and k != outer] + [outer]
        answer = {k: v for k, v in answer.items() if k != outer} | {outer: nested}
    return Example("synthetic", [("user", text)], keys, answer)


@dataclass(frozen=True)
class Family:
    """Keys of one kind of value, how to draw it as (wanted, said), and how it is brought up."""

    keys: tuple[str, ...]
    draw: Callable[[Pool, random.Random], tuple[str, str]]
    ways: tuple[str, ...]


def _said_date(pool: Pool, rng: random.Random) -> tuple[str, str]:
    date = draw_date(rng)
    return date, say_date(date, rng)


def _said_time(pool: Pool, rng: random.Random) -> tuple[str, str]:
    time = draw_time(rng)
    return time, say_time(time, rng)


def _said_count(pool: Pool, rng: random.Random) -> tuple[str, str]:
    count = rng.randint(1, 9)
    return str(count), rng.choice((NUMBERS[count], str(count)))


def _said_place(pool: Pool, rng: random.Random) -> tuple[str, str]:
    place = pool.value("city", rng)
    return place, place


FAMILIES = (
    Family(
        ("date", "leaving_date", "return_date", "check_in_date", "pickup_date", "visit_date",
         "event_date", "appointment_date"),
        _said_date, ("on {v}", "on the {v}", "for {v}", "{v}"),
    ),
    Family(
        ("time", "leaving_time", "pickup_time", "appointment_time", "event_time", "start_time"),
        _said_time, ("at {v}", "around {v}", "{v}", "it is at {v}"),
    ),
    Family(
        ("travelers", "passengers", "number_of_seats", "number_of_rooms", "party_size", "beds"),
        _said_count, ("for {v}", "{v} of us", "{v} people"),
    ),
    Family(
        ("city", "origin", "destination", "location", "from_location", "to_location"),
        _said_place, ("in {v}", "to {v}", "from {v}"),
    ),
)  # fmt: skip


def records(pool: Pool, rng: random.Random) -> Example:
    """Several things with the same keys: a list of records."""
    keys = rng.sample(FIELDS, rng.randint(2, 3))
    rows = []
    for _ in range(rng.randint(1, 3)):
        rows.append(
            {k: pool.value(k, rng) if rng.random() < 0.7 else rng.randrange(100) for k in keys}
        )
    said = [", ".join(f"{k.replace('_', ' ')} {v}" for k, v in row.items()) for row in rows]
    outer = rng.choice(("items", "people", "orders", "entries"))
    return Example(
        "synthetic", [("user", rng.choice(("; ", ". ")).join(said))], [outer], {outer: rows}
    )


def bookings(pool: Pool, rng: random.Random) -> Example:
    """What is said as people say it and wanted as a service wants it: dates, times, counts."""
    answer: dict[str, Any] = {}
    told: list[str] = []
    for family in rng.sample(FAMILIES, rng.choice((1, 2, 2, 3))):
        keys = rng.sample(family.keys, rng.choice((1, 1, 2)))
        for key in keys:
            value, spoken = family.draw(pool, rng)
            # Two of a kind are told apart by their names only.
            ways = (*family.ways, "{k} {v}", "the {k} is {v}")[-2 if len(keys) > 1 else 0 :]
            answer[key] = value
            told.append(rng.choice(ways).format(k=key.replace("_", " "), v=spoken))
    rng.shuffle(told)
    cut = rng.randint(0, len(told))
    turns = [
        (rng.choice(("user", "assistant")), ", ".join(part) + ".")
        for part in (told[:cut], told[cut:])
        if part
    ]
    if rng.random() < 0.5:
        turns.append(("user", rng.choice(CLOSINGS)))
    others = [k for f in FAMILIES if not answer.keys() & set(f.keys) for k in f.keys]
    keys = sorted({*answer, *rng.sample(others, min(3, len(others)))})
    return Example("synthetic", turns, keys, answer)


def plain(pool: Pool, rng: random.Random) -> Example:
    """A short plain answer: a phone number, date, e-mail or time to find, a formula or a query."""
    return rng.choice((_find, _find, _arithmetic, _query))(pool, rng)


def _find(pool: Pool, rng: random.Random) -> Example:
    targets = {
        "phone number": "-".join(str(rng.randrange(10 ** (n - 1), 10**n)) for n in (3, 3, 4)),
        "date": _date(rng),
        "time": f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
        "email": f"{random_string(rng).lower()}@{rng.choice(pool.words).lower()}.com",
        "price": f"${_number(rng)}",
        "version": ".".join(str(rng.randrange(30)) for _ in range(3)),
    }
    chosen = rng.sample(sorted(targets), 3)
    said = [rng.choice(TEMPLATES[:4]).format(k=k, v=targets[k]) for k in chosen]
    filler = " ".join(rng.sample(pool.words, rng.randint(2, 6)))
    question = rng.choice(("What is the {k}?", "{k}?", "Find the {k}.", "Give me the {k}:")).format(
        k=chosen[0]
    )
    rng.shuffle(said)
    body = f"{filler}. {'. '.join(said)}."
    text = f"{question} {body}" if rng.random() < 0.5 else f"{body} {question}"
    return Example("synthetic", [("user", text)], free=targets[chosen[0]])


def _arithmetic(pool: Pool, rng: random.Random) -> Example:
    names = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
    said, formula = "", ""
    for i in range(rng.randint(2, 4)):
        if i:
            op = rng.choice(sorted(names))
            said, formula = f"{said} {names[op]} ", formula + op
        number = rng.randrange(13)
        said += NUMBERS[number] if rng.random() < 0.6 else str(number)
        formula += str(number)
    return Example(
        "synthetic", [("user", rng.choice(("", "Compute ", "What is ")) + said)], free=formula
    )


def _query(pool: Pool, rng: random.Random) -> Example:
    table, shown = rng.choice(TABLES), rng.sample(COLUMNS, rng.randint(1, 2))
    said, query = f"{' and '.join(shown)} of {table}", f"SELECT {', '.join(shown)} FROM {table}"
    if rng.random() < 0.7:
        column, number = rng.choice(COLUMNS), rng.randrange(2000)
        op, words = rng.choice(
            ((">", "above"), ("<", "below"), ("=", "equal to"), (">", "over"), ("<", "under"))
        )
        said, query = (
            f"{said} with {column} {words} {number}",
            f"{query} WHERE {column} {op} {number}",
        )
    if rng.random() < 0.3:
        column = rng.choice(COLUMNS)
        said, query = f"{said} sorted by {column}", f"{query} ORDER BY {column}"
    return Example(
        "synthetic", [("user", rng.choice(("Show the ", "List the ", "")) + said)], free=query
    )
