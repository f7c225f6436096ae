"""How much of what a JSON Schema allows is offered, and what happens to what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ctrlgen.errors import SpecError

Whitespace = Literal["compact", "spaced", "flexible"]
KeyOrder = Literal["declared", "any"]
Extra = Literal["forbid", "allow"]
Formats = Literal["annotate", "strict", "ignore"]
Breadth = Literal["narrow", "standard"]
OnUnsupported = Literal["error", "verify"]


@dataclass(frozen=True)
class SchemaOptions:
    """Options of `lower_schema`. The defaults suit generation: one spelling of each value.

    Args:
        whitespace: "compact" for none, "spaced" for one space after commas and colons, "flexible"
            for any of up to a line break and 32 blanks between two tokens of JSON.
        key_order: Whether the declared keys of an object come in their order, or in any.
        extra: With "forbid", an object schema that has `properties` or `patternProperties` but no
            `additionalProperties` generates declared members only; "allow" follows the standard.
        formats: Known formats are enforced; an unknown one is an annotation, or refused when
            "strict". With "ignore" all of them are annotations.
        breadth: "narrow" writes numbers and formats so that every parser and checker agrees on
            them; "standard" allows all that the standards do.
        on_unsupported: "error" refuses a keyword that cannot be guaranteed by construction.
            "verify" leaves it to `Grammar.verify`, which judges whole texts.
        registry: Schemas by URI, for references that leave the document.
    """

    whitespace: Whitespace = "compact"
    key_order: KeyOrder = "declared"
    extra: Extra = "forbid"
    formats: Formats = "annotate"
    breadth: Breadth = "narrow"
    on_unsupported: OnUnsupported = "error"
    registry: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, allowed in _VALUES.items():
            value = getattr(self, name)
            if value not in get_args(allowed):
                hint = f"one of {', '.join(map(repr, get_args(allowed)))}"
                raise SpecError(f"{name}={value!r} is not known", hint=hint)

    @classmethod
    def standard(cls) -> SchemaOptions:
        """All that the standard allows, in the layout of Python's `json.dumps`."""
        return cls(whitespace="spaced", key_order="any", extra="allow", breadth="standard")


_VALUES: dict[str, Any] = {
    "whitespace": Whitespace,
    "key_order": KeyOrder,
    "extra": Extra,
    "formats": Formats,
    "breadth": Breadth,
    "on_unsupported": OnUnsupported,
}
