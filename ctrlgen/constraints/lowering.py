"""From grammar nodes to terms, and the shortest word of each term by fixpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from ctrlgen.constraints.nodes import (
    And,
    Bytes,
    ByteSet,
    Choice,
    Erase,
    Join,
    Node,
    Not,
    Record,
    Ref,
    Repeat,
    Seq,
    Slot,
)
from ctrlgen.constraints.terms import (
    EPSILON,
    NOTHING,
    Call,
    Letter,
    Meet,
    Members,
    Outside,
    Roster,
    Terms,
    Unmarked,
)
from ctrlgen.errors import GrammarError

# A word is consumed by copying what is left of it: short pieces keep long literals linear.
_PIECE = 64

_MEASURED = Meet | Outside | Unmarked


Measure: TypeAlias = Callable[[int], float]


class Lowering:
    """Turns the nodes of one grammar into terms.

    Args:
        terms: Where the terms are interned.
        rules: The rules that references name.
    """

    def __init__(self, terms: Terms, rules: Mapping[str, Node]) -> None:
        self._terms = terms
        self._rules = rules
        self._lowered: dict[Node, int] = {}
        self._called: list[str] = []
        self._settled = 0
        self._measured: set[int] = set()
        self._searched: set[int] = set()  # all meets below these are settled

    def lower(self, node: Node, measure_meet: Measure) -> int:
        """The term of `node`, measured.

        Args:
            node: What to lower.
            measure_meet: The fewest bytes of a word of a `Meet`, `Outside` or `Unmarked`, once its
                parts are measured.

        Raises:
            GrammarError: A reference names no rule, or an intersection contains itself.
            LimitError: Deciding whether an intersection is empty took too long.
        """
        term = self._lower(node)
        while self._called:
            name = self._called.pop()
            self._terms.rules[name] = self._lower(self._rules[name])
        self._settle(measure_meet)
        return term

    def _lower(self, node: Node) -> int:
        term = self._lowered.get(node)
        if term is None:
            term = self._lowered[node] = self._build(node)
        return term

    def _build(self, node: Node) -> int:
        match node:
            case Bytes(data):
                return self._literal(data)
            case ByteSet(members):
                return self._terms.intern(Letter(members)) if members else NOTHING
            case Seq(items):
                return self._terms.sequence([self._lower(item) for item in items])
            case Choice(items):
                return self._terms.either(tuple(self._lower(item) for item in items))
            case Repeat():
                return self._repeat(node)
            case Join(items, required, separator):
                lowered = tuple(self._lower(item) for item in items)
                return self._terms.listing(Members(lowered, required, self._literal(separator)))
            case Record():
                return self._record(node)
            case Ref(name):
                return self._call(name)
            case And() | Not():
                return self._meet(node)
            case Erase(item):
                return self._terms.intern(Unmarked(self._lower(item)))
            case Slot(item):
                return self._lower(item)
        raise TypeError(f"not a grammar node: {node!r}")

    def _literal(self, data: bytes) -> int:
        pieces = [data[i : i + _PIECE] for i in range(0, len(data), _PIECE)]
        return self._terms.sequence([self._terms.word(piece) for piece in pieces])

    def _repeat(self, node: Repeat) -> int:
        item = self._lower(node.item)
        if not node.separator:
            return self._terms.loop(item, node.min, node.max)
        if node.max is not None and node.max < max(node.min, 1):
            return NOTHING if node.max < node.min else EPSILON
        follower = self._terms.pair(self._literal(node.separator), item)
        most = None if node.max is None else node.max - 1
        some = self._terms.pair(item, self._terms.loop(follower, max(node.min - 1, 0), most))
        return some if node.min else self._terms.either((some, EPSILON))

    def _record(self, node: Record) -> int:
        roster = Roster(
            tuple(self._lower(item) for item in node.items),
            _bits(node.once),
            _bits(node.required),
            node.raises or ((),) * len(node.items),
            node.least,
            node.most,
            self._literal(node.separator),
            node.ordered,
        )
        return self._terms.roll(roster)

    def _call(self, name: str) -> int:
        if name not in self._rules:
            raise GrammarError(f"no rule is called {name!r}")
        known = name in self._terms.rules
        self._terms.rules.setdefault(name, NOTHING)  # until its own turn comes in `lower`
        if not known:
            self._called.append(name)
        return self._terms.intern(Call(name))

    def _meet(self, node: And | Not) -> int:
        words = _excluded_words(node)
        included, excluded = self._sides(node, words)
        if not words or not included:
            return self._terms.intern(Meet(included, excluded))
        plain = len(included) == 1 and not excluded
        item = included[0] if plain else self._terms.intern(Meet(included, excluded))
        return self._terms.intern(Outside(item, frozenset().union(*words.values())))

    def _sides(
        self, node: Node, words: Mapping[Node, frozenset[bytes]]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The included and the excluded terms of nested intersections and complements."""
        included: dict[int, None] = {}
        excluded: dict[int, None] = {}
        for item in node.items if isinstance(node, And) else (node,):
            if item in words:
                continue
            match item:
                case Not(Not(inner)):
                    included[self._lower(inner)] = None
                case Not(inner):
                    excluded[self._lower(inner)] = None
                case And():
                    more, fewer = self._sides(item, words)
                    included.update(dict.fromkeys(more))
                    excluded.update(dict.fromkeys(fewer))
                case _:
                    included[self._lower(item)] = None
        return tuple(included), tuple(excluded)

    def _settle(self, measure_meet: Measure) -> None:
        """Measures what is new: first the plain terms, then the meets, innermost first."""
        fresh = range(self._settled, len(self._terms.shapes))
        users: dict[int, list[int]] = defaultdict(list)
        for term in fresh:
            for part in self._terms.parts(term):
                users[part].append(term)
        shapes = self._terms.shapes
        self._propagate([term for term in fresh if isinstance(shapes[term], Call)], users)
        for term in fresh:
            if isinstance(shapes[term], _MEASURED):
                self._settle_meet(term, users, measure_meet)
        # Terms that measuring the meets has made are measured already.
        self._settled = len(shapes)

    def _propagate(self, changed: Iterable[int], users: Mapping[int, list[int]]) -> None:
        queue = list(changed)
        while queue:
            term = queue.pop()
            if self._terms.remeasure(term):
                queue.extend(users.get(term, ()))

    def _settle_meet(
        self, meet: int, users: Mapping[int, list[int]], measure_meet: Measure
    ) -> None:
        if meet in self._measured:
            return
        inner, seen = self._meets_below(meet)
        for each in inner:
            self._settle_meet(each, users, measure_meet)
        self._measured.add(meet)
        self._searched |= seen
        self._terms.minimum[meet] = measure_meet(meet)
        self._propagate(users.get(meet, ()), users)

    def _meets_below(self, meet: int) -> tuple[list[int], set[int]]:
        """What has to be settled before `meet`, and all terms that were looked through."""
        seen: set[int] = set()
        queue = list(self._terms.parts(meet))
        while queue:
            term = queue.pop()
            if term not in seen and term not in self._searched:
                seen.add(term)
                queue.extend(self._terms.parts(term))
        if meet in seen:
            raise GrammarError("an intersection or complement contains itself through its rules")
        return [term for term in seen if isinstance(self._terms.shapes[term], _MEASURED)], seen


def _excluded_words(node: Node) -> dict[Node, frozenset[bytes]]:
    """The complements of finitely many words among the items of an intersection."""
    found: dict[Node, frozenset[bytes]] = {}
    for item in node.items if isinstance(node, And) else ():
        if not isinstance(item, Not):
            continue
        options = item.item.items if isinstance(item.item, Choice) else (item.item,)
        if all(isinstance(option, Bytes) for option in options):
            found[item] = frozenset(each.data for each in options if isinstance(each, Bytes))
    return found


def _bits(flags: tuple[bool, ...]) -> int:
    """Bit i is set where flag i is."""
    return sum(1 << index for index, flag in enumerate(flags) if flag)
