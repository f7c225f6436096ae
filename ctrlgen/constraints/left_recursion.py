"""Context-free rules as grammar nodes without left recursion.

Every rule becomes a node for its *nonempty* words; where a rule may be empty, its uses say so. Then
no nullable prefix can hide a recursion, and what is left is a linear system in the rules that begin
with each other, `A = A·step + base`, whose solution is `base·step*` (Arden's lemma).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from ..errors import LimitError
from .build import concat, copies, union
from .nodes import EMPTY, NOTHING, Choice, Node, Ref, optional

# A rule's name, or the node of a terminal; no terminal matches the empty string.
Symbol: TypeAlias = str | Node
Word: TypeAlias = tuple[Symbol, ...]
Productions: TypeAlias = Mapping[str, Sequence[Word]]

MAX_COMPONENT = 100


class Rules:
    """The nodes of context-free rules.

    Args:
        productions: The alternatives of each rule.

    Attributes:
        nodes: For each rule with a nonempty word, those words.

    Raises:
        LimitError: More than `MAX_COMPONENT` rules begin with one another.
    """

    def __init__(self, productions: Productions) -> None:
        useful = _names_where(productions, _is_productive)
        self._productions = {
            name: [word for word in words if _is_productive(word, useful)]
            for name, words in productions.items()
        }
        self._nullable = _names_where(self._productions, _is_nullable)
        self._filled = _names_where(self._productions, _has_nonempty)
        # Equal tails must be one node, so that `x x*` is recognised as such.
        self._references = cache(Ref)
        self._tails = cache(self._factored)
        self._reach = {name: self._reachable(name) for name in self._productions}
        self.nodes = {name: self._solve(name) for name in self._filled}

    def all_words(self, name: str) -> Node:
        """All words of the rule `name`; `NOTHING` if it has none."""
        nonempty = self._references(name) if name in self._filled else NOTHING
        if name not in self._nullable:
            return nonempty
        return EMPTY if nonempty is NOTHING else optional(nonempty)

    def _factored(self, words: tuple[Word, ...]) -> Node:
        """The union of `words`, common beginnings once.

        Otherwise `atom | atom "^" power` would be two stacks for each parenthesis that is open.
        """
        rests = _by_first(words)
        ends = [EMPTY] if () in words else []
        return union([*(self._begun(first, rest) for first, rest in rests.items()), *ends])

    def _begun(self, first: Symbol, rests: tuple[Word, ...]) -> Node:
        head = self.all_words(first) if isinstance(first, str) else first
        return concat((head, self._tails(rests)))

    def _heads(self, name: str) -> Iterator[tuple[Symbol, Word]]:
        """Each symbol that a nonempty word of `name` can begin with, and what follows it then."""
        for word in self._productions[name]:
            for index, symbol in enumerate(word):
                if not isinstance(symbol, str) or symbol in self._filled:
                    yield symbol, word[index + 1 :]
                if not (isinstance(symbol, str) and symbol in self._nullable):
                    break

    def _reachable(self, name: str) -> frozenset[str]:
        """The rules that a nonempty word of `name` can begin with, directly or not."""
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            for symbol, _ in self._heads(waiting.pop()):
                if isinstance(symbol, str) and symbol not in seen:
                    seen.add(symbol)
                    waiting.append(symbol)
        return frozenset(seen)

    def _solve(self, name: str) -> Node:
        peers = [each for each in self._reach[name] if name in self._reach[each]]
        if len(peers) > MAX_COMPONENT:
            raise LimitError(f"{len(peers)} rules begin with one another, like {name!r}")
        # The order of a set changes from run to run.
        peers = sorted({name, *peers})
        return _System({each: self._equation(each, peers) for each in peers}).solve(name)

    def _equation(self, name: str, peers: list[str]) -> _Equation:
        bases: list[Node] = []
        steps: dict[str, Node] = {}
        heads: dict[Symbol, dict[Word, None]] = {}
        for symbol, rest in self._heads(name):
            heads.setdefault(symbol, {})[rest] = None
        for symbol, rests in heads.items():
            tail = self._tails(tuple(rests))
            if isinstance(symbol, str) and symbol in peers:
                steps[symbol] = tail
            else:
                head = self._references(symbol) if isinstance(symbol, str) else symbol
                bases.append(concat((head, tail)))
        return _Equation(union(bases), steps)


class _Equation:
    """`A = base + the sum of B·steps[B]` over rules B."""

    __slots__ = ("base", "steps")

    def __init__(self, base: Node, steps: dict[str, Node]) -> None:
        self.base = base
        self.steps = steps


class _System:
    """Linear equations between rules."""

    def __init__(self, equations: dict[str, _Equation]) -> None:
        self._equations = equations

    def solve(self, name: str) -> Node:
        """The rule `name` without reference to the other rules of the system."""
        for other in list(self._equations):
            if other != name:
                self._eliminate(other)
        equation = self._equations[name]
        return _then_any_number(equation.base, equation.steps.get(name, NOTHING))

    def _eliminate(self, name: str) -> None:
        gone = self._equations.pop(name)
        loop = _star(gone.steps.pop(name, NOTHING))
        for equation in self._equations.values():
            step = equation.steps.pop(name, NOTHING)
            if step is NOTHING:
                continue
            through = concat((loop, step))
            equation.base = union((equation.base, concat((gone.base, through))))
            for source, first in gone.steps.items():
                old = equation.steps.get(source, NOTHING)
                equation.steps[source] = union((old, concat((first, through))))


def _star(step: Node) -> Node:
    # A unit cycle `a: a` is a step over nothing.
    nonempty = [item for item in _alternatives(step) if item is not EMPTY]
    return copies(union(nonempty), 0, None)


def _then_any_number(base: Node, step: Node) -> Node:
    if base is step:
        return copies(base, 1, None)
    return concat((base, _star(step)))


def _alternatives(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, Choice) else (node,)


def _by_first(words: tuple[Word, ...]) -> dict[Symbol, tuple[Word, ...]]:
    """What follows each symbol that one of `words` begins with."""
    rests: dict[Symbol, dict[Word, None]] = {}
    for word in words:
        if word:
            rests.setdefault(word[0], {})[word[1:]] = None
    return {first: tuple(found) for first, found in rests.items()}


def _names_where(productions: Productions, holds: Callable[[Word, set[str]], bool]) -> set[str]:
    """The least set of rules that have an alternative for which `holds`, given this set."""
    found: set[str] = set()
    before = -1
    while before != len(found):
        before = len(found)
        for name, words in productions.items():
            if name not in found and any(holds(word, found) for word in words):
                found.add(name)
    return found


def _is_productive(word: Word, known: set[str]) -> bool:
    return all(each in known if isinstance(each, str) else each is not NOTHING for each in word)


def _is_nullable(word: Word, known: set[str]) -> bool:
    return all(isinstance(each, str) and each in known for each in word)


def _has_nonempty(word: Word, known: set[str]) -> bool:
    return any(not isinstance(each, str) or each in known for each in word)
