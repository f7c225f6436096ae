"""Words of every format against pydantic and the standard library."""

from __future__ import annotations

import calendar
import ipaddress
import random
import re
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from pydantic import (
    UUID1,
    UUID3,
    UUID4,
    UUID5,
    UUID6,
    UUID7,
    UUID8,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    HttpUrl,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    TypeAdapter,
)

from ctrlgen.constraints.formats import format_node
from tests.constraints.oracle import matches, sample

_TYPES: list[Any] = [
    date, time, datetime, AwareDatetime, timedelta, UUID, UUID1, UUID3, UUID4, UUID5, UUID6, UUID7,
    UUID8, AnyUrl, HttpUrl, IPvAnyAddress, IPvAnyInterface, IPvAnyNetwork, Base64Bytes,
    ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
    ipaddress.IPv4Interface, ipaddress.IPv6Interface,
]  # fmt: skip


@pytest.mark.parametrize("kind", _TYPES, ids=lambda kind: getattr(kind, "__name__", str(kind)))
def test_pydantic_takes_every_word(kind):
    adapter = TypeAdapter(kind)
    schema = adapter.json_schema()
    node = format_node(schema["format"])
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    rng = random.Random(7)
    for _ in range(60):
        word = sample(node, rng).decode("ascii")
        assert not {'"', "\\"} & set(word)
        adapter.validate_python(word)
        assert validator.is_valid(word)


def test_every_day_of_the_calendar():
    node = format_node("date")
    for year in (1900, 2000, 2023, 2024, 2100, 2400):
        for month in range(14):
            for day in range(33):
                real = 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]
                assert matches(node, b"%d-%02d-%02d" % (year, month, day)) == real


def test_leap_years_are_exact():
    node = format_node("date")
    for year in range(1000, 10_000, 1):
        if year % 4 == 0 or year % 97 == 0:
            assert matches(node, b"%d-02-29" % year) == calendar.isleap(year), year


_GOOD = {
    "time": ["23:59:59Z", "00:00:00.123456+05:30"],
    "date-time": ["2024-02-29T12:00:00Z"],
    "duration": ["P1Y2M3DT4H5M6S", "PT0S", "P3W", "P1DT5M"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000"],
    "email": ["a.b+c@example.com", "x@y-z.org"],
    "ipv4": ["0.0.0.0", "255.255.255.255"],
    "ipv6": ["::", "::1", "fe80::1:2", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::"],
    "hostname": ["example.com", "a-b.c.org"],
    "uri": ["https://example.com/a/b?x=1#y", "http://a.io:8080"],
    "json-pointer": ["", "/a~1b/0"],
}
_BAD = {
    "time": ["24:00:00Z", "12:60:00Z", "12:00:00", "12:00Z"],
    "date-time": ["2023-02-29T12:00:00Z", "2024-01-01T00:00:00", "2024-01-01 00:00:00Z"],
    "duration": ["P", "PT", "P1H", "P1WT1H", "1D", "P1DT"],
    "uuid": ["123e4567e89b12d3a456426614174000"],
    "email": ["a@b", "a..b@example.com", "@example.com", "a@x.test", "a@localhost"],
    "ipv4": ["256.0.0.1", "1.2.3", "01.2.3.4"],
    "ipv6": [":::", "1::2::3", "1:2:3:4:5:6:7:8:9", "12345::", "1:2:3:4:5:6:7"],
    "hostname": ["-a.com", "a_b.com", "a--b.com", "com"],
    "uri": ["ftp://example.com", "https://", "example.com", "https://a.com/ b"],
    "json-pointer": ["a", "/~2"],
}


@pytest.mark.parametrize("name", _GOOD)
def test_words_and_others(name):
    node = format_node(name)
    for word in _GOOD[name]:
        assert matches(node, word.encode()), word
    for word in _BAD[name]:
        assert not matches(node, word.encode()), word


def test_host_labels_are_short_enough():
    rng = random.Random(3)
    for _ in range(50):
        address = sample(format_node("email"), rng).decode()
        local, _, host = address.partition("@")
        assert len(local) <= 64
        assert len(address) <= 254
        assert all(re.fullmatch("[a-z0-9-]{1,63}", label) for label in host.split("."))


def test_unknown_formats_have_no_node():
    assert format_node("no-such-format") is None
    assert format_node("binary") is None
