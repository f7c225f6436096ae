r"""Rewriting of regular expressions into what Python's own parser reads.

Python lacks `\p{...}`; JSON Schema patterns are ECMAScript, which spells several things in another
way. Positions in the rewritten pattern can be traced back, so errors point into what was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import RegexError
from .charset import Ranges, complement, escape_class, normalise, property_class

# One lexical unit each; the last two alternatives are what needs no rewriting.
_TOKEN = re.compile(
    r"""
      (?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})
    | \\u\{(?P<code>[0-9a-fA-F]{1,6})\}
    | \\(?P<sign>[pP])(?:\{(?P<name>[^{}]*)\}|(?P<letter>[A-Z]))
    | \\c(?P<control>[A-Za-z])
    | (?P<escape>\\[dswDSW])(?P<dash>-)?
    | (?P<group>\(\?<(?![=!]))
    | (?P<open>\[)(?P<caret>\^?)(?P<bracket>\]?)
    | (?P<close>\])
    | (?P<brace>\{(?=,))
    | (?P<dot>\.)
    | \\. | .
    """,
    re.VERBOSE | re.DOTALL,
)
_ECMA_LINE_ENDS = normalise([(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)])
_NEVER = "(?!)"

# What cannot be lowered: how it is spelt, its name, what to do instead.
_SPELLINGS = {
    "AT": (r"\\[bB]", "a word boundary", "spell out the characters on both sides"),
    "GROUPREF": (r"\\[1-9]|\(\?P=", "a backreference", "it is not regular: repeat the group"),
    "GROUPREF_EXISTS": (r"\(\?\(", "a conditional group", "write the alternatives out with |"),
    "ATOMIC_GROUP": (r"\(\?>", "an atomic group", "use (?:...)"),
    "POSSESSIVE_REPEAT": (r"[*+?}]\+", "a possessive quantifier", "drop the + after it"),
    "BEHIND": (r"\(\?<[=!]", "a look-behind", "move the condition in front of it"),
    "BEGIN": (r"\^|\\A", "this ^ after text that may be empty", "put it first in its alternative"),
    "END": (r"\$|\\Z", "an end anchor with unknown text after it", "put it at the very end"),
    "AHEAD": (
        r"\(\?[=!]",
        "a lookahead that reaches past its repetition or terminal",
        "let it look at no more characters than are sure to follow it there",
    ),
}


@dataclass(slots=True)
class Rewritten:
    """A pattern in Python's dialect.

    Args:
        source: What the user wrote.
        text: What Python parses.
        shifts: Pairs (offset in text, offset in source) after each rewritten piece.
    """

    source: str
    text: str = ""
    shifts: list[tuple[int, int]] = field(default_factory=list)

    def origin(self, position: int) -> int:
        """The offset in the source of the offset `position` in the text."""
        base = (0, 0)
        for shift in self.shifts:
            if shift[0] > position:
                return min(base[1] + position - base[0], shift[1] - 1)
            base = shift
        return min(base[1] + position - base[0], len(self.source))


def to_python(pattern: str, *, ecma: bool, dot_all: bool) -> Rewritten:
    r"""Rewrite `pattern` for Python's parser.

    Args:
        pattern: A Python regular expression, or an ECMAScript one. Both may hold `\p{L}`.
        ecma: Whether it is ECMAScript.
        dot_all: Whether `.` matches line ends.

    Raises:
        RegexError: A Unicode property is unknown.
    """
    result = Rewritten(pattern)
    pieces: list[str] = []
    length, in_class = 0, False
    for token in _TOKEN.finditer(pattern):
        piece = _property(token, pattern, in_class) if token["sign"] else None
        if piece is None and ecma:
            piece = _ecma(token, in_class, dot_all)
        in_class = _class_after(token, in_class, ecma)
        pieces.append(token[0] if piece is None else piece)
        length += len(pieces[-1])
        if piece is not None:
            result.shifts.append((length, token.end()))
    result.text = "".join(pieces)
    return result


def _class_after(token: re.Match[str], in_class: bool, ecma: bool) -> bool:
    """Whether a character class is open after `token`."""
    if not in_class:
        # ECMAScript's `[]` is a whole class, while Python's `[]a]` holds a bracket.
        return bool(token["open"]) and not (ecma and token["bracket"])
    closing = token["close"] or (token["open"] and token["bracket"])
    return not closing


def _property(token: re.Match[str], pattern: str, in_class: bool) -> str:
    name = token["letter"] or token["name"]
    try:
        ranges = property_class(name)
    except KeyError:
        raise RegexError(
            f"the Unicode property {name!r} is not known",
            pattern=pattern,
            position=token.start(),
            hint="general categories such as L, Lu or Decimal_Number are",
        ) from None
    return _class_text(ranges if token["sign"] == "p" else complement(ranges), in_class)


def _class_text(ranges: Ranges, in_class: bool) -> str:
    members = "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges)
    if in_class:
        return members
    return f"[{members}]" if members else _NEVER


def _ecma(token: re.Match[str], in_class: bool, dot_all: bool) -> str | None:
    """How Python spells this token of ECMAScript; None if in the same way."""
    if token["pair"]:
        high, low = int(token[0][2:6], 16), int(token[0][8:12], 16)
        return rf"\U{0x10000 + ((high - 0xD800) << 10) + low - 0xDC00:08x}"
    if token["code"]:
        return rf"\U{int(token['code'], 16):08x}"
    if token["control"]:
        return rf"\x{ord(token['control']) % 32:02x}"
    if token["escape"]:
        return _ecma_escape(token, in_class)
    return _ecma_in_class(token) if in_class else _ecma_outside(token, dot_all)


def _ecma_escape(token: re.Match[str], in_class: bool) -> str:
    # A dash after a class escape is itself: `[\w-.]`.
    dash = r"\-" if in_class and token["dash"] else token["dash"] or ""
    if token["escape"] not in (r"\s", r"\S"):
        return str(token["escape"]) + dash
    ranges = escape_class(token["escape"][1], ascii_only=False, ecma=True)
    return _class_text(ranges, in_class) + dash


def _ecma_in_class(token: re.Match[str]) -> str | None:
    # Python reserves an unescaped bracket in a class, and `--`, `&&`, `||`, `~~`.
    return "\\" + token[0] if token["open"] else None


def _ecma_outside(token: re.Match[str], dot_all: bool) -> str | None:
    if token["group"]:
        return "(?P<"
    if token["brace"]:
        return r"\{"
    if token["dot"] and not dot_all:
        return _class_text(complement(_ECMA_LINE_ENDS), in_class=False)
    if token["bracket"]:
        return r"[\x00-\U0010ffff]" if token["caret"] else _NEVER
    return None


def refusal(what: str, pattern: Rewritten) -> RegexError:
    """The error for the construct `what` (a parser's operation), pointing at its first use."""
    spelling, name, hint = _SPELLINGS[what]
    position = pattern.origin(_find(spelling, pattern.text))
    return RegexError(
        f"{name} is not supported", pattern=pattern.source, position=position, hint=hint
    )


def _find(spelling: str, pattern: str) -> int:
    """The first place outside character classes where `spelling` is written."""
    scan = re.compile(rf"({spelling})|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
    return next((token.start() for token in scan.finditer(pattern) if token[1]), 0)
