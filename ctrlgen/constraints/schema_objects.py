"""Objects: declared members, further ones by the patterns of their keys, and how many."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

from ctrlgen.constraints.json_text import any_of, spell
from ctrlgen.constraints.nodes import EMPTY, NOTHING, Bytes, Join, Node, Record
from ctrlgen.constraints.schema_branches import Layer, Some
from ctrlgen.constraints.schema_conjoin import conjoin
from ctrlgen.constraints.schema_document import Schema
from ctrlgen.constraints.schema_keys import Class, Keys
from ctrlgen.constraints.schema_options import SchemaOptions
from ctrlgen.constraints.schema_refusals import Refusals
from ctrlgen.constraints.schema_style import Style
from ctrlgen.constraints.schema_values import EMPTY_VALUE, STRUCTURE, Lower, Value

MAX_SOME = 6


class _Kinds:
    """The kinds of members that an object may have, as they are found.

    Attributes:
        groups: Least and greatest number of members of the kinds that share a key.
    """

    def __init__(self) -> None:
        self.items: list[Node] = []
        self.once: list[bool] = []
        self.required: list[bool] = []
        self.raises: list[tuple[int, ...]] = []
        self.shared: list[int | None] = []
        self.groups: list[tuple[int, int]] = []

    def add_declared(self, forms: list[tuple[Node, tuple[int, ...]]], required: bool) -> None:
        """The member of one key, in the forms of which one may come."""
        group = None
        if len(forms) > 1:
            group = len(self.groups)
            self.groups.append((int(required), 1))
        for item, raises in forms:
            self.add(item, group is None, required and group is None, raises, group)

    def add(
        self,
        item: Node,
        once: bool,
        required: bool,
        raises: tuple[int, ...],
        group: int | None = None,
    ) -> None:
        """One kind of member."""
        self.items.append(item)
        self.once.append(once)
        self.required.append(required)
        self.raises.append(raises)
        self.shared.append(group)


class Objects:
    """Lowers the object part of branches.

    Args:
        lower: Lowers the schema of a member.
        accepts: Whether a value satisfies a schema.
        keys: Lowers key patterns.
        options: Order and openness.
        style: The layout.
        refusals: Told of what cannot be guaranteed.
    """

    def __init__(
        self,
        lower: Lower,
        accepts: Callable[[Schema, Any], bool],
        keys: Keys,
        options: SchemaOptions,
        style: Style,
        refusals: Refusals,
    ) -> None:
        self._lower = lower
        self._accepts = accepts
        self._keys = keys
        self._options = options
        self._style = style
        self._refusals = refusals

    def value(self, keywords: dict[str, Any]) -> Value:
        """The objects that `keywords` allow.

        Raises:
            SchemaError: Distinct undeclared keys would have to be counted, and the like.
            LimitError: Too many key patterns.
        """
        layers = [self._keys.readable(layer) for layer in keywords.get("layers", ())]
        some = self._witnesses(keywords.get("some", ()))
        least, most = keywords.get("minProperties", 0), keywords.get("maxProperties")
        required = set(keywords.get("required", ()))
        listed, complete = self._keys.listed(keywords.get("names", ()))
        names = self._names(keywords, layers, some, listed)
        kinds = _Kinds()
        for name in names:
            must, said = name in required, name in listed
            if not self._add_declared(kinds, keywords, layers, some, name, must, said):
                return EMPTY_VALUE
        declared = len(kinds.items)
        closed = most == 0 or complete
        classes = [] if closed else self._classes(keywords, layers, some, names)
        # How many keys are distinct for sure: of one kind of undeclared keys only the first is.
        wide = self._options.breadth == "standard"
        distinct = len(required) + 1 if wide else len(names) + len(classes)
        duplicates = False
        if least > distinct and classes:
            self._refusals.refuse(
                "minProperties over undeclared keys cannot be guaranteed: a key may come twice",
                "minProperties",
                "declare the keys, or list them in propertyNames",
            )
            duplicates = True
        return self._assembled(kinds, declared, classes, some, (least, most), duplicates)

    def _witnesses(self, some: list[Some]) -> list[Some]:
        """Members that must exist, as far as that can be said without comparing keys."""
        kept = []
        for each in some:
            if each.inside is not None and not self._keys.is_readable(each.inside):
                continue
            if not all(map(self._keys.is_readable, each.beside)):
                continue
            kept.append(each)
        if len(kept) > MAX_SOME:
            self._refusals.refuse(f"more than {MAX_SOME} negated member keywords", "not")
        return kept[:MAX_SOME]

    def _names(
        self,
        keywords: dict[str, Any],
        layers: list[Layer],
        some: list[Some],
        listed: list[str],
    ) -> list[str]:
        """Declared and required keys, and those that `propertyNames` lists."""
        names: dict[str, None] = {}
        for layer in layers:
            names.update(dict.fromkeys(layer.properties))
        names.update(dict.fromkeys(keywords.get("required", ())))
        for each in some:
            names.update(dict.fromkeys(each.outside))
        names.update(dict.fromkeys(listed))
        return list(names)

    def _add_declared(
        self,
        kinds: _Kinds,
        keywords: dict[str, Any],
        layers: list[Layer],
        some: list[Some],
        name: str,
        required: bool,
        listed: bool,
    ) -> bool:
        """The member `name`, if it may be there; whether that is possible at all."""
        if not all(self._accepts(names, name) for names in keywords.get("names", ())):
            return not required
        open_ = required or listed or self._is_declared(layers, name) or self._is_open(layers)
        asked = [self._keys.asked(layer, name) for layer in layers]
        value = self._lower(conjoin(asked), name) if open_ else EMPTY_VALUE
        if value.node is NOTHING:
            return not required
        witness = [i for i, each in enumerate(some) if self._keys.in_some(each, name)]
        always = tuple(i for i in witness if some[i].value is True)
        key = Bytes(spell(name))
        forms: list[tuple[Node, tuple[int, ...]]] = []
        for extra in _subsets([i for i in witness if i not in always]):
            stricter = conjoin([*asked, *(some[i].value for i in extra)])
            inner = self._lower(stricter, name) if extra else value
            if inner.node is not NOTHING:
                forms.append((self._style.member(key, inner.slotted(name)), (*always, *extra)))
        kinds.add_declared(forms, required)
        return True

    def _is_declared(self, layers: list[Layer], name: str) -> bool:
        return any(name in layer.properties or self._keys.matching(layer, name) for layer in layers)

    def _is_open(self, layers: list[Layer]) -> bool:
        """Whether keys that no keyword names may occur."""
        if any(layer.additional is False for layer in layers):
            return False
        said = any(layer.additional is not None for layer in layers)
        declared = any(layer.properties or layer.patterns for layer in layers if layer.evaluates)
        return self._options.extra == "allow" or said or not declared

    def _classes(
        self, keywords: dict[str, Any], layers: list[Layer], some: list[Some], names: list[str]
    ) -> list[tuple[Class, Value, Schema]]:
        """Further keys by the patterns they match, with their values."""
        found = []
        open_ = self._is_open(layers)
        patterns = [p for each in some for p in (each.inside, *each.beside) if p is not None]
        for each in self._keys.classes(layers, patterns, keywords.get("names", ()), names):
            matched = any(pattern in each.inside for layer in layers for pattern in layer.patterns)
            if not (open_ or matched):
                continue
            asked = []
            for layer in layers:
                inside = [schema for p, schema in layer.patterns.items() if p in each.inside]
                rest = True if layer.additional is None else layer.additional
                asked += inside or [rest]
            schema = conjoin(asked)
            value = self._lower(schema, "")
            if value.node is not NOTHING:
                found.append((each, value, schema))
        return found

    def _assembled(
        self,
        kinds: _Kinds,
        declared: int,
        classes: list[tuple[Class, Value, Schema]],
        some: list[Some],
        bounds: tuple[int, int | None],
        duplicates: bool,
    ) -> Value:
        """The object with these members."""
        least, most = bounds
        regular = not declared and all(value.kind != STRUCTURE for _, value, _ in classes)
        forms = [
            self._further(each, value, schema, some, regular) for each, value, schema in classes
        ]
        further = [form for of_class in forms for form in of_class]
        always = sum(kinds.required) + sum(least for least, _ in kinds.groups)
        limit = None if further else declared
        free = least <= always and (most is None or (limit is not None and limit <= most))
        if not some and (free or (not declared and most is None and least <= 1)):
            body = self._joined(kinds, [node for node, _ in further], least)
        else:
            body = self._counted(kinds, forms, some, (least, most), duplicates)
        if body is NOTHING or (least and body is EMPTY):
            return EMPTY_VALUE
        if body is EMPTY:
            return Value(self._style.enclosed("{}", EMPTY), "literal")
        may_be_empty = not least and not always and not some
        kind = "object" if regular else STRUCTURE
        return Value(self._style.enclosed("{}", body, may_be_empty), kind)

    def _further(
        self, each: Class, value: Value, schema: Schema, some: list[Some], regular: bool
    ) -> list[tuple[Node, tuple[int, ...]]]:
        """The kinds of members with a key of one class, by what they are witnesses of."""
        found = []
        witness = [i for i, one in enumerate(some) if each.lies_in(one)]
        for extra in _subsets(witness):
            inner, key = value, each.key
            wanted = [some[i] for i in extra]
            if any(one.value is not True for one in wanted):
                self._refusals.refuse("an undeclared member of a certain value must exist", "not")
            elif wanted and any(one.names is not True for one in wanted):
                key = self._keys.narrowed(each.key, [one.names for one in wanted])
            if key is not NOTHING:
                node = inner.node if regular else inner.slotted("")
                found.append((self._style.member(key, node), extra))
        return found

    def _joined(self, kinds: _Kinds, further: list[Node], least: int) -> Node:
        """The member list, not counted."""
        if not kinds.items:
            return self._style.repeated(any_of(further), least) if further else EMPTY
        if self._options.key_order == "any" and len(kinds.items) + len(further) > 1:
            return self._record(kinds, [(node, ()) for node in further], (), ())
        items, required = tuple(kinds.items), tuple(kinds.required)
        if further:
            items = (*items, self._style.repeated(any_of(further), 1))
            required = (*required, False)
        return Join(items, required, self._style.comma)

    def _counted(
        self,
        kinds: _Kinds,
        classes: list[list[tuple[Node, tuple[int, ...]]]],
        some: list[Some],
        bounds: tuple[int, int | None],
        duplicates: bool,
    ) -> Node:
        """The member list, as long as `bounds` says, with its witnesses."""
        least, most = bounds
        total, distinct = len(some), len(some) + 1
        if not kinds.items and not any(classes):
            return NOTHING if least or some else EMPTY
        counted = _Kinds()
        counted.groups = list(kinds.groups)
        for i, item in enumerate(kinds.items):
            group = kinds.shared[i]
            counters = () if group is None else (distinct + 1 + group,)
            raises = (*kinds.raises[i], total, distinct, *counters)
            counted.add(item, kinds.once[i], kinds.required[i], raises)
        repeatable: list[tuple[Node, tuple[int, ...]]] = []
        for forms in classes:
            # The first member of a class has a new key; a second one, in any form, may repeat it.
            new: tuple[int, ...] = (total, distinct)
            if duplicates or least <= 1:
                repeatable += [(node, (*raises, *new)) for node, raises in forms]
                continue
            if len(forms) > 1:
                new = (*new, distinct + 1 + len(counted.groups))
                counted.groups.append((0, 1))
            for node, raises in forms:
                counted.add(node, True, False, (*raises, *new))
            repeatable += [(node, (*raises, total)) for node, raises in forms]
        lows = (*(1 for _ in some), 0, least, *(low for low, _ in counted.groups))
        highs = (*(None for _ in some), most, None, *(high for _, high in counted.groups))
        return self._record(counted, repeatable, lows, highs)

    def _record(
        self,
        kinds: _Kinds,
        further: list[tuple[Node, tuple[int, ...]]],
        lows: tuple[int, ...],
        highs: tuple[int | None, ...],
    ) -> Node:
        count = len(further)
        return Record(
            (*kinds.items, *(node for node, _ in further)),
            (*kinds.once, *(False,) * count),
            (*kinds.required, *(False,) * count),
            (*kinds.raises, *(raises for _, raises in further)),
            lows,
            highs,
            self._style.comma,
            self._options.key_order == "declared",
        )


def _subsets(witness: list[int]) -> list[tuple[int, ...]]:
    return [chosen for size in range(len(witness) + 1) for chosen in combinations(witness, size)]
