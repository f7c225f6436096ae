r"""Lazy quantifiers where they matter: in the tokens of a lexer.

Whether a whole text matches does not depend on them. But a lexer stops at its first match: for it
`".*?"` is `"(?:(?!").)*"`, a repetition that ends as soon as what follows it can begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from re import _parser
from typing import Any, TypeAlias

Item: TypeAlias = tuple[Any, Any]
Items: TypeAlias = Sequence[Item]


def stop_early(items: Any, after: Items = ()) -> Any:
    """Equivalent items of Python's parser without lazy quantifiers.

    Args:
        items: A pattern as the parser has it.
        after: What follows it in a larger pattern.
    """
    state = items.state
    found: list[Item] = []
    for index, (operation, argument) in enumerate(items):
        rest = [*items[index + 1 :], *after]
        if str(operation) == "MIN_REPEAT":
            found += _lazy(state, argument, rest)
        else:
            found.append((operation, _below(str(operation), argument, rest)))
    return _parser.SubPattern(state, found)


def _below(operation: str, argument: Any, rest: Items) -> Any:
    match operation:
        case "SUBPATTERN":
            return (*argument[:3], stop_early(argument[3], rest))
        case "BRANCH":
            return None, [stop_early(branch, rest) for branch in argument[1]]
        case "MAX_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, body = argument
            return least, most, stop_early(body, _again(body, rest))
        case "ASSERT" | "ASSERT_NOT":
            return argument[0], stop_early(argument[1])
        case "ATOMIC_GROUP":
            return stop_early(argument)
    return argument


def _again(body: Any, rest: Items) -> Items:
    """What may follow one round of a repetition: another one, or what is behind all of them."""
    return [(_parser.BRANCH, (None, [body, _parser.SubPattern(body.state, list(rest))]))]


def _lazy(state: Any, argument: tuple[int, Any, Any], rest: Items) -> list[Item]:
    least, most, body = argument
    body = stop_early(body, _again(body, rest))
    needed = [(_parser.MAX_REPEAT, (least, least, body))] if least else []
    closing = _closing(state, rest)
    if not closing or most == least:
        return needed  # nothing asks it to go on
    further = most if most is _parser.MAXREPEAT else most - least
    stop = _parser.ASSERT_NOT, (1, _parser.SubPattern(state, closing))
    on = _parser.SubPattern(state, [stop, *body])
    return [*needed, (_parser.MAX_REPEAT, (0, further, on))]


def _closing(state: Any, rest: Items) -> list[Item]:
    """`rest` without the end that may be empty, as that has no say in whether it matches."""
    size = len(rest)
    while size and not _parser.SubPattern(state, [rest[size - 1]]).getwidth()[0]:
        size -= 1
    return list(rest[:size])
