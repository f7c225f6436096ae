"""The layout of JSON: where blanks may stand, and how fixed values are spelled."""

from __future__ import annotations

from typing import Any

from ctrlgen.constraints.json_text import any_of, spell
from ctrlgen.constraints.nodes import EMPTY, Bytes, Choice, Node, Record, Repeat, Seq, optional
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.constraints.schema_options import SchemaOptions

_SEPARATORS = {"compact": (b",", b":"), "spaced": (b", ", b": "), "flexible": (b",", b":")}


class Style:
    """Puts JSON together in one layout.

    Args:
        options: Whose `whitespace`, `key_order` and `breadth` count.

    Attributes:
        comma: Between two members or items.
    """

    def __init__(self, options: SchemaOptions) -> None:
        self.comma, self._colon = _SEPARATORS[options.whitespace]
        flexible = options.whitespace == "flexible"
        self._blank = lower_regex(" ?|\n {0,32}") if flexible else None
        self._any_order = options.key_order == "any"
        self._zeros = lower_regex(r"\.0+") if options.breadth == "standard" else None

    def padded(self, node: Node) -> Node:
        """An item with the blanks that may stand around it."""
        return node if self._blank is None else Seq((self._blank, node, self._blank))

    def member(self, key: Node, value: Node) -> Node:
        """A key and its value."""
        if self._blank is None:
            if isinstance(key, Bytes):
                return Seq((Bytes(key.data + self._colon), value))
            return Seq((key, Bytes(self._colon), value))
        return self.padded(Seq((key, self._blank, Bytes(self._colon), self._blank, value)))

    def enclosed(self, brackets: str, body: Node, may_be_empty: bool = False) -> Node:
        """`body` between brackets.

        Args:
            brackets: "[]" or "{}".
            body: Items with their padding.
            may_be_empty: Whether `body` has the empty word, which carries no padding.
        """
        first, last = Bytes(brackets[:1].encode()), Bytes(brackets[1:].encode())
        if body is EMPTY:
            inside = () if self._blank is None else (self._blank,)
            return Seq((first, *inside, last)) if inside else Bytes(brackets.encode())
        if may_be_empty and self._blank is not None:
            body = Choice((body, self._blank))
        return Seq((first, body, last))

    def literal(self, value: Any) -> Node:
        """Exactly this value; the members of objects in the order given, or in any."""
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if self._zeros is not None and whole and not isinstance(value, bool):
            return self._whole(value)
        if self._blank is None and self._zeros is None and not self._any_order:
            return Bytes(spell(value, (self.comma, self._colon)))
        if isinstance(value, list) and value:
            items = [self.padded(self.literal(item)) for item in value]
            return self.enclosed("[]", Seq(self._separated(items)))
        if isinstance(value, dict) and value:
            members = [
                self.member(Bytes(spell(key)), self.literal(item)) for key, item in value.items()
            ]
            return self.enclosed("{}", self._all(members))
        if isinstance(value, list | dict):
            return self.enclosed("[]" if isinstance(value, list) else "{}", EMPTY)
        return Bytes(spell(value))

    def literals(self, values: list[Any]) -> Node:
        """Any of these values."""
        return any_of([self.literal(value) for value in values])

    def repeated(self, item: Node, least: int = 0, most: int | None = None) -> Node:
        """`least` to `most` items, between commas."""
        return Repeat(item, least, most, self.comma)

    def _whole(self, value: int | float) -> Node:
        assert self._zeros is not None
        forms: list[Node] = [Seq((Bytes(spell(int(value))), optional(self._zeros)))]
        if isinstance(value, float) and b"e" in spell(value):
            forms.append(Bytes(spell(value)))
        return any_of(forms)

    def _all(self, members: list[Node]) -> Node:
        """All of these members, in any order if that is free."""
        if not self._any_order or len(members) == 1:
            return Seq(self._separated(members))
        every = (True,) * len(members)
        return Record(tuple(members), every, every, separator=self.comma)

    def _separated(self, items: list[Node]) -> tuple[Node, ...]:
        between = Bytes(self.comma)
        return (items[0], *(part for item in items[1:] for part in (between, item)))
