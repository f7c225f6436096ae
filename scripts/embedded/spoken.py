"""Dates and times as people say them and as a call wants them: `half past 6 in the evening`, 18:30.

SGD's dialogues take place on Friday, 2019-03-01. What is read here is read exactly; what a phrase
leaves open (`at 4:30`) is not read at all.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

YEAR_MONTH = "2019-03-"
WEEKDAYS = {"monday": 4, "tuesday": 5, "wednesday": 6, "thursday": 7, "friday": 8}
RELATIVE = {
    "today": 1, "tomorrow": 2, "day after tomorrow": 3, "saturday this week": 2,
    "sunday this week": 3, "this saturday": 2, "this sunday": 3,
    **{f"next {day}": number for day, number in WEEKDAYS.items()},
    **{f"{day} next week": number for day, number in WEEKDAYS.items()},
}  # fmt: skip
DATE = re.compile(
    r"(?i)\b(?:march (\d{1,2})(?:st|nd|rd|th)?"
    r"|(\d{1,2})(?:st|nd|rd|th)(?: of (?:this month|march))?"
    rf"|({'|'.join(sorted(RELATIVE, key=len, reverse=True))}))\b"
)
HALVES = {"morning": 0, "afternoon": 12, "evening": 12}
TIME = re.compile(
    r"(?i)\b(?:(?:(half past|quarter past|quarter to) )?(\d{1,2})(?::(\d\d))?"
    r"(?: ?([ap])\.?m\b| (?:o'clock )?in the (morning|afternoon|evening))"
    r"|(morning|afternoon|evening) (\d{1,2})(?::(\d\d))?(?! ?[ap]\.?m)|(\d\d):(\d\d)(?! ?[ap]\.?m)"
    r"(?! in the))\b"
)
MINUTES = {"half past": 30, "quarter past": 15, "quarter to": -15}


def _ordinal(day: int) -> str:
    suffix = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"


def read_date(match: re.Match[str]) -> str:
    """The date, `2019-03-DD`, of a match of `DATE`."""
    day = match[1] or match[2] or RELATIVE[match[3].lower()]
    return f"{YEAR_MONTH}{int(day):02}"


def say_date(date: str, rng: random.Random) -> str:
    """One of the ways to say a date of March 2019."""
    day = int(date[-2:])
    ways = [f"March {_ordinal(day)}"] * 4 + [f"march {day}", f"{_ordinal(day)} of March"]
    ways += [f"{_ordinal(day)} of this month", f"{_ordinal(day)}"]
    ways += [phrase for phrase, number in RELATIVE.items() if number == day]
    return rng.choice(ways)


def read_time(match: re.Match[str]) -> str | None:
    """The time, `HH:MM`, of a match of `TIME`; None if there is no such time."""
    if match[9]:
        hour, minute = int(match[9]), int(match[10])
    else:
        hour = int(match[2] or match[7]) % 12
        minute = int(match[3] or match[8] or 0) + MINUTES.get((match[1] or "").lower(), 0)
        half = (match[5] or match[6] or "").lower()
        hour += HALVES[half] if half else 12 * (match[4].lower() == "p")
    total = (60 * hour + minute) % 1440
    return f"{total // 60:02}:{total % 60:02}" if hour < 24 and minute < 60 else None


def say_time(time: str, rng: random.Random) -> str:
    """One of the ways to say a time of day."""
    hour, minute = int(time[:2]), int(time[3:])
    half = "morning" if hour < 12 else "afternoon" if hour < 17 else "evening"
    clock = f"{(hour - 1) % 12 + 1}" + (f":{minute:02}" if minute else "")
    ways = [f"{clock} {'am' if hour < 12 else 'pm'}"] * 4
    ways += [time, f"{clock} in the {half}", f"{half} {clock}"]
    for phrase, past in MINUTES.items():
        whole = 60 * hour + minute - past
        if whole % 60 == 0 and whole // 720 == hour // 12:
            ways.append(f"{phrase} {(whole // 60 - 1) % 12 + 1} in the {half}")
    return rng.choice(ways)


def draw_date(rng: random.Random) -> str:
    """A date of March 2019, mostly of its first two weeks."""
    return f"{YEAR_MONTH}{rng.randint(1, 14 if rng.random() < 0.8 else 31):02}"


def draw_time(rng: random.Random) -> str:
    """A time of day, mostly on a quarter of an hour."""
    minute = rng.choice((0, 0, 30, 15, 45)) if rng.random() < 0.8 else 5 * rng.randrange(12)
    return f"{rng.choice((rng.randint(6, 22), rng.randrange(24))):02}:{minute:02}"


Kind = tuple[
    re.Pattern[str],
    Callable[[re.Match[str]], str | None],
    Callable[[str, random.Random], str],
    Callable[[random.Random], str],
]
KINDS: dict[str, Kind] = {
    r"2019-03-\d\d": (DATE, read_date, say_date, draw_date),
    r"\d\d:\d\d": (TIME, read_time, say_time, draw_time),
}


def restate(text: str, kind: Kind, changes: dict[str, str], rng: random.Random) -> str:
    """`text` with each date, or time, that `changes` names said as its new value."""
    pattern, read, say, _ = kind

    def new(match: re.Match[str]) -> str:
        value = read(match)
        return say(changes[value], rng) if value in changes else match[0]

    return pattern.sub(new, text)


def said(text: str, kind: Kind) -> set[str | None]:
    """The dates, or times, that a text names."""
    return {kind[1](match) for match in kind[0].finditer(text)}
