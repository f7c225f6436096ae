"""The string formats of JSON Schema and of pydantic, as sublanguages every checker accepts.

Each format is narrowed to what RFC, pydantic and jsonschema agree on:

- years run from 1000 to 9999, with exact leap years; no leap seconds, no lower-case `t` or `z`;
- times of day and date-times carry a time zone, as RFC 3339 demands, and at most six fraction
  digits;
- durations follow RFC 3339 appendix A, with at most six digits per unit;
- host names are dotted ASCII names that end in letters, without `--`, so that neither IDNA
  nor the reserved top-level domains matter; e-mail addresses are unquoted;
- a URI is an http or https URL with such a host, the kind that pydantic's `HttpUrl` takes too.

What the standards themselves allow is in `formats_standard`.
"""

from __future__ import annotations

from functools import cache

from ctrlgen.constraints.json_text import one_of
from ctrlgen.constraints.nodes import And, Choice, Node, Not, Repeat, Seq, byte_range, text
from ctrlgen.constraints.regex import lower_regex


def dates(year: str, leap_year: str) -> str:
    """Pattern of the days of these years."""
    return (
        f"(?:{year}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
        "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
        f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{leap_year}-02-29)"
    )


_YEAR = "[1-9][0-9]{3}"
_FOURTH = "(?:[2468][048]|[13579][26])"  # a multiple of four from 12 to 96
_LEAP_YEAR = f"(?:[1-9][0-9](?:0[48]|{_FOURTH})|{_FOURTH}00)"
_DATE = dates(_YEAR, _LEAP_YEAR)
CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{CLOCK})"

_COUNT = "[0-9]{1,6}"
_MINUTES = f"{_COUNT}M(?:{_COUNT}S)?"
_CLOCK_PART = f"T(?:{_COUNT}H(?:{_MINUTES})?|{_MINUTES}|{_COUNT}S)"
_MONTHS = f"{_COUNT}M(?:{_COUNT}D)?"
_DAY_PART = f"(?:{_COUNT}Y(?:{_MONTHS})?|{_MONTHS}|{_COUNT}D)"
_DURATION = f"P(?:{_DAY_PART}(?:{_CLOCK_PART})?|{_CLOCK_PART}|{_COUNT}W)"

_HEX = "[0-9A-Fa-f]"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_GROUP = f"{_HEX}{{1,4}}"


def _uuid(version: str = "[1-8]") -> str:
    return f"{_HEX}{{8}}-{_HEX}{{4}}-{version}{_HEX}{{3}}-[89ABab]{_HEX}{{3}}-{_HEX}{{12}}"


def _ipv6() -> str:
    """Eight groups, or fewer around one `::`."""
    forms = [f"{_GROUP}(?::{_GROUP}){{7}}"]
    for before in range(8):
        after = 7 - before
        head = f"{_GROUP}(?::{_GROUP}){{{before - 1}}}" if before else ""
        tail = f"(?:{_GROUP}(?::{_GROUP}){{0,{after - 1}}})?" if after else ""
        forms.append(f"{head}::{tail}")
    return f"(?:{'|'.join(forms)})"


_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "uuid": f"(?:{_uuid()})",
    **{f"uuid{version}": _uuid(str(version)) for version in range(1, 9)},
    "ipv4": IPV4,
    "ipv6": _ipv6(),
    "ipv4network": rf"{IPV4}/32",
    "ipv4interface": rf"{IPV4}/(?:3[0-2]|[12]?[0-9])",
    "ipv6network": rf"{_ipv6()}/128",
    "ipv6interface": rf"{_ipv6()}/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])",
    "ipvanyaddress": f"(?:{IPV4}|{_ipv6()})",
    "ipvanynetwork": f"(?:{IPV4}/32|{_ipv6()}/128)",
    "ipvanyinterface": f"(?:{IPV4}|{_ipv6()})",
    "json-pointer": r"(?:/(?:[ !#-.0-\[\]-}]|~[01])*)*",
    "base64": "(?:[A-Za-z0-9+/]{4})*",
    "base64url": "(?:[A-Za-z0-9_-]{4})*",
}
_ALIASES = {
    "idn-email": "email",
    "name-email": "email",
    "idn-hostname": "hostname",
    "uri-reference": "uri",
    "iri": "uri",
    "iri-reference": "uri",
    "url": "uri",
}
# pydantic's names for strings that it does not restrict
UNRESTRICTED = frozenset(("binary", "password", "path"))
# Top-level domains that e-mail validators refuse (RFC 6761 and others).
_RESERVED = ("arpa", "invalid", "local", "localhost", "onion", "test", "example", "internal")


@cache
def format_node(name: str) -> Node | None:
    """The strings of a format, without quotes; None when the format is not known.

    They are printable ASCII without quotes and backslashes: their own JSON spelling.
    """
    name = _ALIASES.get(name, name)
    if name in _PATTERNS:
        return lower_regex(_PATTERNS[name])
    if name == "hostname":
        return _hostname()
    return _email() if name == "email" else _uri() if name == "uri" else None


@cache
def _hostname() -> Node:
    """Up to four labels of at most twenty characters and a top-level domain."""
    letter = byte_range(ord("a"), ord("z"))
    words = lower_regex("[a-z0-9]+(?:-[a-z0-9]+)*")
    label = And((words, Repeat(one_of("abcdefghijklmnopqrstuvwxyz0123456789-"), 1, 20)))
    reserved = Not(Choice(tuple(text(name) for name in _RESERVED)))
    top = And((Repeat(letter, 2, 12), reserved))
    return Seq((Repeat(Seq((label, text("."))), 1, 4), top))


def _email() -> Node:
    local = lower_regex("[A-Za-z0-9_]+(?:[.+-][A-Za-z0-9_]+)*")
    bounded = And((local, Repeat(byte_range(0x2B, 0x7A), 1, 64)))
    return Seq((bounded, text("@"), _hostname()))


def _uri() -> Node:
    rest = (
        r"(?::[1-9][0-9]{0,3})?(?:/[A-Za-z0-9._~-]*)*"
        r"(?:\?[A-Za-z0-9._~=&/-]*)?(?:#[A-Za-z0-9._~/-]*)?"
    )
    return Seq((lower_regex("https?://"), _hostname(), lower_regex(rest)))
