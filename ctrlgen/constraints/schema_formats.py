"""Formats as jsonschema's judge: the same languages as those of the automata."""

from __future__ import annotations

import json
from functools import cache

from jsonschema import FormatChecker

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.formats import format_node
from ctrlgen.constraints.formats_standard import STANDARD, standard_format
from ctrlgen.constraints.nodes import Grammar, Node
from ctrlgen.constraints.schema_options import Breadth

# What pydantic writes and JSON Schema does not have
_EXTENSIONS = ("base64", "base64url", "ipvanyaddress", "ipv4network", "ipv4interface")


def format_of(name: str, breadth: Breadth) -> Node | None:
    """The canonical spellings of the strings of a format; None when it is not known."""
    if name in STANDARD and (breadth == "standard" or format_node(name) is None):
        return standard_format(name)
    if breadth == "standard" and name not in _EXTENSIONS:
        return None
    return format_node(name)


@cache
def checker() -> FormatChecker:
    """Judges the formats of JSON Schema as their standards do."""
    judge = FormatChecker(formats=())
    for name in STANDARD:
        judge.checks(name)(_Judge(name))
    return judge


class _Judge:
    """Whether a value is no string, or one of the format."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, value: object) -> bool:
        if not isinstance(value, str):
            return True
        try:
            spelled = json.dumps(value, ensure_ascii=False)[1:-1].encode()
        except UnicodeEncodeError:
            return False
        automaton = _automaton(self._name)
        return automaton.is_accepting(automaton.run(automaton.start, spelled))


@cache
def _automaton(name: str) -> ByteAutomaton:
    node = standard_format(name)
    assert node is not None
    return ByteAutomaton(Grammar(node))
