"""Arrays: `items`, `prefixItems`, their number, `contains`, and `uniqueItems` where finite."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

from ctrlgen.constraints.json_text import any_of
from ctrlgen.constraints.nodes import EMPTY, NOTHING, Bytes, Node, Record, Seq, optional
from ctrlgen.constraints.schema_branches import Contains, Row
from ctrlgen.constraints.schema_conjoin import conjoin, negation
from ctrlgen.constraints.schema_document import Schema
from ctrlgen.constraints.schema_refusals import Refusals
from ctrlgen.constraints.schema_style import Style
from ctrlgen.constraints.schema_values import EMPTY_VALUE, STRUCTURE, Lower, Value
from ctrlgen.errors import LimitError

MAX_PREFIX = 1024
MAX_DISTINCT = 256
MAX_CONTAINS = 3


class Arrays:
    """Lowers the array part of branches.

    Args:
        lower: Lowers the schema of an item.
        finite: The values of a schema, if they are finitely many.
        style: The layout.
        refusals: Told of what cannot be guaranteed.
    """

    def __init__(
        self,
        lower: Lower,
        finite: Callable[[Schema], list[Any] | None],
        style: Style,
        refusals: Refusals,
    ) -> None:
        self._lower = lower
        self._finite = finite
        self._style = style
        self._refusals = refusals

    def value(self, keywords: dict[str, Any], name: str) -> Value:
        """The arrays that `keywords` allow.

        Raises:
            SchemaError: A keyword cannot be guaranteed.
            LimitError: There are too many prefix items.
        """
        rows: list[Row] = keywords.get("arrays", [])
        least, most = keywords.get("minItems", 0), keywords.get("maxItems")
        counted = [c for c in keywords.get("contains", ()) if c.least or c.most is not None]
        if keywords.get("repeated"):
            self._refusals.refuse("items that are not unique", "uniqueItems")
            least = max(least, 2)
        size = max((len(row.prefix) for row in rows), default=0)
        if keywords.get("uniqueItems") and (most is None or most > 1):
            values = self._distinct_values(rows, size)
            if values is not None and not counted:
                return self._distinct(values, least, most)
            self._refusals.refuse(
                "uniqueItems cannot be guaranteed unless the items are finitely many",
                "uniqueItems",
                "use an enum for the items, or drop uniqueItems",
            )
        if len(counted) > MAX_CONTAINS:
            self._refusals.refuse(f"more than {MAX_CONTAINS} contains", "contains")
            counted = counted[:MAX_CONTAINS]
        if counted:
            size = max(size, *(c.start for c in counted))
            return _Counted(self._lower, self._style, rows, counted, size).value(least, most, name)
        return self._plain(rows, size, least, most, name)

    def _distinct_values(self, rows: list[Row], size: int) -> list[Any] | None:
        return None if size else self._finite(conjoin(row.item(0) for row in rows))

    def _plain(self, rows: list[Row], size: int, least: int, most: int | None, name: str) -> Value:
        room = size if most is None else min(most, size)
        prefix: list[Value] = []
        for i in range(room):
            value = self._lower(conjoin(row.item(i) for row in rows), f"{name}/{i}")
            if value.node is NOTHING:
                most = room = i
                break
            prefix.append(value)
        more = most is None or most > room
        rest = self._lower(conjoin(row.item(size) for row in rows), name) if more else EMPTY_VALUE
        if rest.node is NOTHING:
            most = room
        if most is not None and least > most:
            return EMPTY_VALUE
        parts = prefix if most == room else [*prefix, rest]
        if any(part.kind == STRUCTURE for part in parts):
            nodes, kind = [part.slotted(name) for part in parts], STRUCTURE
        else:
            nodes, kind = [part.node for part in parts], "array"
        nodes = [self._style.padded(node) for node in nodes]
        body = self._body(nodes[:room], nodes[room] if len(nodes) > room else NOTHING, least, most)
        return Value(self._style.enclosed("[]", body, not least), kind)

    def _body(self, prefix: list[Node], rest: Node, least: int, most: int | None) -> Node:
        """What stands between the brackets; `rest` follows a whole prefix."""
        size = len(prefix)
        if not size:
            return EMPTY if most == 0 else self._style.repeated(rest, least, most)
        if size > MAX_PREFIX:
            raise LimitError(f"more than {MAX_PREFIX} prefixItems")
        comma = Bytes(self._style.comma)
        parts: list[Node] = [Seq((comma, item)) if i else item for i, item in enumerate(prefix)]
        tail: Node = EMPTY
        if most != size:
            further = self._style.repeated(
                rest, max(1, least - size), None if most is None else most - size
            )
            tail = Seq((comma, further))
            tail = tail if least > size else optional(tail)
        for part in reversed(parts[least:]):
            tail = optional(Seq((part, tail)))
        return Seq((*parts[:least], tail))

    def _distinct(self, values: list[Any], least: int, most: int | None) -> Value:
        """Arrays of `least` to `most` of these values, none of them twice."""
        if len(values) > MAX_DISTINCT:
            raise LimitError(f"uniqueItems over more than {MAX_DISTINCT} values")
        most = len(values) if most is None else min(most, len(values))
        if least > most:
            return EMPTY_VALUE
        if not most:
            return Value(self._style.enclosed("[]", EMPTY), "array")
        count = len(values)
        body = Record(
            tuple(self._style.padded(self._style.literal(value)) for value in values),
            (True,) * count,
            (False,) * count,
            ((0,),) * count,
            (least,),
            (most,),
            self._style.comma,
        )
        return Value(self._style.enclosed("[]", body, not least), "array")


class _Counted:
    """Arrays whose items are counted by what they satisfy."""

    def __init__(
        self, lower: Lower, style: Style, rows: list[Row], counted: list[Contains], size: int
    ) -> None:
        self._lower = lower
        self._style = style
        self._rows = rows
        self._counted = counted
        self._size = size
        self._structure = False

    def value(self, least: int, most: int | None, name: str) -> Value:
        """The arrays of `least` to `most` items."""
        comma = Bytes(self._style.comma)
        room = self._size if most is None else min(most, self._size)

        @cache
        def rest(i: int, counts: tuple[int, ...]) -> Node:
            """What may follow `i` items; a comma first if there are any."""
            enough = all(n >= c.least for n, c in zip(counts, self._counted, strict=True))
            options: list[Node] = [EMPTY] if enough and i >= least else []
            if i == room:
                tail = self._tail(i, counts, least, most, name)
                options += [] if tail is NOTHING else [Seq((comma, tail)) if i else tail]
                return any_of(options)
            for node, raised in self._kinds(i, name):
                after = self._raised(counts, raised)
                following = None if after is None else rest(i + 1, after)
                if following is not None and following is not NOTHING:
                    options.append(Seq((*((comma,) if i else ()), node, following)))
            return any_of(options)

        body = rest(0, (0,) * len(self._counted))
        if body is NOTHING:
            return EMPTY_VALUE
        kind = STRUCTURE if self._structure else "array"
        return Value(self._style.enclosed("[]", body, True), kind)

    def _raised(self, counts: tuple[int, ...], raised: tuple[int, ...]) -> tuple[int, ...] | None:
        found = []
        for k, (count, contains) in enumerate(zip(counts, self._counted, strict=True)):
            cap = contains.least if contains.most is None else contains.most + 1
            found.append(min(count + (k in raised), cap))
            if contains.most is not None and found[-1] > contains.most:
                return None
        return tuple(found)

    def _kinds(self, i: int, name: str) -> list[tuple[Node, tuple[int, ...]]]:
        """The items at position `i`, by the counters that they raise."""
        active = [k for k, contains in enumerate(self._counted) if contains.start <= i]
        base = [row.item(i) for row in self._rows]
        found: list[tuple[Node, tuple[int, ...]]] = []
        for chosen in product((True, False), repeat=len(active)):
            asked = list(base)
            for k, yes in zip(active, chosen, strict=True):
                if yes:
                    asked.append(self._counted[k].schema)
                elif self._counted[k].most is not None:
                    asked.append(negation(self._counted[k].schema))
            value = self._lower(conjoin(asked), name)
            if value.node is not NOTHING:
                self._structure |= value.kind == STRUCTURE
                raised = tuple(k for k, yes in zip(active, chosen, strict=True) if yes)
                found.append((self._style.padded(value.slotted(name)), raised))
        return found

    def _tail(
        self, i: int, counts: tuple[int, ...], least: int, most: int | None, name: str
    ) -> Node:
        """At least one more item behind the first `i`, any number of them."""
        kinds = self._kinds(i, name)
        if not kinds or (most is not None and most <= i):
            return NOTHING
        total = len(self._counted)
        lows = [max(0, c.least - n) for n, c in zip(counts, self._counted, strict=True)]
        highs = [
            None if c.most is None else c.most - n
            for n, c in zip(counts, self._counted, strict=True)
        ]
        return Record(
            tuple(node for node, _ in kinds),
            (False,) * len(kinds),
            (False,) * len(kinds),
            tuple((*raised, total) for _, raised in kinds),
            (*lows, max(1, least - i)),
            (*highs, None if most is None else most - i),
            self._style.comma,
        )
