"""The keys of objects: which pattern a key matches, and what is left beside the declared ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.json_text import all_of, any_of, key_outside, quoted, spell
from ctrlgen.constraints.nodes import NOTHING, Bytes, Grammar, Node, Not
from ctrlgen.constraints.schema_branches import Branch, Layer, Some
from ctrlgen.constraints.schema_conjoin import conjoin
from ctrlgen.constraints.schema_document import Schema
from ctrlgen.constraints.schema_strings import Strings, pattern_body, pattern_matches
from ctrlgen.errors import LimitError, UnsatisfiableError

MAX_CLASSES = 64
_TRUSTED = 4  # classes up to which emptiness is not looked into


@dataclass(frozen=True)
class Class:
    """Undeclared keys that match the same patterns.

    Args:
        parts: Nodes whose intersection the keys are, quotes included.
        inside: The patterns that they match.
        outside: The declared keys, which they are not.
    """

    parts: tuple[Node, ...]
    inside: frozenset[str]
    outside: tuple[str, ...]

    @property
    def key(self) -> Node:
        """The keys, quotes included."""
        return key_outside(all_of(list(self.parts)), list(self.outside))

    def lies_in(self, some: Some) -> bool:
        """Whether the keys are those that `some` asks for, its `names` apart."""
        if some.inside is not None and some.inside not in self.inside:
            return False
        return not self.inside & set(some.beside)


class Keys:
    """Lowers what schemas say of keys.

    Args:
        strings: Lowers strings.
        branches: The branches of a schema.
        values: The values of a branch if they are finitely many.
        accepts: Whether a value satisfies a schema.
    """

    def __init__(
        self,
        strings: Strings,
        branches: Callable[[Schema], list[Branch]],
        values: Callable[[Branch], list[Any] | None],
        accepts: Callable[[Schema, Any], bool],
    ) -> None:
        self._strings = strings
        self._branches = branches
        self._values = values
        self._accepts = accepts

    def is_readable(self, pattern: str) -> bool:
        """Whether a pattern can be lowered; told to the refusals if not."""
        return self._strings.readable(pattern) is not None

    def readable(self, layer: Layer) -> Layer:
        """The layer, without its patterns and what they decide if one cannot be lowered."""
        if all(map(self.is_readable, layer.patterns)):
            return layer
        return replace(layer, patterns={}, additional=None)

    def matching(self, layer: Layer, name: str) -> list[Schema]:
        """What the patterns of `layer` ask of the member `name`."""
        return [schema for p, schema in layer.patterns.items() if pattern_matches(p, name)]

    def asked(self, layer: Layer, name: str) -> Schema:
        """What `layer` asks of the member `name`."""
        asked = [layer.properties[name]] if name in layer.properties else []
        asked += self.matching(layer, name)
        if asked:
            return conjoin(asked)
        return True if layer.additional is None else layer.additional

    def in_some(self, some: Some, name: str) -> bool:
        """Whether `name` is one of the keys that `some` asks for."""
        if name in some.outside or not self._accepts(some.names, name):
            return False
        if some.inside is not None and not pattern_matches(some.inside, name):
            return False
        return not any(pattern_matches(pattern, name) for pattern in some.beside)

    def listed(self, names: Iterable[Schema]) -> tuple[list[str], bool]:
        """The keys that enumerations in `names` list, and whether those are all it allows."""
        names = list(names)
        if not names:
            return [], False
        found = [self._values(branch) for branch in self._key_branches(names)]
        keys = dict.fromkeys(key for values in found for key in values or ())
        return list(keys), None not in found

    def classes(
        self,
        layers: list[Layer],
        patterns: list[str],
        names: Iterable[Schema],
        declared: list[str],
    ) -> list[Class]:
        """The undeclared keys, by the patterns that they match.

        Raises:
            LimitError: The patterns tell too many kinds of keys apart.
        """
        first = self._allowed(list(names))
        if first is NOTHING:
            return []
        found = [Class((first,), frozenset(), tuple(declared))]
        every = dict.fromkeys([p for layer in layers for p in layer.patterns] + patterns)
        for pattern in every:
            body = quoted(pattern_body(pattern))
            split = []
            for each in found:
                inside = each.inside | {pattern}
                split.append(Class((*each.parts, body), inside, each.outside))
                split.append(Class((*each.parts, Not(body)), each.inside, each.outside))
            found = [e for e in split if _has_word(e)] if len(split) > _TRUSTED else split
            if len(found) > MAX_CLASSES:
                raise LimitError(f"key patterns make more than {MAX_CLASSES} kinds of keys")
        return found

    def narrowed(self, key: Node, names: list[Schema]) -> Node:
        """The keys that also satisfy `names`."""
        allowed = self._allowed(names)
        return NOTHING if allowed is NOTHING else all_of([key, allowed])

    def _allowed(self, names: list[Schema]) -> Node:
        found = []
        for branch in self._key_branches(names):
            values = self._values(branch)
            if values is None:
                found.append(self._strings.value(branch.keywords, key=True).node)
            else:
                found.append(any_of([Bytes(spell(value)) for value in values]))
        return any_of(found)

    def _key_branches(self, names: list[Schema]) -> list[Branch]:
        return self._branches(conjoin([*names, {"type": "string"}]))


def _has_word(each: Class) -> bool:
    try:
        ByteAutomaton(Grammar(all_of(list(each.parts))))
    except UnsatisfiableError:
        return False
    except LimitError:
        return True
    return True
