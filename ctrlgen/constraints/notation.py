"""Grammars as JSON text, to be kept in files.

A grammar is written as a list of rows, one per node, parts before what holds them: the name of the
class, then its fields. A node is named by its row, so one that occurs twice is still one.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from ctrlgen.constraints import nodes
from ctrlgen.constraints.nodes import Grammar, Node


def write(grammar: Grammar) -> str | None:
    """The text of a grammar; None if it holds more than nodes, as what only code can judge."""
    writer = _Writer()
    try:
        rules = {name: writer.node(node) for name, node in grammar.rules.items()}
        value = {"root": writer.node(grammar.root), "rules": rules}
        others = [f for f in fields(grammar) if f.name not in value]
        if any(getattr(grammar, other.name) != other.default for other in others):
            return None
    except (TypeError, RecursionError):
        return None
    return json.dumps({**value, "rows": writer.rows}, separators=(",", ":"))


def read(text: str) -> Grammar:
    """The grammar that `write` has written.

    Raises:
        ValueError: The text is something else.
    """
    try:
        value = json.loads(text)
        found: list[Node] = []
        for name, *parts in value["rows"]:
            kind = getattr(nodes, name)
            if not issubclass(kind, Node):
                raise ValueError(f"{name} is not a node")
            found.append(kind(*(_part(part, found) for part in parts)))
        rules = {name: found[row] for name, row in value["rules"].items()}
        return Grammar(found[value["root"]], rules)
    except (TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(f"not a grammar: {error}") from error


class _Writer:
    """Collects the rows."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self._row_of: dict[Node, int] = {}

    def node(self, node: Node) -> int:
        """The row of `node`."""
        row = self._row_of.get(node)
        if row is None:
            parts = [self._part(getattr(node, f.name)) for f in fields(node)]  # type: ignore[arg-type]
            row = self._row_of[node] = len(self.rows)
            self.rows.append([type(node).__name__, *parts])
        return row

    def _part(self, value: Any) -> Any:
        if isinstance(value, Node):
            return {"node": self.node(value)}
        if isinstance(value, bytes):
            return {"bytes": value.decode("latin-1")}
        if isinstance(value, tuple):
            return [self._part(each) for each in value]
        if value is None or isinstance(value, str | int):
            return value
        raise TypeError(f"cannot write {type(value).__name__}")


def _part(value: Any, found: list[Node]) -> Any:
    match value:
        case {"node": int(row)}:
            return found[row]
        case {"bytes": str(text)}:
            return text.encode("latin-1")
        case list():
            return tuple(_part(each, found) for each in value)
    return value
