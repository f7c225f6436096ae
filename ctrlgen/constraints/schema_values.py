"""What a subschema lowers to, and when it becomes one slot of the scaffold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ctrlgen.constraints.json_text import any_of
from ctrlgen.constraints.nodes import NOTHING, Node, Slot
from ctrlgen.constraints.schema_document import Schema

STRUCTURE = ""
LITERAL = "literal"


@dataclass(frozen=True)
class Value:
    """The JSON texts of one subschema.

    Args:
        node: The texts.
        kind: A slot kind, if the whole value is regular and is to be one slot; `LITERAL` for one
            fixed text, `STRUCTURE` for what holds slots of its own.
    """

    node: Node
    kind: str

    def slotted(self, name: str) -> Node:
        """The node, marked as a slot if it is one value."""
        if self.kind in (STRUCTURE, LITERAL):
            return self.node
        return Slot(self.node, name, self.kind)


EMPTY_VALUE = Value(NOTHING, LITERAL)
Lower = Callable[[Schema, str], Value]


def union(values: Iterable[Value], name: str) -> Value:
    """Any one of `values`: one slot if all are regular, else a slot for each that is."""
    alive = [value for value in values if value.node is not NOTHING]
    if len(alive) < 2:
        return alive[0] if alive else EMPTY_VALUE
    if any(value.kind == STRUCTURE for value in alive):
        return Value(any_of([value.slotted(name) for value in alive]), STRUCTURE)
    kinds = {value.kind for value in alive} - {LITERAL}
    kind = "text" if len(kinds) > 1 else kinds.pop() if kinds else "enum"
    return Value(any_of([value.node for value in alive]), kind)
