"""The text of a grammar in any notation: its bounds, and places in it."""

from __future__ import annotations

import re

from ..errors import GrammarError, LimitError

MAX_TEXT = 1_000_000


def require_text(text: str) -> None:
    """Refuse what no grammar is.

    Raises:
        LimitError: It is too long.
        GrammarError: It is no Unicode text.
    """
    if len(text) > MAX_TEXT:
        raise LimitError(f"a grammar of {len(text)} characters; {MAX_TEXT} are allowed")
    lone = re.search("[\ud800-\udfff]", text)
    if lone:  # which cannot be shown
        line, column = line_and_column(text, lone.start())
        raise GrammarError("half of a surrogate pair", line=line, column=column)


def line_and_column(text: str, position: int) -> tuple[int, int]:
    """Where an offset of a text is, both counted from 1."""
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")
