"""JSON Schema to grammar nodes.

Every assertion of drafts 4 to 2020-12 is enforced by construction, or refused with its JSON
pointer, or left to a judge of whole texts where the options say so; none is weakened. Sound
narrowings, which leave out valid texts, are chosen by `SchemaOptions`.
"""

from __future__ import annotations

from dataclasses import replace

from ctrlgen.constraints.nodes import (
    And,
    Bytes,
    ByteSet,
    Choice,
    Erase,
    Grammar,
    Join,
    Node,
    Not,
    Record,
    Ref,
    Repeat,
    Seq,
    Slot,
)
from ctrlgen.constraints.schema_document import Document, Schema
from ctrlgen.constraints.schema_judge import Judge
from ctrlgen.constraints.schema_lowering import SchemaLowering
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.errors import LimitError, UnsatisfiableError

DEFAULTS = SchemaOptions()


def lower_schema(schema: Schema, options: SchemaOptions = DEFAULTS) -> Grammar:
    """The JSON texts of the instances of `schema`.

    Args:
        schema: A JSON Schema, as Python values.
        options: How much of what it allows is offered.

    Raises:
        SchemaError: The schema is invalid, or has a keyword that cannot be guaranteed.
        UnsatisfiableError: It has no finite instance.
        LimitError: It is too large.
    """
    try:
        formats = options.formats != "ignore"
        legacy = options.breadth == "narrow"
        document = Document(schema, options.registry, legacy, formats)
        dead: frozenset[str] = frozenset()
        while True:
            lowering = SchemaLowering(document, options, dead)
            grammar = lowering.grammar()
            found = _unproductive(grammar)
            if not found:
                break
            # References to rules without a finite instance become the empty set, and what
            # depends on them is lowered once more: an optional member disappears.
            dead |= found
    except RecursionError as error:
        raise LimitError(
            "the schema is nested too deeply", hint="move inner schemas to $defs"
        ) from error
    if not _productive(grammar.root, set(grammar.rules), {}):
        reason = lowering.reason or "it is false"
        raise UnsatisfiableError(f"no value satisfies the schema: {reason}")
    if lowering.refusals.noted:
        judge = Judge(schema, document.draft, options.registry, formats)
        return replace(grammar, verify=judge, unverified=tuple(lowering.refusals.noted))
    return grammar


def _unproductive(grammar: Grammar) -> frozenset[str]:
    """The rules that have no finite word, as far as emptiness shows without an automaton."""
    alive: set[str] = set()
    growing = True
    while growing:
        growing = False
        for name, node in reversed(list(grammar.rules.items())):
            if name not in alive and _productive(node, alive, {}):
                alive.add(name)
                growing = True
    return frozenset(grammar.rules.keys() - alive)


def _productive(node: Node, alive: set[str], seen: dict[int, bool]) -> bool:
    """Whether `node` has a word that needs `alive` rules only; intersections are trusted."""
    if id(node) not in seen:
        seen[id(node)] = _has_word(node, alive, seen)
    return seen[id(node)]


def _has_word(node: Node, alive: set[str], seen: dict[int, bool]) -> bool:
    match node:
        case Ref(name):
            return name in alive
        case Choice(items):
            return any(_productive(item, alive, seen) for item in items)
        case Seq(items) | And(items):
            return all(_productive(item, alive, seen) for item in items)
        case Join(items, required):
            pairs = zip(items, required, strict=True)
            return all(_productive(item, alive, seen) for item, needed in pairs if needed)
        case Record():
            return _record_has_word(node, alive, seen)
        case Repeat(item, least):
            return least == 0 or _productive(item, alive, seen)
        case Slot(item) | Erase(item):
            return _productive(item, alive, seen)
        case ByteSet(members):
            return members != 0
    return isinstance(node, Bytes | Not)


def _record_has_word(node: Record, alive: set[str], seen: dict[int, bool]) -> bool:
    productive = [_productive(item, alive, seen) for item in node.items]
    if any(needed and not yes for needed, yes in zip(node.required, productive, strict=True)):
        return False
    kinds = zip(node.raises, productive, strict=False)
    raised = {counter for counters, yes in kinds if yes for counter in counters}
    return all(not least or counter in raised for counter, least in enumerate(node.least))
