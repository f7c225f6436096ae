r"""Assertions that may hold anywhere: look-around, anchors and `\b`, also inside repetitions.

The pattern is lowered with a *mark* in the place of each assertion: a byte that no text holds. For
each mark, one regular condition on the marked text says that the assertion holds wherever the mark
stands. Their intersection, with the marks erased, is the language:
`(?:a(?=b)|b)*` is erase((a1|b)* and not(anything 1 not(b anything))).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from re import _parser
from typing import Any, Protocol

from ..errors import LimitError
from .build import concat, union
from .charset import NEWLINE, Ranges, complement, escape_class
from .nodes import ALL_BYTES, MARK_BYTES, MARKS, And, ByteSet, Erase, Node, Not, Repeat

ANYTHING = Repeat(ByteSet(ALL_BYTES))
SILENCE = Repeat(ByteSet(MARKS))

# Until Python 3.14, `\B` did not match in the empty text.
_B_IN_EMPTY = re.search(r"\B", "") is not None


class Marks:
    """The marks of one text, and what they demand of it."""

    def __init__(self) -> None:
        self._marks: dict[Hashable, Node] = {}
        self._conditions: list[Node] = []

    def mark(self, key: Hashable, condition: Callable[[Node], Node]) -> Node:
        """The mark of the assertion `key`, whose condition on the text is made when it is new.

        Raises:
            LimitError: There are more assertions than marks.
        """
        if key not in self._marks:
            if len(self._marks) == len(MARK_BYTES):
                raise LimitError(f"more than {len(MARK_BYTES)} different assertions")
            mark = ByteSet(1 << MARK_BYTES[len(self._marks)])
            self._marks[key] = mark
            self._conditions.append(condition(mark))
        return self._marks[key]

    def enforce(self, text: Node) -> Node:
        """The words of `text` without marks, where each mark was in its place."""
        return Erase(And((text, *self._conditions))) if self._marks else text


class Loose(Protocol):
    """Lowers parts of a pattern to what they match in a marked text."""

    def one_of(self, ranges: Ranges) -> Node:
        """Any of these characters."""
        ...

    def seen(self, items: Sequence[tuple[Any, Any]], flags: int, direction: int) -> Node:
        """What the body of a look-around matches; of a look-ahead, to the end of the text."""
        ...


class Assertions:
    """Writes assertions as marks.

    Args:
        marks: Where they are kept.
        loose: Lowers the bodies of look-arounds.
        ecma: Whether the pattern is ECMAScript.
    """

    def __init__(self, marks: Marks, loose: Loose, ecma: bool) -> None:
        self._marks = marks
        self._loose = loose
        self._ecma = ecma

    def node(self, item: tuple[Any, Any], flags: int) -> Node:
        """The marks that stand for one assertion of Python's parser."""
        operation, argument = item
        if operation is _parser.AT:
            return self._anchor(str(argument), flags)
        direction, body = argument
        wanted = operation is _parser.ASSERT
        key = direction, flags, str(list(body))
        if direction > 0:
            return self._ahead(key, lambda: self._loose.seen(body, flags, direction), wanted)
        return self._behind(key, lambda: self._ends_with(self._loose.seen(body, flags, -1)), wanted)

    def _ahead(self, key: Hashable, after: Callable[[], Node], wanted: bool) -> Node:
        """The text from here to its end is (not) in `after`."""

        def condition(mark: Node) -> Node:
            wrong = Not(after()) if wanted else after()
            return Not(concat((ANYTHING, mark, wrong)))

        return self._marks.mark(("ahead", key, wanted), condition)

    def _behind(self, key: Hashable, before: Callable[[], Node], wanted: bool) -> Node:
        """The text up to here is (not) in `before`."""

        def condition(mark: Node) -> Node:
            wrong = Not(before()) if wanted else before()
            return Not(concat((wrong, mark, ANYTHING)))

        return self._marks.mark(("behind", key, wanted), condition)

    def _ends_with(self, last: Node) -> Node:
        # Characters, not bytes: the last byte of one may look like another.
        return concat((Repeat(self._loose.one_of(complement(()))), last, SILENCE))

    def _anchor(self, where: str, flags: int) -> Node:
        lines = bool(flags & re.MULTILINE)
        match where:
            case "AT_BEGINNING" if lines:
                return union((self._at_start(), self._next_to(-1, NEWLINE)))
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                return self._at_start()
            case "AT_END" if lines:
                return union((self._at_end(), self._next_to(1, NEWLINE)))
            case "AT_END" if not self._ecma:
                # Python's `$` also matches before a line end that ends the text.
                newline = self._loose.one_of(NEWLINE)
                last = self._ahead("last line", lambda: concat((newline, SILENCE)), True)
                return union((self._at_end(), last))
            case "AT_END" | "AT_END_STRING":
                return self._at_end()
        word = escape_class("w", ascii_only=bool(flags & re.ASCII))
        return self._boundary(word) if where == "AT_BOUNDARY" else self._no_boundary(word)

    def _at_start(self) -> Node:
        return self._behind("start", lambda: SILENCE, True)

    def _at_end(self) -> Node:
        return self._ahead("end", lambda: SILENCE, True)

    def _next_to(self, direction: int, ranges: Ranges, wanted: bool = True) -> Node:
        """The character before or after this place is (not) one of `ranges`."""
        character = self._loose.one_of(ranges)
        if direction > 0:
            return self._ahead(ranges, lambda: concat((character, ANYTHING)), wanted)
        return self._behind(ranges, lambda: self._ends_with(character), wanted)

    def _boundary(self, word: Ranges) -> Node:
        return union(
            concat((self._next_to(-1, word, before), self._next_to(1, word, not before)))
            for before in (True, False)
        )

    def _no_boundary(self, word: Ranges) -> Node:
        inside = concat((self._next_to(-1, word), self._next_to(1, word)))
        neither = [self._next_to(-1, word, False), self._next_to(1, word, False)]
        if _B_IN_EMPTY or self._ecma:
            return union((inside, concat(neither)))
        other = complement(word)
        begins = concat((neither[0], self._next_to(1, other)))
        ends = concat((self._next_to(-1, other), neither[1]))
        return union((inside, begins, ends))
