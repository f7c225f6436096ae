"""Constraint compiler: Spec to grammar nodes to byte automaton to token automaton."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctrlgen.constraints.constraint import Constraint
    from ctrlgen.constraints.nodes import Grammar
    from ctrlgen.constraints.vocabulary import Vocabulary
    from ctrlgen.spec import Spec

__all__ = ["compile", "lower"]

_NO_TEXT = ("values", "adapter")  # what a spec holds besides the texts that it allows


def lower(spec: Spec) -> Grammar:
    """The grammar nodes of a spec.

    Raises:
        ConstraintError: The schema, regular expression or grammar cannot be used.
    """
    # Each reader pulls in its own library (lark, jsonschema): import the one that is needed.
    match spec.kind:
        case "json" | "tools":
            from ctrlgen.constraints.schema import lower_schema
            from ctrlgen.constraints.schema_options import SchemaOptions

            options = SchemaOptions(**spec.schema_options)
            return lower_schema({} if spec.schema is None else spec.schema, options)
        case "regex":
            from ctrlgen.constraints.nodes import Grammar
            from ctrlgen.constraints.regex import lower_regex

            return Grammar(lower_regex(spec.pattern))
        case "grammar":
            if spec.syntax != "lark":
                from ctrlgen.constraints.ebnf import lower_ebnf

                return lower_ebnf(spec.grammar, start=spec.start, syntax=spec.syntax)
            from ctrlgen.constraints.grammar import lower_lark

            return lower_lark(spec.grammar, start=spec.start or "start")
        case "choice":
            from ctrlgen.constraints.nodes import Choice, Grammar, Slot, text

            texts = Choice(tuple(text(each) for each in spec.choices))
            return Grammar(Slot(texts, kind="enum"))
        case "sequence" | "either" | "list" | "quoted":
            from ctrlgen.constraints.composition import compose

            return compose(spec.kind, [lower(part) for part in spec.parts])


def compile(
    spec: Spec,
    vocabulary: Vocabulary | Any,
    grammar: Grammar | None = None,
    *,
    seconds: float = 60.0,
) -> Constraint:
    """The constraint of a spec for the tokens of a model.

    Args:
        spec: What the text may be.
        vocabulary: A `Vocabulary`, or a tokenizer to read one from.
        grammar: What `lower` makes of the spec, if that is at hand.
        seconds: How long it may take to see which states are live.

    Raises:
        ConstraintError: The spec cannot be used, nothing satisfies it, or the vocabulary spells
            nothing that does.
        LimitError: It is too large, or takes too long.
    """
    from ctrlgen.constraints.constraint import Constraint
    from ctrlgen.constraints.time_limit import time_limit
    from ctrlgen.constraints.vocabulary import Vocabulary

    if not isinstance(vocabulary, Vocabulary):
        vocabulary = Vocabulary.from_tokenizer(vocabulary)
    with time_limit(seconds):
        constraint = Constraint(grammar or _kept(spec), vocabulary)
        constraint.require_spelling()
    return constraint


def _kept(spec: Spec) -> Grammar:
    """`lower`, from a file if an earlier process has found the grammar large."""
    from dataclasses import fields

    from ctrlgen.constraints import cache

    try:
        parts = [repr(getattr(spec, f.name)) for f in fields(spec) if f.name not in _NO_TEXT]
    except (RecursionError, ValueError):
        return lower(spec)  # says what is nested too deeply, or which number is too long
    name = cache.name_of("grammar", "\0".join(parts))
    grammar = cache.load_grammar(name)
    if grammar is None:
        grammar = lower(spec)
        cache.store_grammar(name, grammar)
    return grammar
