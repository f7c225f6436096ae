"""Streams: what is told of an unfinished answer is the beginning of what the whole one says."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ctrlgen.tool_call.partial import partial_calls, partial_text

NAMES = st.text(min_size=1, max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
BODIES = st.tuples(st.just("arguments"), st.dictionaries(NAMES, VALUES, max_size=3)) | st.tuples(
    st.just("input"), st.text(max_size=8)
)
CALLS = st.builds(lambda name, body: {"name": name, body[0]: body[1]}, NAMES, BODIES)


def spelled(value: object, ascii_only: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))


@settings(max_examples=40)
@given(st.lists(CALLS, min_size=1, max_size=3), st.booleans())
def test_calls(calls: list[dict], ascii_only: bool) -> None:
    text = spelled(calls if len(calls) > 1 else calls[0], ascii_only)
    whole = [
        (c["name"], c["input"] if "input" in c else spelled(c["arguments"], ascii_only))
        for c in calls
    ]
    known = 0
    for end in range(len(text) + 1):
        found = partial_calls(text[:end])
        assert known <= len(found) <= len(whole)
        known = len(found)
        for i, (call, (name, body)) in enumerate(zip(found, whole, strict=False)):
            assert call.name == name
            assert body.startswith(call.text)
            assert call.text == body or i == len(found) - 1
    assert [(c.name, c.text) for c in partial_calls(text)] == whole
    assert partial_text(text) == ""


@given(st.text(), st.booleans())
def test_texts(content: str, ascii_only: bool) -> None:
    text = spelled({"content": content}, ascii_only)
    last = ""
    for end in range(len(text) + 1):
        found = partial_text(text[:end])
        assert found.startswith(last)
        last = found
        assert partial_calls(text[:end]) == []
    assert last == content
