"""Lark grammars as grammar nodes; lark itself reads them.

The language is that of the context-free grammar over the languages of its terminals, as lark's
Earley parser with `lexer="dynamic_complete"` accepts it. Terminals compete nowhere: priorities, the
longest match and lazy quantifiers change which tree or token lark prefers, not what is a word.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import lark
from lark.exceptions import LarkError, UnexpectedInput
from lark.lexer import TerminalDef

from ..errors import GrammarError, RegexError, UnsatisfiableError
from .build import concat, copies, union
from .left_recursion import Productions, Rules, Symbol
from .nodes import EMPTY, NOTHING, ByteSet, Grammar, Node
from .regex import lower_regex

Ignore: TypeAlias = Literal["none", "single", "any"]

_WHITE = " \t\n\r\f\v"
# Idioms of lark's common terminals that need look-behind, or count on lazy matching to stop at the
# first closing delimiter, with what their tokens look like.
_REWRITTEN = {
    r'".*?(?<!\\)(\\\\)*?"': r'"(?:[^"\\\n]|\\.)*"',
    r"/\*(.|\n)*?\*/": r"/\*(?:[^*]|\*+[^*/])*\*+/",
}
# Where lark's messages say what is wrong, if the exception does not.
_PLACE = re.compile(r"(?:,? at )?\bline (\d+),? col(?:umn)? (\d+)")
_NAME = re.compile(r"'(\w+)'|defined: (\w+)")


def lower_lark(text: str, *, start: str = "start", ignore: Ignore = "single") -> Grammar:
    """The grammar that `text` describes.

    Args:
        text: A grammar in lark's language, imports from `common` and templates included.
        start: The rule to begin with.
        ignore: How much `%ignore`d text may stand before, between and after tokens: `any` is
            lark's language. `single` allows one ignored token, of one character if it can be white
            space, so that no answer is lost in blanks. `none` allows none.

    Raises:
        GrammarError: The grammar is invalid, or a terminal is not regular.
        UnsatisfiableError: The rule `start` has no finite word.
        LimitError: The grammar is too large.
    """
    parser = _read(text, start)
    terminals = {each.name: _terminal(each, text) for each in parser.terminals}
    gap = _gap(parser, terminals, ignore)
    productions = _productions(parser, terminals, gap, text)
    rules = Rules(productions)
    root = rules.all_words(start)
    if root is NOTHING:
        raise UnsatisfiableError(f"the rule {start!r} has no finite word")
    return Grammar(concat((gap, root)), rules.nodes)


def _read(text: str, start: str) -> lark.Lark:
    """Let lark read the grammar; its parser is not used."""
    try:
        return lark.Lark(text, start=start, parser="earley", lexer="dynamic_complete")
    except UnexpectedInput as error:
        raise _error(str(error), text, error.line, error.column) from None
    except (LarkError, OSError) as error:
        message = str(error.args[0]) if isinstance(error, LarkError) else str(error)
        place = _PLACE.search(message)
        # What lark adds to its message may hold the name that the message lacks.
        at = (int(place[1]), int(place[2])) if place else _named_place(str(error), text)
        raise _error(message, text, *at) from None
    except Exception as error:
        # Lark measures terminals with `regex` if that is installed, else with `re`.
        if type(error).__name__ not in ("error", "PatternError"):
            raise
        raise GrammarError(f"a terminal's regular expression is invalid: {error}") from None


def _error(message: str, text: str, line: int, column: int) -> GrammarError:
    first = _PLACE.split(message.splitlines()[0])[0].rstrip(" ,:")
    if line < 1 or column < 1:
        return GrammarError(first, text=text)
    return GrammarError(first, text=text, line=line, column=column)


def _named_place(message: str, text: str) -> tuple[int, int]:
    """Line and column of the last use of a name in lark's message, (0, 0) if it has none."""
    for match in _NAME.finditer(message):
        uses = list(re.finditer(rf"\b{re.escape(match[1] or match[2])}\b", text))
        if uses:
            return _line_and_column(text, uses[-1].start())
    return 0, 0


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


def _definition(name: str, raw: str | None, text: str) -> tuple[int, int]:
    """Line and column where the terminal `name` is defined, or written without a name."""
    found = re.search(rf"^[ \t]*({re.escape(name)})\b", text, re.MULTILINE)
    if found:
        return _line_and_column(text, found.start(1))
    position = text.find(raw or name)
    return _line_and_column(text, position) if position >= 0 else (0, 0)


def _terminal(terminal: TerminalDef, text: str) -> Node:
    source = terminal.pattern.to_regexp()
    try:
        # What follows a token is not known, so its pattern must not look at it.
        return lower_regex(_REWRITTEN.get(source, source), part=True)
    except RegexError as error:
        line, column = _definition(terminal.name, terminal.pattern.raw, text)
        problem = str(error).splitlines()[0]
        raise GrammarError(
            f"terminal {terminal.name}, {source!r}: {problem}",
            text=text,
            line=line,
            column=column,
            hint=error.hint,
        ) from error


def _gap(parser: lark.Lark, terminals: dict[str, Node], ignore: Ignore) -> Node:
    """What may stand between two tokens."""
    if ignore == "none" or not parser.ignore_tokens:
        return EMPTY
    if ignore == "any":
        return copies(union(terminals[name] for name in parser.ignore_tokens), 0, None)
    patterns = {each.name: each.pattern.to_regexp() for each in parser.terminals}
    short = [_white(patterns[name]) or terminals[name] for name in parser.ignore_tokens]
    return copies(union(short), 0, 1)


def _white(pattern: str) -> Node | None:
    """The single white space characters that match `pattern`, if any do."""
    members = [ord(character) for character in _WHITE if re.fullmatch(pattern, character)]
    return ByteSet(sum(1 << member for member in members)) if members else None


def _productions(
    parser: lark.Lark, terminals: dict[str, Node], gap: Node, text: str
) -> Productions:
    # Ignored text follows each token: no choice between tokens has to wait for it.
    tokens = {name: concat((node, gap)) for name, node in terminals.items()}
    found: dict[str, list[tuple[Symbol, ...]]] = {}
    for rule in parser.rules:
        word = tuple(_symbol(each, tokens, text) for each in rule.expansion)
        found.setdefault(str(rule.origin.name), []).append(word)
    return found


def _symbol(symbol: lark.grammar.Symbol, tokens: dict[str, Node], text: str) -> Symbol:
    name = str(symbol.name)
    if not symbol.is_term:
        return name
    if name in tokens:
        return tokens[name]
    line, column = _named_place(f"'{name}'", text)
    raise GrammarError(
        f"the terminal {name} is declared, but has no pattern",
        text=text,
        line=line,
        column=column,
        hint="define it; terminals made by a postlexer, such as indentation, are not supported",
    )
