r"""Regular expressions as grammar nodes.

Python's own parser reads the pattern; each of its operations becomes a node. Anchors and lookaheads
talk about the text after them, so what follows an item (its *tail*) is at hand while the item is
lowered: `x(?!y)z` is x followed by the intersection of z and the complement of "y and anything".
Where the tail is not known, as in a repetition, and for what looks back, there are marks
(`regex_marks.py`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from re import _parser
from typing import Any, TypeAlias, TypeVar

from ..errors import LimitError, RegexError
from .build import concat, copies, is_prefix_free, may_be_empty, union
from .charset import NEWLINE, Ranges, complement
from .dialect import Rewritten, refusal, to_python
from .nodes import EMPTY, NOTHING, And, Choice, Node, Not, Repeat, Seq
from .regex_atomic import Release
from .regex_characters import members
from .regex_lazy import stop_early
from .regex_marks import ANYTHING, SILENCE, Assertions, Marks
from .utf8 import utf8_class

Encoder: TypeAlias = Callable[[int, int], Node]
_Items: TypeAlias = Sequence[tuple[Any, Any]]  # (operation, argument) as Python's parser has them
_Made = TypeVar("_Made")
_Start: TypeAlias = bool | None  # at the start of the text: yes, no, either

MAX_PATTERN = 65_536
MAX_OPERATIONS = 200_000
_TYPE_FLAGS = re.ASCII | re.UNICODE
_ANCHORS = {
    "AT_BEGINNING": "BEGIN",
    "AT_BEGINNING_STRING": "BEGIN",
    "AT_END": "END",
    "AT_END_STRING": "END",
}
_EVERYTHING = complement(())


def lower_regex(
    pattern: str,
    *,
    flags: int = 0,
    encoder: Encoder | None = None,
    search: bool = False,
    part: bool = False,
    marks: Marks | None = None,
    shortest: bool = False,
) -> Node:
    """The texts that match `pattern`.

    Args:
        pattern: A regular expression in Python's syntax.
        flags: Flags of `re`: IGNORECASE, DOTALL, MULTILINE, ASCII, VERBOSE.
        encoder: How the code points from first to last are written; UTF-8 when not given. No code
            point's spelling may be the beginning of another's.
        search: Read `pattern` as JSON Schema does: ECMAScript, matching anywhere in the text. The
            whole text must match otherwise.
        part: The matches are parts of a longer text, of which nothing is known. Anchors, and
            what looks past the ends of the pattern, need `marks` then.
        marks: Where a part keeps such assertions, for the whole text to enforce.
        shortest: Lazy quantifiers stop at the first chance, as in a lexer.

    Raises:
        RegexError: The pattern is invalid or not regular.
        LimitError: The pattern is too large.
    """
    lowering = _Lowering(pattern, flags, encoder, search, shortest)
    if part:
        return lowering.part(marks)
    return lowering.search() if search else lowering.match()


def any_char_string(encoder: Encoder | None = None) -> Node:
    """Every text, each of its code points written by `encoder` (UTF-8 when not given)."""
    if encoder is None:
        return Repeat(utf8_class(_EVERYTHING))
    return Repeat(union(encoder(first, last) for first, last in _EVERYTHING))


@dataclass(frozen=True, slots=True)
class _Tail:
    """What follows a sequence up to the end of the text.

    Args:
        after: The node that follows, by whether it begins at the start of the text.
        known: False in a repetition, whose tail depends on the iteration, and where the pattern is
            for a part of a text.
    """

    after: Callable[[_Start], Node]
    known: bool = True


class _Beyond(Exception):
    """An assertion, by its name among the refusals, about text that is not at hand."""


class _Lowering:
    def __init__(
        self, pattern: str, flags: int, encoder: Encoder | None, ecma: bool, shortest: bool
    ) -> None:
        if len(pattern) > MAX_PATTERN:
            raise LimitError(f"a pattern of {len(pattern)} characters; {MAX_PATTERN} are allowed")
        self._ecma = ecma
        self._encoder = encoder
        self._source = to_python(pattern, ecma=ecma, dot_all=bool(flags & re.DOTALL))
        self._saw_begin = False
        self._operations = 0
        self._silence: Node = EMPTY
        self._assertions: Assertions | None = None
        self._classes: dict[Ranges, Node] = {}
        self._nullable: dict[Node, bool] = {}
        items = _parse(self._source, flags | (re.ASCII if ecma else 0))
        if shortest:
            items = stop_early(items)
        self._state = items.state
        self._flags = int(items.state.flags)
        release = Release(self._state, self._is_prefix_free, self._refusal, _scoped)
        self._items = self._guarded(lambda: release(items, self._flags))

    def match(self) -> Node:
        """The texts that match as a whole."""
        tail = _Tail(lambda start: EMPTY)
        return self._by_tails(
            lambda: self._sequence(self._items, self._flags, True, tail),
            lambda: self._by_marks(self._items, self._flags),
        )

    def part(self, marks: Marks | None) -> Node:
        """The parts of texts that match."""
        tail = _Tail(lambda start: EMPTY, known=False)

        def marked() -> Node:
            if self._sees_itself_only(self._items, 0, 0):
                return self._by_marks(self._items, self._flags)
            if marks is None:
                return self._sequence(self._items, self._flags, None, tail)
            return self._marked(marks)._all_plain(self._items, self._flags)

        return self._by_tails(lambda: self._sequence(self._items, self._flags, None, tail), marked)

    def search(self) -> Node:
        """The texts that match somewhere."""
        any_one = self._class(_EVERYTHING)
        anything = Repeat(any_one)
        return self._by_tails(
            lambda: self._search(any_one),
            lambda: self._by_marks(self._items, self._flags, anything, anything),
        )

    def _search(self, any_one: Node) -> Node:
        anything = Repeat(any_one)
        tail = _Tail(lambda start: anything)
        first = self._sequence(self._items, self._flags, True, tail)
        if not self._saw_begin:
            return concat((anything, first))
        later = self._sequence(self._items, self._flags, False, tail)
        return union((first, concat((Repeat(any_one, 1), later))))

    def _by_tails(self, tails: Callable[[], Node], marks: Callable[[], Node]) -> Node:
        """What `tails` makes, or `marks` where the tails do not say enough."""
        try:
            return self._guarded(tails)
        except _Beyond:
            pass
        try:
            return self._guarded(marks)
        except _Beyond as beyond:
            raise self._refusal(str(beyond)) from None

    def _guarded(self, make: Callable[[], _Made]) -> _Made:
        try:
            return make()
        except RecursionError:
            raise LimitError("the pattern nests its groups too deeply") from None

    def _refusal(self, what: str) -> RegexError:
        return refusal(what, self._source)

    # With marks, every item is lowered by itself.

    def _by_marks(
        self, items: _Items, flags: int, before: Node = EMPTY, after: Node = EMPTY
    ) -> Node:
        marks = Marks()
        text = self._marked(marks)._all_plain(items, flags)
        return marks.enforce(concat((before, text, after)))

    def _marked(self, marks: Marks) -> _Lowering:
        """The same pattern with its assertions in `marks`."""
        loose = self._variant()
        loose._silence = SILENCE
        marked = self._variant()
        marked._assertions = Assertions(marks, loose, self._ecma)
        return marked

    def _variant(self) -> _Lowering:
        variant = copy(self)
        variant._classes = {}
        variant._assertions = None
        return variant

    def one_of(self, ranges: Ranges) -> Node:
        """Any of these characters."""
        return self._class(ranges)

    def seen(self, items: _Items, flags: int, direction: int) -> Node:
        """What the body of a look-around matches; of a look-ahead, to the end of the text."""
        if direction > 0:
            return self._sequence(items, flags, None, _Tail(lambda start: ANYTHING))
        return self._all_plain(items, flags)

    # What has no anchor or lookahead below is lowered by itself, the rest together with its tail.

    def _sequence(self, items: _Items, flags: int, start: _Start, tail: _Tail) -> Node:
        for index, item in enumerate(items):
            if _asserts(item):
                before = items[:index]
                parts = [self._plain(each, flags) for each in before]
                state = self._advance(start, before)
                parts.append(self._asserting(item, items[index + 1 :], flags, state, tail))
                return concat(parts)
        parts = [self._plain(each, flags) for each in items]
        return concat([*parts, tail.after(self._advance(start, items))])

    def _plain(self, item: tuple[Any, Any], flags: int) -> Node:
        self._count()
        operation, argument = item
        match str(operation):
            case "SUBPATTERN":
                return self._all_plain(argument[3], _scoped(flags, argument))
            case "BRANCH":
                return union(self._all_plain(branch, flags) for branch in argument[1])
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, body = argument
                return self._repeat(self._all_plain(body, flags), least, most)
            case "FAILURE":
                return NOTHING
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return self._class(members(str(operation), argument, flags, ecma=self._ecma))
            case "AT" | "ASSERT" | "ASSERT_NOT":
                if self._assertions is None:
                    raise _Beyond(_kind(item))
                return self._assertions.node(item, flags)
        raise self._refusal(str(operation))

    def _all_plain(self, items: _Items, flags: int) -> Node:
        return concat([self._plain(item, flags) for item in items])

    def _repeat(self, body: Node, least: int, most: int) -> Node:
        # Counting copies of what may be empty only bounds them from above.
        least = 0 if self._may_be_empty(body) else least
        return copies(body, least, None if most is _parser.MAXREPEAT else most)

    # Characters.

    def _class(self, ranges: Ranges) -> Node:
        if self._encoder is None and self._silence is EMPTY:
            return utf8_class(ranges) if ranges else NOTHING
        if ranges not in self._classes:
            if self._encoder is not None:
                node = union(self._encoder(first, last) for first, last in ranges)
            else:
                node = utf8_class(ranges) if ranges else NOTHING
            self._classes[ranges] = concat((self._silence, node))
        return self._classes[ranges]

    # Anchors and lookaheads, and the items that hold them.

    def _asserting(
        self, item: tuple[Any, Any], rest: _Items, flags: int, start: _Start, tail: _Tail
    ) -> Node:
        self._count()
        after = _Tail(cache(lambda state: self._sequence(rest, flags, state, tail)), tail.known)
        operation, argument = str(item[0]), item[1]
        match operation:
            case "AT":
                return self._anchor(str(argument), flags, start, after)
            case "ASSERT" | "ASSERT_NOT":
                return self._lookahead(item, rest, flags, start, tail)
            case "SUBPATTERN":
                return self._sequence(argument[3], _scoped(flags, argument), start, after)
            case "BRANCH":
                branches = [self._sequence(each, flags, start, after) for each in argument[1]]
                return union(branches)
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._asserting_repeat(item, flags, start, after)
        raise self._refusal(operation)

    def _anchor(self, where: str, flags: int, start: _Start, after: _Tail) -> Node:
        if where in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return self._begin(bool(flags & re.MULTILINE) and where == "AT_BEGINNING", start, after)
        if where not in ("AT_END", "AT_END_STRING"):
            raise _Beyond("AT")
        if not after.known:
            raise _Beyond("END")
        rest = after.after(start)
        newline = self._class(NEWLINE)
        if flags & re.MULTILINE and where == "AT_END":
            return And((rest, Choice((EMPTY, Seq((newline, ANYTHING))))))
        if where == "AT_END_STRING" or self._ecma or rest is EMPTY:
            return EMPTY if self._may_be_empty(rest) else NOTHING
        # Python's `$` also matches before a line end that ends the text.
        return And((rest, Choice((EMPTY, newline))))

    def _begin(self, any_line: bool, start: _Start, after: _Tail) -> Node:
        self._saw_begin = True
        if start:
            return after.after(True)
        if start is None or any_line:
            raise _Beyond("BEGIN")
        return NOTHING

    def _lookahead(
        self, item: tuple[Any, Any], rest: _Items, flags: int, start: _Start, tail: _Tail
    ) -> Node:
        operation, (direction, body) = item
        if direction < 0:
            raise _Beyond("BEHIND")
        ahead = self._ahead(body, flags, start)
        condition = ahead if operation is _parser.ASSERT else Not(ahead)
        size = self._window(body, rest)
        if size is None:
            if not tail.known:
                raise _Beyond("AHEAD")
            return And((self._sequence(rest, flags, start, tail), condition))
        # All that it can see is in these items, so they alone are constrained.
        seen = And((self._all_plain(rest[:size], flags), condition))
        state = self._advance(start, rest[:size])
        return concat((seen, self._sequence(rest[size:], flags, state, tail)))

    def _ahead(self, body: _Items, flags: int, start: _Start) -> Node:
        try:
            return self._sequence(body, flags, start, _Tail(lambda state: ANYTHING))
        except _Beyond:
            if not start:
                raise
        # From the start of the text, the body sees all that is behind it too.
        self._saw_begin = True
        return self._by_marks(body, flags, after=ANYTHING)

    def _window(self, body: _Items, rest: _Items) -> int | None:
        """How many items of `rest` are sure to hold all that the lookahead `body` can see."""
        if any(map(_asserts, body)):
            return None
        _, reach = self._width(body)
        for size in range(len(rest) + 1):
            if size and _asserts(rest[size - 1]):
                return None
            if self._width(rest[:size])[0] >= reach:
                return size
        return None

    def _asserting_repeat(
        self, item: tuple[Any, Any], flags: int, start: _Start, after: _Tail
    ) -> Node:
        least, most, body = item[1]
        if most == 1:
            once = self._sequence(body, flags, start, after)
            return once if least else union((once, after.after(start)))
        inside = None if start else start
        one = self._sequence(body, flags, inside, _Tail(lambda state: EMPTY, known=False))
        return concat((self._repeat(one, least, most), after.after(self._advance(start, [item]))))

    # Facts about items and nodes.

    def _sees_itself_only(self, items: _Items, before: int, after: int) -> bool:
        """Whether no assertion looks past the pattern, given the fewest characters around it."""
        for index, (operation, argument) in enumerate(items):
            left = before + self._width(items[:index])[0]
            right = after + self._width(items[index + 1 :])[0]
            match str(operation):
                case "AT":
                    seen = _kind((operation, argument)) == "AT" and left > 0 and right > 0
                case "ASSERT" | "ASSERT_NOT":
                    direction, body = argument
                    room = right if direction > 0 else left
                    seen = not any(map(_asserts, body)) and self._width(body)[1] <= room
                case "SUBPATTERN":
                    seen = self._sees_itself_only(argument[3], left, right)
                case "BRANCH":
                    seen = all(self._sees_itself_only(each, left, right) for each in argument[1])
                case "MAX_REPEAT" | "MIN_REPEAT":
                    seen = self._sees_itself_only(argument[2], left, right)
                case _:
                    seen = True
            if not seen:
                return False
        return True

    def _width(self, items: _Items) -> tuple[int, int]:
        least, most = _parser.SubPattern(self._state, list(items)).getwidth()
        return int(least), int(most)

    def _advance(self, start: _Start, items: _Items) -> _Start:
        if start is False or not items:
            return start
        least, most = self._width(items)
        return False if least else (start if most == 0 else None)

    def _is_prefix_free(self, items: _Items, flags: int) -> bool:
        if any(map(_asserts, items)):
            return False
        least, most = self._width(items)
        if least == most:
            return True
        return is_prefix_free(self._all_plain(items, flags))

    def _may_be_empty(self, node: Node) -> bool:
        return may_be_empty(node, self._nullable)

    def _count(self) -> None:
        self._operations += 1
        if self._operations > MAX_OPERATIONS:
            raise LimitError(f"a pattern of more than {MAX_OPERATIONS} operations")


def _parse(source: Rewritten, flags: int) -> Any:
    try:
        with warnings.catch_warnings():
            # Python warns of brackets in classes that may mean something in the future.
            warnings.simplefilter("ignore", FutureWarning)
            return _parser.parse(source.text, flags)
    except re.error as error:
        raise RegexError(
            f"invalid regular expression: {error.msg}",
            pattern=source.source,
            position=source.origin(error.pos or 0),
        ) from None
    except (OverflowError, RecursionError) as error:
        raise LimitError(f"the pattern is too large: {error}") from None
    except ValueError as error:
        raise RegexError(f"invalid flags: {error}", pattern=source.source) from None


def _asserts(item: tuple[Any, Any]) -> bool:
    """Whether an anchor or a lookahead is in `item`."""
    operation, argument = item
    match str(operation):
        case "AT" | "ASSERT" | "ASSERT_NOT":
            return True
        case "SUBPATTERN":
            return any(map(_asserts, argument[3]))
        case "BRANCH":
            return any(_asserts(each) for branch in argument[1] for each in branch)
        case "MAX_REPEAT" | "MIN_REPEAT":
            return any(map(_asserts, argument[2]))
    return False


def _kind(item: tuple[Any, Any]) -> str:
    """The name of an assertion among the refusals."""
    operation, argument = item
    if operation is _parser.AT:
        return _ANCHORS.get(str(argument), "AT")
    return "AHEAD" if argument[0] > 0 else "BEHIND"


def _scoped(flags: int, group: tuple[int | None, int, int, Any]) -> int:
    """The flags inside a group like `(?i-s:...)`."""
    _, added, removed, _ = group
    kept = flags & ~_TYPE_FLAGS if added & _TYPE_FLAGS else flags
    return (kept | added) & ~removed
