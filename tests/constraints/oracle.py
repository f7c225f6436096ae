"""A slow and obvious recogniser and sampler of grammar nodes, to judge everything else by."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.nodes import (
    And,
    Bytes,
    ByteSet,
    Choice,
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

_NO_WORD = 10**9


@contextmanager
def _deep() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def matches(grammar: Grammar | Node, text: bytes) -> bool:
    """Whether `text` is a word of the grammar."""
    grammar = grammar if isinstance(grammar, Grammar) else Grammar(grammar)
    with _deep():
        return len(text) in _Matcher(grammar, text).ends(grammar.root, 0)


class _Matcher:
    """The set of end positions of each (node, start)."""

    def __init__(self, grammar: Grammar, text: bytes) -> None:
        self.grammar = grammar
        self.text = text
        self.seen: dict[tuple[int, int], frozenset[int]] = {}

    def ends(self, node: Node, start: int) -> frozenset[int]:
        key = (id(node), start)
        if key not in self.seen:
            self.seen[key] = frozenset(self._ends(node, start))
        return self.seen[key]

    def _after(self, node: Node, starts: frozenset[int] | set[int]) -> set[int]:
        return {end for start in starts for end in self.ends(node, start)}

    def _literal(self, data: bytes, starts: set[int]) -> set[int]:
        return {i + len(data) for i in starts if self.text.startswith(data, i)}

    def _ends(self, node: Node, start: int) -> set[int] | frozenset[int]:
        match node:
            case Bytes(data):
                return self._literal(data, {start})
            case ByteSet(members):
                inside = start < len(self.text) and members >> self.text[start] & 1
                return {start + 1} if inside else set()
            case Seq(items):
                ends = {start}
                for item in items:
                    ends = self._after(item, ends)
                return ends
            case Choice(items):
                return {end for item in items for end in self.ends(item, start)}
            case Ref(name):
                return self.ends(self.grammar.rules[name], start)
            case Slot(item):
                return self.ends(item, start)
            case And(items):
                return frozenset.intersection(*(self.ends(item, start) for item in items))
            case Not(item):
                return set(range(start, len(self.text) + 1)) - self.ends(item, start)
            case Repeat():
                return self._repeat(node, start)
            case Join():
                return self._join(node, start)
            case Record():
                return self._record(node, start)
        raise TypeError(node)

    def _record(self, node: Record, start: int) -> set[int]:
        found: set[int] = set()
        nothing = (0,) * len(node.least)
        queue = [(start, frozenset[int](), nothing, -1, 0)]
        seen = set(queue)
        while queue:
            at, taken, counts, last, members = queue.pop()
            needed = {i for i, yes in enumerate(node.required) if yes}
            enough = all(n >= low for n, low in zip(counts, node.least, strict=True))
            if needed <= taken and enough:
                found.add(at)
            places = self._literal(node.separator, {at}) if members else {at}
            for i, item in enumerate(node.items):
                if (node.once[i] and i in taken) or (node.ordered and i < last and node.once[i]):
                    continue
                if node.ordered and node.once[i] and last >= len(node.items):
                    continue
                raises = node.raises[i] if node.raises else ()
                after = tuple(n + (c in raises) for c, n in enumerate(counts))
                if any(m is not None and n > m for n, m in zip(after, node.most, strict=True)):
                    continue
                for end in self._after(item, places):
                    order = i if node.once[i] else len(node.items) if node.ordered else last
                    now = taken | {i} if node.once[i] else taken
                    capped = after if end > at else counts
                    new = (end, now, capped, max(last, order) if node.ordered else last, 1)
                    if new not in seen:
                        seen.add(new)
                        queue.append(new)
        return found

    def _repeat(self, node: Repeat, start: int) -> set[int]:
        found = {start} if node.min == 0 else set()
        now, count, before = {start}, 0, set()
        while now and (node.max is None or count < node.max):
            now = self._after(node.item, self._literal(node.separator, now) if count else now)
            count += 1
            if count >= node.min:
                if node.max is None and now <= before:
                    break
                before = before | now
                found |= now
        return found

    def _join(self, node: Join, start: int) -> set[int]:
        none, some = {start}, set[int]()
        for item, required in zip(node.items, node.required, strict=True):
            here = self._after(item, none | self._literal(node.separator, some))
            none, some = (set(), here) if required else (none, some | here)
        return none | some


def sample(grammar: Grammar | Node, rng: random.Random, fuel: int = 400) -> bytes:
    """A random word; its size is roughly bounded by `fuel`."""
    grammar = grammar if isinstance(grammar, Grammar) else Grammar(grammar)
    with _deep():
        return _Sampler(grammar, rng, fuel).word(grammar.root)


class _Sampler:
    def __init__(self, grammar: Grammar, rng: random.Random, fuel: int) -> None:
        self.grammar, self.rng, self.fuel = grammar, rng, fuel
        self.costs: dict[int, int] = {}
        self.rule_costs = dict.fromkeys(grammar.rules, _NO_WORD)
        changed = True
        while changed:  # least word length per rule, to a fixpoint
            changed = False
            for name, node in grammar.rules.items():
                self.costs.clear()
                cost = self.cost(node)
                changed |= cost < self.rule_costs[name]
                self.rule_costs[name] = cost
        self.costs.clear()

    def cost(self, node: Node) -> int:
        if id(node) not in self.costs:
            self.costs[id(node)] = min(_NO_WORD, self._cost(node))
        return self.costs[id(node)]

    def _cost(self, node: Node) -> int:
        match node:
            case Bytes(data):
                return len(data)
            case ByteSet(members):
                return 1 if members else _NO_WORD
            case Seq(items):
                return sum(map(self.cost, items))
            case Choice(items):
                return min(map(self.cost, items), default=_NO_WORD)
            case Ref(name):
                return self.rule_costs[name]
            case Slot(item):
                return self.cost(item)
            case And(items):
                return max(map(self.cost, items))
            case Not():
                return 0
            case Repeat(item, least):
                return least * self.cost(item)
            case Join(items, required):
                pairs = zip(items, required, strict=True)
                return sum(self.cost(item) for item, needed in pairs if needed)
            case Record():
                return sum(
                    self.cost(item)
                    for item, needed in zip(node.items, node.required, strict=True)
                    if needed
                )
        raise TypeError(node)

    def word(self, node: Node) -> bytes:
        self.fuel -= 1
        match node:
            case Bytes(data):
                return data
            case ByteSet(members):
                return bytes([self._byte(members)])
            case Seq(items):
                return b"".join(map(self.word, items))
            case Choice(items):
                return self.word(self._branch(items))
            case Ref(name):
                return self.word(self.grammar.rules[name])
            case Slot(item):
                return self.word(item)
            case And(items):
                return self._both(items)
            case Repeat(item, least, most):
                extra = self.rng.choice((0, 1, 2, 5)) if self.fuel > 0 else 0
                count = least + min(extra, _NO_WORD if most is None else most - least)
                if self.cost(item) >= _NO_WORD:
                    count = least
                return node.separator.join(self.word(item) for _ in range(count))
            case Join(items, required):
                return node.separator.join(
                    self.word(item)
                    for item, needed in zip(items, required, strict=True)
                    if needed or (self._cheap(item) and self.rng.random() < 0.6)
                )
            case Record():
                return self._members(node)
        raise TypeError(node)

    def _members(self, node: Record) -> bytes:
        usable = [i for i, item in enumerate(node.items) if self._cheap(item) or node.required[i]]
        for _ in range(200):
            chosen = [i for i in usable if node.required[i] or self.rng.random() < 0.5]
            chosen += [i for i in chosen if not node.once[i] and self.rng.random() < 0.3]
            if not node.ordered:
                self.rng.shuffle(chosen)
            else:
                chosen.sort(key=lambda i: (not node.once[i], i))
            counts = [
                sum(c in node.raises[i] for i in chosen) if node.raises else 0
                for c in range(len(node.least))
            ]
            bounds = zip(counts, node.least, node.most, strict=True)
            if all(low <= n and (high is None or n <= high) for n, low, high in bounds):
                return node.separator.join(self.word(node.items[i]) for i in chosen)
        raise LookupError("no members were drawn that satisfy the counters")

    def _byte(self, members: int) -> int:
        return self.rng.choice([byte for byte in range(256) if members >> byte & 1])

    def _cheap(self, item: Node) -> bool:
        return self.cost(item) < (_NO_WORD if self.fuel > 0 else 0)

    def _branch(self, items: tuple[Node, ...]) -> Node:
        alive = [item for item in items if self.cost(item) < _NO_WORD]
        if self.fuel > 0:
            return self.rng.choice(alive)
        return min(alive, key=self.cost)

    def _both(self, items: tuple[Node, ...]) -> bytes:
        positive = [item for item in items if not isinstance(item, Not)]
        fuel = self.fuel
        others = Grammar(And(items), self.grammar.rules)
        for _ in range(150):
            self.fuel = fuel
            word = self.word(self.rng.choice(positive))
            if matches(others, word):
                return word
        # Who samples judges the word; where none is found by luck, the automaton proposes one.
        automaton = ByteAutomaton(others)
        return automaton.shortest(automaton.start)
