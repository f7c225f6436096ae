"""The support table of docs/grammars.md, and the words in it against the references."""

from __future__ import annotations

import pytest

from ctrlgen.constraints import lower
from ctrlgen.errors import GrammarError, RegexError

from .grammar_features import FEATURES, Feature, referee, spec_of, table, verdict, written


def test_the_page_has_the_table() -> None:
    assert table() == written()


@pytest.mark.parametrize("feature", FEATURES, ids=lambda each: f"{each.syntax} {each.name}")
def test_feature(feature: Feature) -> None:
    if not feature.inside and not feature.outside:
        with pytest.raises((GrammarError, RegexError), match=r"at (position|line)"):
            lower(spec_of(feature))
        return
    assert verdict(feature) in ("exact", "narrowed")
    for word in feature.inside:
        assert referee(feature, word) in (True, None), word
    for word in feature.outside:
        assert referee(feature, word) in (False, None), word
