"""A recogniser that only follows the definitions of the nodes, and random grammars to try it on."""

from __future__ import annotations

import random
from itertools import product

from ctrlgen.constraints.nodes import (
    And,
    Bytes,
    ByteSet,
    Choice,
    Grammar,
    Join,
    Node,
    Not,
    Ref,
    Repeat,
    Seq,
    Slot,
)

LETTERS = b"abc"


def words(longest: int, letters: bytes = LETTERS) -> list[bytes]:
    """All words of up to `longest` letters, the shortest first."""
    return [bytes(w) for n in range(longest + 1) for w in product(letters, repeat=n)]


class Brute:
    """Where a match of a node in one text may end, by recursion over the node."""

    def __init__(self, grammar: Grammar, data: bytes) -> None:
        self.grammar = grammar
        self.data = data
        self.memo: dict[tuple[int, int], frozenset[int]] = {}
        self.alive: list[Node] = []

    def accepts(self) -> bool:
        return len(self.data) in self.ends(self.grammar.root, 0)

    def ends(self, node: Node, start: int) -> frozenset[int]:
        key = id(node), start
        if key not in self.memo:
            self.alive.append(node)  # an id is only unique among living nodes
            self.memo[key] = frozenset(self.compute(node, start))
        return self.memo[key]

    def compute(self, node: Node, start: int) -> set[int] | frozenset[int]:
        data = self.data
        match node:
            case Bytes(text):
                return {start + len(text)} if data.startswith(text, start) else set()
            case ByteSet(members):
                inside = start < len(data) and members >> data[start] & 1
                return {start + 1} if inside else set()
            case Seq(items):
                found = {start}
                for item in items:
                    found = self.after(item, found)
                return found
            case Choice(items):
                return set().union(*(self.ends(item, start) for item in items))
            case Repeat():
                return self.repeat(node, start)
            case Join():
                return self.join(node, start)
            case Ref(name):
                return self.ends(self.grammar.rules[name], start)
            case And(items):
                found = set(range(start, len(data) + 1))
                return found.intersection(*(self.ends(item, start) for item in items))
            case Not(item):
                return set(range(start, len(data) + 1)) - self.ends(item, start)
            case Slot(item):
                return self.ends(item, start)
        raise TypeError(node)

    def after(self, node: Node, starts: set[int]) -> set[int]:
        return set().union(*(self.ends(node, start) for start in starts))

    def repeat(self, node: Repeat, start: int) -> set[int]:
        reached, found = {start}, set()
        # With empty copies, no more rounds than this can reach anything new.
        rounds = node.min + len(self.data) + 2
        rounds = rounds if node.max is None else min(rounds, node.max)
        for count in range(rounds + 1):
            if count >= node.min:
                found |= reached
            if count and node.separator:
                reached = self.after(Bytes(node.separator), reached)
            reached = self.after(node.item, reached)
        return found

    def join(self, node: Join, start: int) -> set[int]:
        states = {(start, False)}
        for item, required in zip(node.items, node.required, strict=True):
            taken = set()
            for position, begun in states:
                at = self.ends(Bytes(node.separator), position) if begun else {position}
                taken |= {(end, True) for end in self.after(item, set(at))}
            states = taken if required else states | taken
        return {position for position, _ in states}


class RandomGrammars:
    """Random grammars over `abc`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def grammar(self) -> Grammar:
        rules: dict[str, Node] = {}
        if self.random.random() < 0.4:
            rules = {name: self.guarded(name) for name in "rs"}
        return Grammar(self.node(3, refs=tuple(rules)), rules)

    def guarded(self, name: str) -> Node:
        """A rule that consumes a byte before it refers to a rule."""
        tail = self.node(2, refs=("r", "s"))
        return Choice((Seq((self.leaf(full=True), tail)), self.leaf(full=True)))

    def leaf(self, *, full: bool = False) -> Node:
        choose = self.random
        if choose.random() < 0.5:
            members = choose.choice([[0], [1], [0, 1], [1, 2], [0, 1, 2]])
            return ByteSet(sum(1 << LETTERS[index] for index in members))
        length = choose.choice([1, 1, 2] if full else [0, 1, 1, 2])
        return Bytes(bytes(choose.choice(LETTERS) for _ in range(length)))

    def node(self, depth: int, refs: tuple[str, ...] = ()) -> Node:
        choose = self.random
        if depth == 0 or choose.random() < 0.15:
            return Ref(choose.choice(refs)) if refs and choose.random() < 0.5 else self.leaf()
        kind = choose.choice("sscccrrrjjanwo")
        if kind in "sc":
            items = tuple(self.node(depth - 1, refs) for _ in range(choose.randint(0, 3)))
            return Seq(items) if kind == "s" else Choice(items)
        if kind == "r":
            least = choose.randint(0, 3)
            most = choose.choice([None, least, least + 1, least + 3])
            return Repeat(self.node(depth - 1, refs), least, most, choose.choice([b"", b"", b"c"]))
        if kind == "j":
            return self.join(depth, refs)
        if kind == "o":
            return Slot(self.node(depth - 1, refs))
        return self.regular(depth, kind)

    def join(self, depth: int, refs: tuple[str, ...]) -> Node:
        choose = self.random
        items = tuple(
            Seq((self.leaf(full=True), self.node(depth - 1, refs)))
            for _ in range(choose.randint(0, 3))
        )
        required = tuple(choose.random() < 0.4 for _ in items)
        return Join(items, required, choose.choice([b"b", b"ab", b""]))

    def regular(self, depth: int, kind: str) -> Node:
        items = tuple(self.node(depth - 1) for _ in range(2))
        if kind == "n":
            return Not(items[0])
        return And(items) if kind == "a" else And((items[0], Not(items[1])))
