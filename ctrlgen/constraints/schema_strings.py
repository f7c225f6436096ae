"""Strings: length, pattern and format, in JSON's spelling."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.formats import UNRESTRICTED
from ctrlgen.constraints.formats_standard import standard_format
from ctrlgen.constraints.json_text import all_of, any_text, canonical_range, quoted, spell
from ctrlgen.constraints.nodes import NOTHING, Bytes, Choice, Grammar, Node, Not
from ctrlgen.constraints.regex import lower_regex
from ctrlgen.constraints.schema_formats import format_of
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.constraints.schema_refusals import Refusals
from ctrlgen.constraints.schema_values import EMPTY_VALUE, Value
from ctrlgen.errors import ConstraintError, UnsatisfiableError


@lru_cache(maxsize=4096)
def pattern_body(pattern: str) -> Node:
    """The canonical spellings of the texts in which `pattern` matches.

    Raises:
        ConstraintError: It is not regular, or too large.
    """
    return lower_regex(pattern, encoder=canonical_range, search=True)


@lru_cache(maxsize=4096)
def _automaton(pattern: str) -> ByteAutomaton | None:
    try:
        return ByteAutomaton(Grammar(pattern_body(pattern)))
    except UnsatisfiableError:
        return None


def pattern_matches(pattern: str, key: str) -> bool:
    """Whether `pattern` matches somewhere in `key`.

    Raises:
        ConstraintError: It is not regular, or too large.
    """
    automaton = _automaton(pattern)
    if automaton is None:
        return False
    return automaton.is_accepting(automaton.run(automaton.start, spell(key)[1:-1]))


_MORE = frozenset(("pattern", "format", "notPattern", "notFormat", "excluded"))


@lru_cache(maxsize=256)
def _text(least: int, most: int | None) -> Value:
    """Any string literal of a length: one node for the many members that ask for no more."""
    return Value(quoted(any_text(least, most)), "string")


class Strings:
    """Lowers the string part of branches.

    Args:
        options: What to do with formats.
        refusals: Told of what cannot be guaranteed.
    """

    def __init__(self, options: SchemaOptions, refusals: Refusals) -> None:
        self._options = options
        self._refusals = refusals

    def knows(self, name: str) -> bool:
        """Whether a format is enforced."""
        ignored = self._options.formats == "ignore"
        return not ignored and format_of(name, self._options.breadth) is not None

    def value(self, keywords: dict[str, Any], *, key: bool = False) -> Value:
        """The string literals that `keywords` allow, quotes included.

        Args:
            keywords: Of a branch.
            key: Only the canonical spelling, which keys have.

        Raises:
            SchemaError: A pattern cannot be lowered, or a format is unknown and must not be.
        """
        least, most = keywords.get("minLength", 0), keywords.get("maxLength")
        if most is not None and least > most:
            return EMPTY_VALUE
        if not key and not _MORE & keywords.keys():
            return _text(least, most)
        bodies = self._patterns(keywords.get("pattern", ()))
        known = [self._format(name) for name in keywords.get("format", ())]
        shapes = [node for node in known if node is not None]
        bodies += shapes
        outside = [Not(node) for node in self._patterns(keywords.get("notPattern", ()))]
        outside += [Not(node) for node in self._opposites(keywords.get("notFormat", ()))]
        texts = [value for value in keywords.get("excluded", ()) if isinstance(value, str)]
        if texts:
            outside.append(Not(Choice(tuple(Bytes(spell(text)[1:-1]) for text in texts))))
        if least or most is not None or not bodies:
            canonical = key or bool(bodies) or bool(outside)
            bodies.append(any_text(least, most, canonical=canonical))
        if NOTHING in bodies:
            return EMPTY_VALUE
        return Value(quoted(all_of([*bodies, *outside])), "format" if shapes else "string")

    def readable(self, pattern: str) -> Node | None:
        """`pattern_body`; None, and the refusals are told, if there is none.

        Raises:
            SchemaError: There is none, and no judge will make it good.
        """
        try:
            return pattern_body(pattern)
        except ConstraintError as error:
            self._refusals.refuse(f"the pattern cannot be used: {error}", "pattern", "", error)
        return None

    def _patterns(self, patterns: list[str]) -> list[Node]:
        return [node for node in map(self.readable, patterns) if node is not None]

    def _format(self, name: str) -> Node | None:
        if self._options.formats == "ignore":
            return None
        node = format_of(name, self._options.breadth)
        if node is None and name not in UNRESTRICTED and self._options.formats == "strict":
            self._refusals.refuse(
                f"the format {name!r} is not known",
                "format",
                'formats="annotate" ignores it, or give a pattern',
            )
        return node

    def _opposites(self, names: list[str]) -> list[Node]:
        """What to exclude: the whole format, which may be wider than what we write."""
        found = []
        for name in names:
            node = standard_format(name)
            if node is None:
                self._refusals.refuse(f"strings that are not {name!r}", "format", "")
            else:
                found.append(node)
        return found
