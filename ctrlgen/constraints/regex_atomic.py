"""Atomic groups and possessive quantifiers in terms of lookahead.

They keep the first match that is found and never try another. Where the parts are *prefix-free* (no
match begins another match) that choice can be told from what follows: `[^,]*+` is `[^,]*(?![^,])`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from re import _parser
from typing import Any, TypeAlias

Item: TypeAlias = tuple[Any, Any]
Items: TypeAlias = Sequence[Item]


class Release:
    """Rewrites the items of Python's parser.

    Args:
        state: Of the parser.
        is_prefix_free: Whether no match of these items, under these flags, begins another.
        refuse: The error for an operation that cannot be rewritten.
        scoped: The flags inside a group.
    """

    def __init__(
        self,
        state: Any,
        is_prefix_free: Callable[[Items, int], bool],
        refuse: Callable[[str], Exception],
        scoped: Callable[[int, Any], int],
    ) -> None:
        self._state = state
        self._is_prefix_free = is_prefix_free
        self._refuse = refuse
        self._scoped = scoped

    def __call__(self, items: Items, flags: int) -> Any:
        """Equivalent items without atomic groups and possessive quantifiers."""
        return self._pattern([new for item in items for new in self._item(item, flags)])

    def _pattern(self, items: Items) -> Any:
        return _parser.SubPattern(self._state, list(items))

    def _item(self, item: Item, flags: int) -> Items:
        operation, argument = item
        match str(operation):
            case "SUBPATTERN":
                group, added, removed, body = argument
                body = self(body, self._scoped(flags, argument))
                return [(operation, (group, added, removed, body))]
            case "BRANCH":
                return [(operation, (None, [self(each, flags) for each in argument[1]]))]
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, body = argument
                return [(operation, (least, most, self(body, flags)))]
            case "ASSERT" | "ASSERT_NOT":
                return [(operation, (argument[0], self(argument[1], flags)))]
            case "POSSESSIVE_REPEAT":
                least, most, body = argument
                return self._possessive(least, most, self(body, flags), flags)
            case "ATOMIC_GROUP":
                return self._atomic(list(self(argument, flags)), flags)
        return [item]

    def _possessive(self, least: int, most: Any, body: Any, flags: int) -> Items:
        if not self._is_prefix_free(body, flags):
            raise self._refuse("POSSESSIVE_REPEAT")
        if least == most or not body.getwidth()[1]:
            return [self._copies(least, most, body)]
        stop = _parser.ASSERT_NOT, (1, body)
        if most is _parser.MAXREPEAT:
            return [self._copies(least, most, body), stop]
        fewer = self._pattern([self._copies(least, most - 1, body), stop])
        return [(_parser.BRANCH, (None, [self._pattern([self._copies(most, most, body)]), fewer]))]

    def _copies(self, least: int, most: Any, body: Any) -> Item:
        return _parser.MAX_REPEAT, (least, most, body)

    def _atomic(self, items: list[Item], flags: int) -> Items:
        for index, item in enumerate(items):
            if not self._is_prefix_free([item], flags):
                if index + 1 < len(items):
                    raise self._refuse("ATOMIC_GROUP")
                return [*items[:index], *self._last(item, flags)]
        return items

    def _last(self, item: Item, flags: int) -> Items:
        """An atomic group of one item."""
        operation, argument = item
        match str(operation):
            case "SUBPATTERN":
                group, added, removed, body = argument
                inner = self._atomic(list(body), self._scoped(flags, argument))
                return [(operation, (group, added, removed, self._pattern(inner)))]
            case "BRANCH":
                return [(operation, (None, self._first_of(argument[1], flags)))]
            case "MAX_REPEAT":
                least, most, body = argument
                return self._possessive(least, most, body, flags)
            case "MIN_REPEAT":
                return self._possessive(argument[0], argument[0], argument[2], flags)
        raise self._refuse("ATOMIC_GROUP")

    def _first_of(self, branches: list[Any], flags: int) -> list[Any]:
        """Alternatives that hold where no earlier one does."""
        found = []
        for index, branch in enumerate(branches):
            earlier = [(_parser.ASSERT_NOT, (1, each)) for each in branches[:index]]
            found.append(self._pattern([*earlier, *self._atomic(list(branch), flags)]))
        return found
