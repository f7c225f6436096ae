"""Lark grammars as grammar nodes; lark itself reads them.

The language is that of the context-free grammar over the languages of its terminals, as lark's
Earley parser with `lexer="dynamic_complete"` accepts it. Terminals compete nowhere: priorities and
the longest match change which tree or token lark prefers, not what is a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

import lark
from lark.exceptions import LarkError, UnexpectedInput

from ..errors import GrammarError, LimitError, UnsatisfiableError
from .build import concat, copies, is_prefix_free, union
from .grammar_text import line_and_column, require_text
from .left_recursion import Productions, Rules, Symbol
from .nodes import EMPTY, NOTHING, ByteSet, Grammar, Node
from .terminals import Terminals

Words: TypeAlias = dict[str, list[Sequence[lark.grammar.Symbol]]]
Ignore: TypeAlias = Literal["none", "single", "any"]

_WHITE = " \t\n\r\f\v"
# Where lark's messages say what is wrong, if the exception does not.
_PLACE = re.compile(r"(?:,? at )?\bline (\d+),? col(?:umn)? (\d+)")
_NAME = re.compile(r"'(\w+)'|defined: (\w+)")


def lower_lark(text: str, *, start: str = "start", ignore: Ignore = "single") -> Grammar:
    """The grammar that `text` describes.

    Args:
        text: A grammar in lark's language, imports from `common` and templates included.
        start: The rule to begin with.
        ignore: How much `%ignore`d text may stand before, between and after tokens. `single` allows
            one ignored token, of one character if it can be white space, so that no answer is lost
            in blanks, and only of a kind that has no longer form, as a comment to the end of the
            line has. `any` allows any number of any ignored tokens. `none` allows none.

    Raises:
        GrammarError: The grammar is invalid, or a terminal is not regular.
        UnsatisfiableError: The rule `start` has no finite word.
        LimitError: The grammar is too large.
    """
    try:
        return _lowered(_read(text, start), text, start, ignore)
    except RecursionError as error:
        raise LimitError("the grammar nests its groups too deeply") from error


def _lowered(parser: lark.Lark, text: str, start: str, ignore: Ignore) -> Grammar:
    words = _words(parser, start)
    used = {each.name for rule in words.values() for word in rule for each in word if each.is_term}
    _require_patterns(parser, used, text)
    used.update(parser.ignore_tokens)
    terminals = Terminals((each for each in parser.terminals if each.name in used), text)
    gap = _gap(parser, terminals.nodes, ignore)
    rules = Rules(_productions(words, terminals.nodes, gap))
    root = rules.all_words(start)
    if root is NOTHING:
        raise UnsatisfiableError(f"the rule {start!r} has no finite word")
    return Grammar(terminals.marks.enforce(concat((gap, root))), rules.nodes)


def _read(text: str, start: str) -> lark.Lark:
    """Let lark read the grammar; its parser is not used."""
    require_text(text)
    try:
        return lark.Lark(text, start=start, parser="earley", lexer="dynamic_complete")
    except UnexpectedInput as error:
        raise _error(str(error), text, error.line, error.column) from None
    except OSError as error:
        raise _not_imported(str(error.filename), text) from None
    except LarkError as error:
        message = str(error.args[0])
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


def _not_imported(file: str, text: str) -> GrammarError:
    stem = re.escape(file.rpartition("/")[2].removesuffix(".lark"))
    found = re.search(rf"^%import\s+\.?(?:\w+\.)*{stem}\b", text, re.MULTILINE)
    line, column = line_and_column(text, found.start()) if found else (0, 0)
    return GrammarError(
        f"{file!r} cannot be imported",
        text=text,
        line=line,
        column=column,
        hint="lark's own grammars can, such as common; copy other rules into this one",
    )


def _named_place(message: str, text: str) -> tuple[int, int]:
    """Line and column of the last use of a name in lark's message, (0, 0) if it has none."""
    for match in _NAME.finditer(message):
        uses = list(re.finditer(rf"\b{re.escape(match[1] or match[2])}\b", text))
        if uses:
            return line_and_column(text, uses[-1].start())
    return 0, 0


def _gap(parser: lark.Lark, terminals: dict[str, Node], ignore: Ignore) -> Node:
    """What may stand between two tokens."""
    if ignore == "none" or not parser.ignore_tokens:
        return EMPTY
    if ignore == "any":
        return copies(union(terminals[name] for name in parser.ignore_tokens), 0, None)
    patterns = {each.name: each.pattern.to_regexp() for each in parser.terminals}
    short: list[Node] = []
    for name in parser.ignore_tokens:
        white = _white(patterns[name])
        if white is not None:
            short.append(white)
        elif is_prefix_free(terminals[name]):
            # Lark ignores the longest match only: a comment that ends with its line has to.
            short.append(terminals[name])
    return copies(union(short), 0, 1)


def _white(pattern: str) -> Node | None:
    """The single white space characters that match `pattern`, if any do."""
    members = [ord(character) for character in _WHITE if re.fullmatch(pattern, character)]
    return ByteSet(sum(1 << member for member in members)) if members else None


def _words(parser: lark.Lark, start: str) -> Words:
    """The alternatives of each rule that the first one leads to."""
    every: Words = {}
    for rule in parser.rules:
        every.setdefault(str(rule.origin.name), []).append(rule.expansion)
    found: Words = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = every.get(name, [])
            inner = (each for word in found[name] for each in word if not each.is_term)
            waiting.extend(str(each.name) for each in inner)
    return found


def _require_patterns(parser: lark.Lark, used: set[str], text: str) -> None:
    """Refuses terminals that only a postlexer makes."""
    for name in sorted(used - {each.name for each in parser.terminals}):
        line, column = _named_place(f"'{name}'", text)
        raise GrammarError(
            f"the terminal {name} is declared, but has no pattern",
            text=text,
            line=line,
            column=column,
            hint="define it; terminals made by a postlexer, such as indentation, are not supported",
        )


def _productions(words: Words, terminals: dict[str, Node], gap: Node) -> Productions:
    # Ignored text follows each token: no choice between tokens has to wait for it.
    tokens = {name: concat((node, gap)) for name, node in terminals.items()}

    def symbol(each: lark.grammar.Symbol) -> Symbol:
        return tokens[str(each.name)] if each.is_term else str(each.name)

    return {name: [tuple(map(symbol, word)) for word in rule] for name, rule in words.items()}
