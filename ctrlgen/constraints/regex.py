r"""Regular expressions as grammar nodes.

Python's own parser reads the pattern; each of its operations becomes a node. Anchors and lookaheads
talk about the text after them, so what follows an item (its *tail*) is at hand while the item is
lowered: `x(?!y)z` is x followed by the intersection of z and the complement of "y and anything".
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from re import _parser
from typing import Any, TypeAlias

from ..errors import LimitError, RegexError
from .build import concat, copies, may_be_empty, union
from .charset import LAST, Ranges, complement, escape_class, fold_case, normalise
from .dialect import Rewritten, refusal, to_python
from .nodes import ALL_BYTES, EMPTY, NOTHING, And, ByteSet, Choice, Node, Not, Repeat, Seq
from .utf8 import utf8_class

Encoder: TypeAlias = Callable[[int, int], Node]
_Items: TypeAlias = Sequence[tuple[Any, Any]]  # (operation, argument) as Python's parser has them
_Start: TypeAlias = bool | None  # at the start of the text: yes, no, either

MAX_PATTERN = 65_536
MAX_OPERATIONS = 200_000
_ANYTHING = Repeat(ByteSet(ALL_BYTES))
_TYPE_FLAGS = re.ASCII | re.UNICODE
_CATEGORIES = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}
_NEWLINE = ((10, 10),)
_EVERYTHING = normalise([(0, LAST)])


def lower_regex(
    pattern: str,
    *,
    flags: int = 0,
    encoder: Encoder | None = None,
    search: bool = False,
    part: bool = False,
) -> Node:
    """The texts that match `pattern`.

    Args:
        pattern: A regular expression in Python's syntax.
        flags: Flags of `re`: IGNORECASE, DOTALL, MULTILINE, ASCII, VERBOSE.
        encoder: How the code points from first to last are written; UTF-8 when not given. No code
            point's spelling may be the beginning of another's.
        search: Read `pattern` as JSON Schema does: ECMAScript, matching anywhere in the text. The
            whole text must match otherwise.
        part: The matches are parts of a longer text, of which nothing is known: refuse anchors, and
            lookaheads that reach past the end of the pattern.

    Raises:
        RegexError: The pattern is invalid or not regular.
        LimitError: The pattern is too large.
    """
    lowering = _Lowering(pattern, flags, encoder, search)
    return lowering.search() if search else lowering.match(part)


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


class _Lowering:
    def __init__(self, pattern: str, flags: int, encoder: Encoder | None, ecma: bool) -> None:
        if len(pattern) > MAX_PATTERN:
            raise LimitError(f"a pattern of {len(pattern)} characters; {MAX_PATTERN} are allowed")
        self._ecma = ecma
        self._encoder = encoder
        self._source = to_python(pattern, ecma=ecma, dot_all=bool(flags & re.DOTALL))
        self._items = _parse(self._source, flags | (re.ASCII if ecma else 0))
        self._flags = int(self._items.state.flags)
        self._saw_begin = False
        self._operations = 0
        self._classes: dict[Ranges, Node] = {}
        self._nullable: dict[Node, bool] = {}

    def match(self, part: bool) -> Node:
        """The texts, or parts of texts, that match as a whole."""
        return self._guarded(None if part else True, _Tail(lambda start: EMPTY, known=not part))

    def search(self) -> Node:
        """The texts that match somewhere."""
        any_one = self._class(_EVERYTHING)
        anything = Repeat(any_one)
        tail = _Tail(lambda start: anything)
        first = self._guarded(True, tail)
        if not self._saw_begin:
            return concat((anything, first))
        later = self._guarded(False, tail)
        return union((first, concat((Repeat(any_one, 1), later))))

    def _guarded(self, start: _Start, tail: _Tail) -> Node:
        try:
            return self._sequence(self._items, self._flags, start, tail)
        except RecursionError:
            raise LimitError("the pattern nests its groups too deeply") from None

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
                return self._class(self._members(str(operation), argument, flags))
        raise refusal(str(operation), self._source)

    def _all_plain(self, items: _Items, flags: int) -> Node:
        return concat([self._plain(item, flags) for item in items])

    def _repeat(self, body: Node, least: int, most: int) -> Node:
        # Counting copies of what may be empty only bounds them from above.
        least = 0 if self._may_be_empty(body) else least
        return copies(body, least, None if most is _parser.MAXREPEAT else most)

    # Characters.

    def _members(self, operation: str, argument: Any, flags: int) -> Ranges:
        if operation == "ANY":
            return complement(() if flags & re.DOTALL else _NEWLINE)
        members = argument if operation == "IN" else [(_parser.LITERAL, argument)]
        negated = operation == "NOT_LITERAL"
        ranges: list[tuple[int, int]] = []
        for kind, value in members:
            if kind is _parser.NEGATE:
                negated = True
            elif kind is _parser.CATEGORY:
                ranges.extend(_category(value, flags))
            else:
                ranges.append(value if kind is _parser.RANGE else (value, value))
        found = normalise(ranges)
        if flags & re.IGNORECASE:
            found = fold_case(found, ascii_only=bool(flags & re.ASCII) and not self._ecma)
        return complement(found) if negated else found

    def _class(self, ranges: Ranges) -> Node:
        if self._encoder is None:
            return utf8_class(ranges) if ranges else NOTHING
        if ranges not in self._classes:
            self._classes[ranges] = union(self._encoder(first, last) for first, last in ranges)
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
        raise refusal(operation, self._source)

    def _anchor(self, where: str, flags: int, start: _Start, after: _Tail) -> Node:
        if where in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return self._begin(bool(flags & re.MULTILINE) and where == "AT_BEGINNING", start, after)
        if where not in ("AT_END", "AT_END_STRING"):
            raise refusal("AT", self._source)
        if not after.known:
            raise refusal("END", self._source)
        rest = after.after(start)
        newline = self._class(_NEWLINE)
        if flags & re.MULTILINE and where == "AT_END":
            return And((rest, Choice((EMPTY, Seq((newline, _ANYTHING))))))
        if where == "AT_END_STRING" or self._ecma or rest is EMPTY:
            return EMPTY if self._may_be_empty(rest) else NOTHING
        # Python's `$` also matches before a line end that ends the text.
        return And((rest, Choice((EMPTY, newline))))

    def _begin(self, any_line: bool, start: _Start, after: _Tail) -> Node:
        self._saw_begin = True
        if start:
            return after.after(True)
        if start is None or any_line:
            raise refusal("BEGIN", self._source)
        return NOTHING

    def _lookahead(
        self, item: tuple[Any, Any], rest: _Items, flags: int, start: _Start, tail: _Tail
    ) -> Node:
        operation, (direction, body) = item
        if direction < 0:
            raise refusal("BEHIND", self._source)
        ahead = self._sequence(body, flags, start, _Tail(lambda state: _ANYTHING))
        condition = ahead if operation is _parser.ASSERT else Not(ahead)
        size = self._window(body, rest)
        if size is None:
            if not tail.known:
                raise refusal("AHEAD", self._source)
            return And((self._sequence(rest, flags, start, tail), condition))
        # All that it can see is in these items, so they alone are constrained.
        seen = And((self._all_plain(rest[:size], flags), condition))
        state = self._advance(start, rest[:size])
        return concat((seen, self._sequence(rest[size:], flags, state, tail)))

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

    def _width(self, items: _Items) -> tuple[int, int]:
        least, most = _parser.SubPattern(self._items.state, list(items)).getwidth()
        return int(least), int(most)

    def _advance(self, start: _Start, items: _Items) -> _Start:
        if start is False or not items:
            return start
        least, most = self._width(items)
        return False if least else (start if most == 0 else None)

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


def _scoped(flags: int, group: tuple[int | None, int, int, Any]) -> int:
    """The flags inside a group like `(?i-s:...)`."""
    _, added, removed, _ = group
    kept = flags & ~_TYPE_FLAGS if added & _TYPE_FLAGS else flags
    return (kept | added) & ~removed


def _category(value: Any, flags: int) -> Iterable[tuple[int, int]]:
    """The members of a category such as `CATEGORY_NOT_SPACE`."""
    name = str(value).removeprefix("CATEGORY_")
    letter = _CATEGORIES[name.removeprefix("NOT_")]
    letter = letter.upper() if name.startswith("NOT_") else letter
    return escape_class(letter, ascii_only=bool(flags & re.ASCII))
