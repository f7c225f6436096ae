r"""The tokens of GBNF and of the W3C's EBNF, with their places.

The two share rules (`name ::= ...`), groups, quantifiers and classes. GBNF comments with `#`, where
EBNF writes code points (`#x20`) and has `/* ... */`; EBNF quotes with `'` too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..errors import GrammarError
from .charset import LAST, Ranges, complement, normalise
from .grammar_text import line_and_column

Syntax = Literal["gbnf", "ebnf"]

_COMMON = r"""
    (?P<space>\s+)
  | (?P<define>::=)
  | (?P<class>\[\^?(?:[^\]\\]|\\.)*\])
  | (?P<count>\{\s*[0-9]*\s*(?:,\s*[0-9]*\s*)?\})
  | (?P<name>[A-Za-z0-9_][A-Za-z0-9_-]*)
  | (?P<mark>[|()*+?.])
"""
_TOKENS = {
    "gbnf": re.compile(
        rf"(?P<comment>\#[^\n]*) | (?P<text>\"(?:[^\"\\\n]|\\.)*\") | {_COMMON}", re.VERBOSE
    ),
    "ebnf": re.compile(
        rf"""(?P<comment>/\*(?s:.*?)\*/ | \#(?!x[0-9A-Fa-f])[^\n]*)
        | (?P<point>\#x[0-9A-Fa-f]{{1,8}})
        | (?P<text>\"(?:[^\"\\\n]|\\.)*\" | '(?:[^'\\\n]|\\.)*') | {_COMMON}""",
        re.VERBOSE,
    ),
}
_CHARACTER = {
    "gbnf": re.compile(r"\\(x..|u.{4}|U.{8}|.)|(.)", re.DOTALL),
    "ebnf": re.compile(r"\\(x..|u.{4}|U.{8}|.)|#(x[0-9A-Fa-f]{1,8})|(.)", re.DOTALL),
}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", **{sign: sign for sign in "\\\"'[]^-"}}
# What other dialects write, and what to do instead.
_FOREIGN = {
    "<": "tokens of a model are not text: write what the token spells",
    "!": "tokens of a model are not text: write what the token spells",
    "-": "exceptions (A - B) are not supported: write the characters that are left as a class",
    "=": "rules are written name ::= ...",
    "/": "regular expressions are not part of this notation: use a .lark grammar",
    "'": 'text is quoted with "',
    "[": "a class ends with ]",
    '"': "the text does not end on its line",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the grammar: its kind, how it is spelt, and where."""

    kind: str
    text: str
    position: int


class Scanner:
    """Reads one grammar.

    Args:
        text: The grammar.
        syntax: Which of the two notations it is in.
    """

    def __init__(self, text: str, syntax: Syntax) -> None:
        self.text = text
        self._syntax = syntax

    def tokens(self) -> Iterator[Token]:
        """The tokens without blanks and comments, then one of kind "end".

        Raises:
            GrammarError: Something is none.
        """
        position = 0
        while position < len(self.text):
            found = _TOKENS[self._syntax].match(self.text, position)
            if found is None or found.lastgroup is None:
                sign = self.text[position]
                raise self.error(f"unexpected {sign!r}", position, _FOREIGN.get(sign, ""))
            if found.lastgroup not in ("space", "comment"):
                yield Token(found.lastgroup, found[0], position)
            position = found.end()
        yield Token("end", "", len(self.text))

    def error(self, message: str, position: int, hint: str = "") -> GrammarError:
        """An error at an offset of the grammar."""
        line, column = line_and_column(self.text, position)
        return GrammarError(message, text=self.text, line=line, column=column, hint=hint)

    def characters(self, token: Token) -> Ranges:
        """The code points of a class, of a single code point, or of `.`.

        Raises:
            GrammarError: A range is the wrong way round, or there are no characters in it.
        """
        if token.kind != "class":
            every = ((0, LAST),)
            return every if token.text == "." else self._ranges(token, token.text)
        excludes = token.text.startswith("[^")
        ranges = self._ranges(token, token.text[1 + excludes : -1])
        if not ranges:
            raise self.error("an empty class", token.position)
        return complement(ranges) if excludes else ranges

    def _ranges(self, token: Token, body: str) -> Ranges:
        points = list(self._points(token, body, self._syntax))
        found: list[tuple[int, int]] = []
        while points:
            first = points.pop(0)[0]
            last = first
            # A hyphen at either end of the class is a character.
            if len(points) > 1 and points[0] == (ord("-"), False):
                last = points[1][0]
                del points[:2]
            if last < first:
                problem = f"the range {chr(first)}-{chr(last)} is the wrong way round"
                raise self.error(problem, token.position)
            found.append((first, last))
        return normalise(found)

    def literal(self, token: Token) -> str:
        """What a quoted text stands for."""
        # `#x20` between quotes is four characters.
        points = self._points(token, token.text[1:-1], "gbnf")
        return "".join(chr(point) for point, _ in points)

    def _points(self, token: Token, body: str, syntax: Syntax) -> Iterator[tuple[int, bool]]:
        """Each code point, and whether it was written as an escape."""
        for match in _CHARACTER[syntax].finditer(body):
            *coded, plain = match.groups()
            if plain is not None:
                yield ord(plain), False
            else:
                yield self._escaped(next(filter(None, coded)), token), True

    def _escaped(self, code: str, token: Token) -> int:
        if code in _ESCAPES:
            return ord(_ESCAPES[code])
        try:
            point = int(code[1:], 16) if code[0] in "xuU" else -1
        except ValueError:
            point = -1
        if not 0 <= point <= LAST or 0xD800 <= point <= 0xDFFF:
            hint = r"there are \n \r \t \\ \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH"
            raise self.error(f"the escape {code!r} stands for no character", token.position, hint)
        return point
