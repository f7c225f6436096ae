"""Keys as tokens of a JSON pointer (RFC 6901)."""

from __future__ import annotations


def escape(key: str) -> str:
    """A key as a token."""
    return key.replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    """The key that a token is."""
    return token.replace("~1", "/").replace("~0", "~")
