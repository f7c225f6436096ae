r"""The terminals of a Lark grammar as grammar nodes.

A terminal is the set of texts that its pattern matches, as a lexer would: lazy quantifiers stop at
the first chance. What looks past the token (`[?](?![a-z])`) becomes a mark in it, which the whole
text has to make good.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lark.lexer import TerminalDef

from ..errors import GrammarError, RegexError
from .grammar_text import line_and_column
from .nodes import Node
from .regex import lower_regex
from .regex_marks import Marks

# How lark's own grammars say "up to the first quote without a backslash before it".
_CLOSED = {
    rf"{ahead}.*?(?<!\\)(\\\\)*?{quote}": rf"{ahead}(?:[^{quote}\\\n]|\\.)*{quote}"
    for quote in "\"'"
    for ahead in (quote, rf"{quote}(?!{quote}{quote})")
}


class Terminals:
    """The terminals of one grammar.

    Args:
        definitions: As lark has read them.
        text: The grammar, for messages.

    Attributes:
        nodes: The node of each terminal, by name.
        marks: What the terminals demand of the text around them.

    Raises:
        GrammarError: A terminal is not regular.
    """

    def __init__(self, definitions: Iterable[TerminalDef], text: str) -> None:
        self.marks = Marks()
        self._text = text
        self.nodes = {each.name: self._node(each) for each in definitions}

    def _node(self, terminal: TerminalDef) -> Node:
        source = terminal.pattern.to_regexp()
        pattern = source
        for spelling, plain in _CLOSED.items():
            pattern = pattern.replace(spelling, plain)
        try:
            return lower_regex(pattern, part=True, shortest=True, marks=self.marks)
        except RegexError as error:
            line, column = _definition(terminal.name, terminal.pattern.raw, self._text)
            problem = str(error).splitlines()[0]
            raise GrammarError(
                f"terminal {terminal.name}, {source!r}: {problem}",
                text=self._text,
                line=line,
                column=column,
                hint=error.hint,
            ) from error


def _definition(name: str, raw: str | None, text: str) -> tuple[int, int]:
    """Line and column where the terminal `name` is defined, or written without a name."""
    found = re.search(rf"^[ \t]*({re.escape(name)})\b", text, re.MULTILINE)
    if found:
        return line_and_column(text, found.start(1))
    position = text.find(raw or name)
    return line_and_column(text, position) if position >= 0 else (0, 0)
