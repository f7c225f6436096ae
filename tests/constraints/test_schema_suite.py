"""The official suite: a committed sample always, all of it where the data is at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.constraints.suite import DRAFTS, SAMPLE, table, verdict, written

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("draft", DRAFTS)
def test_sample(draft):
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    for group in sample["groups"]:
        if group["draft"] == draft:
            found = verdict(group, draft, {})
            assert found == group["verdict"], (group["file"], group["description"])


@pytest.mark.slow
def test_support_table_is_what_the_suite_says():
    if not (DATA / "json-schema-test-suite-draft4.json.gz").exists():
        pytest.skip("the official suite is not here")
    assert table(DATA) == written()
