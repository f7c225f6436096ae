"""Scaffold: grammar nodes to canvas parts, S3-style (arXiv:2507.04504), with types and structure.

Literal text is pinned, each value becomes one gap with slack, and wherever the grammar leaves a
structural choice there is a fork. What is not structured (a regex, a Lark grammar) is one gap.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ctrlgen.canvas.minimum import MinimumTokens
from ctrlgen.canvas.parts import Gap, Member, Members, Option, Part, Pinned
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.gap import Slack
from ctrlgen.constraints.nodes import (
    EMPTY,
    Bytes,
    Choice,
    Join,
    Node,
    Ref,
    Repeat,
    Seq,
    Slot,
)

STRUCTURE = b":,[{"


@dataclass(frozen=True)
class Sizes:
    """How many positions a gap gets at first; it grows when the value wants more."""

    value: int = 10
    text: int = 32
    fork_slack: int = 2


class Scaffold:
    """Lays out nodes of one constraint for one tokenizer.

    Args:
        constraint: The compiled constraint.
        encode: The model's own tokenization of a piece of text.
        fill_token_id: The token deleted from answers.
        sizes: First gap lengths.
    """

    def __init__(
        self,
        constraint: Constraint,
        encode: Callable[[str], list[int]],
        fill_token_id: int,
        sizes: Sizes | None = None,
    ) -> None:
        self.constraint, self.encode, self.fill = constraint, encode, fill_token_id
        self.sizes = sizes or Sizes()
        self.minimum = MinimumTokens(self)
        self._structured: dict[Node, bool] = {}
        self._starts: dict[Node, int] = {}
        self._forks: dict[tuple[Option, ...], Choice] = {}

    def layout(self, node: Node) -> list[Part]:
        """The parts of `node`."""
        text = literal(node)
        if text is not None:
            return [Pinned(text)] if text else []
        if isinstance(node, Slot):
            return [self.gap(node.item, node.name, node.kind)]
        if not self.is_structured(node):
            return [self.gap(node, "", "text")]
        if isinstance(node, Ref):
            return self.layout(self.rule(node))
        if isinstance(node, Seq):
            return [part for item in node.items for part in self.layout(item)]
        if isinstance(node, Join):
            return [self._members(node)]
        if isinstance(node, Repeat):
            return self._items(node)
        assert isinstance(node, Choice)
        return self._choice(node)

    def rule(self, ref: Ref) -> Node:
        """The node that a reference names."""
        return self.constraint.grammar.rules[ref.name]

    def start_of(self, node: Node) -> int:
        """The automaton state at the left edge of `node`."""
        if node not in self._starts:
            self._starts[node] = self.constraint.automaton.state_of(node)
        return self._starts[node]

    def start_of_options(self, options: tuple[Option, ...]) -> int:
        """The state at the left edge of a fork that has only these options."""
        if options not in self._forks:
            self._forks[options] = Choice(tuple(option.head for option in options))
        return self.start_of(self._forks[options])

    def is_structured(self, node: Node) -> bool:
        """Whether `node` can be laid out as more than one gap."""
        if node not in self._structured:
            self._structured[node] = False  # a recursive reference adds no structure of its own
            self._structured[node] = self._find_structure(node)
        return self._structured[node]

    def _find_structure(self, node: Node) -> bool:
        if isinstance(node, Slot):
            return True
        if isinstance(node, Ref):
            return self.is_structured(self.rule(node))
        if isinstance(node, Seq):
            inner = [i for i in node.items if literal(i) is None]
            return any([self.is_structured(i) for i in inner]) and all(
                self.is_structured(i) or isinstance(i, Choice | Repeat | Join) for i in inner
            )
        if isinstance(node, Join):
            return bool(self._laid_out(node))
        if isinstance(node, Repeat):
            return self.is_structured(node.item) and bool(self.prefix(node.item))
        if isinstance(node, Choice):
            return any([self.is_structured(i) for i in node.items]) and self.options(node) is not None
        return False

    def _laid_out(self, node: Join) -> list[int]:
        """Items that the scaffold can show: all that are required or begin with a literal.

        An optional item without a literal start (extra properties) is left out of the answer. A
        required one that cannot be shown makes the whole list unstructured.
        """
        shown = [i for i, item in enumerate(node.items) if self.prefix(item)]
        missing = [i for i, needed in enumerate(node.required) if needed and i not in shown]
        return [] if missing else shown

    def prefix(self, node: Node) -> bytes:
        """The longest literal that every word of `node` is sure to begin with, as laid out."""
        if isinstance(node, Bytes):
            return node.data
        if isinstance(node, Ref):
            return self.prefix(self.rule(node))
        if isinstance(node, Seq):
            out = b""
            for item in node.items:
                out += self.prefix(item)
                if literal(item) is None:
                    break
            return out
        if isinstance(node, Join) and node.required and node.required[0]:
            return self.prefix(node.items[0])
        if isinstance(node, Repeat) and node.min:
            return self.prefix(node.item)
        return b""

    def gap(
        self, node: Node, name: str, kind: str, options: tuple[Option, ...] = (), absent: bool = False
    ) -> Gap:
        """A gap over `node` with its first length and its shortest filling as witness."""
        start = self.start_of(node)
        shortest = self.constraint.tokens.shortest(start)
        first = self.sizes.text if kind == "text" else self.sizes.value
        if options:
            longest = max(map(self._head_length, options))
            first = longest + self.sizes.fork_slack * (longest > 1)
        gap = Gap(
            name, kind, start, len(shortest), Slack(self.fill, absent), options,
            np.empty(0, np.int64), np.empty(0, np.int64),
        )  # fmt: skip
        gap.resize(self.filling(gap, max(first, len(shortest), 1)))
        return gap

    def filling(self, gap: Gap, length: int) -> np.ndarray:
        """The shortest valid filling of `gap` at this length: absent where that is allowed."""
        tokens = [] if gap.slack.absent else self.constraint.tokens.shortest(gap.start)
        padded = list(tokens) + [self.fill] * (length - len(tokens))
        return np.array(padded, dtype=np.int64)

    def _head_length(self, option: Option) -> int:
        if isinstance(option.head, Bytes):
            return len(self.encode(option.head.data.decode()))
        return self.sizes.value

    def _members(self, node: Join) -> Members:
        members = []
        for i in self._laid_out(node):
            members.append(self._member(node.items[i], node.required[i]))
        return Members(node.separator, members)

    def _member(self, item: Node, required: bool) -> Member:
        """One member; the first gap behind its key says whether it is there at all."""
        if required:
            return Member(self.layout(item), None)
        parts = self.layout(item)
        if len(parts) == 2 and isinstance(parts[1], Gap):
            parts[1].slack = Slack(self.fill, absent=True)
            parts[1].resize(self.filling(parts[1], parts[1].length))
            return Member(parts, parts[1])
        prefix = self.prefix(item)
        key = prefix[: prefix.find(b":") + 1]
        fork = self._fork([(item, prefix)], len(key), absent=True)
        return Member([Pinned(key), fork] if key else [fork], fork)

    def _items(self, node: Repeat) -> list[Part]:
        """The items that must be there, then a fork that may add another."""
        parts: list[Part] = []
        for i in range(node.min):
            parts += [Pinned(node.separator)] if i and node.separator else []
            parts += self.layout(node.item)
        if node.max is None or node.max > node.min:
            parts.append(self._more(node))
        return parts

    def _more(self, node: Repeat) -> Gap:
        """The fork behind `node.min` items: the separator announces one more, fill ends the list."""
        left = None if node.max is None else node.max - node.min - 1
        rest = Repeat(node.item, 0, left, node.separator)
        again: Node
        if node.min and node.separator:
            again = Seq((Bytes(node.separator), node.item, self._tail(rest)))
            return self._fork([(again, node.separator)], 0, absent=True)
        again = Seq((node.item, self._tail(rest)))
        return self._fork([(again, self.prefix(node.item))], 0, absent=True)

    def _tail(self, rest: Repeat) -> Node:
        """`rest` behind an item: every further copy begins with the separator."""
        if rest.max == 0:
            return EMPTY
        if not rest.separator:
            return rest
        return Repeat(Seq((Bytes(rest.separator), rest.item)), 0, rest.max)

    def _choice(self, node: Choice) -> list[Part]:
        options = self.options(node)
        assert options is not None
        if len(options) == 1:
            return self.layout(options[0][0])
        shared = _shared_prefix([prefix for _, prefix in options])
        fork = self._fork(options, len(shared), absent=False)
        return [Pinned(shared), fork] if shared else [fork]

    def options(self, node: Choice) -> list[tuple[Node, bytes]] | None:
        """The alternatives with their literal starts; None when those do not tell them apart."""
        flat = self._flatten(node)
        found = [(alternative, self.prefix(alternative)) for alternative in flat]
        values = [isinstance(a, Slot) or literal(a) is not None for a, _ in found]
        starts = [prefix for (_, prefix), value in zip(found, values, strict=True) if not value]
        if any(not prefix for prefix in starts):
            return None
        for i, one in enumerate(starts):
            for other in starts[i + 1 :]:
                if one.startswith(other) or other.startswith(one):
                    return None
        if any(p.startswith((b'"', b"-")) or p[:1].isdigit() for p in starts) and any(values):
            return None
        return found

    def _flatten(self, node: Node) -> list[Node]:
        """Alternatives of nested choices and references to choices."""
        if isinstance(node, Ref) and isinstance(self.rule(node), Choice):
            return self._flatten(self.rule(node))
        if isinstance(node, Choice):
            return [a for item in node.items for a in self._flatten(item)]
        return [node]

    def _fork(self, options: list[tuple[Node, bytes]], shared: int, absent: bool) -> Gap:
        """A gap over the heads of the options, `shared` bytes into each."""
        prefixes = [prefix[shared:] for _, prefix in options]
        built = []
        for (node, _), prefix in zip(options, prefixes, strict=True):
            if isinstance(node, Slot):
                built.append(Option(node.item))
            elif literal(node) is not None:
                built.append(Option(Bytes(prefix)))
            else:
                cut = _cut(prefix, [p for p in prefixes if p is not prefix])
                built.append(Option(Bytes(prefix[:cut]), node, shared + cut))
        heads = Choice(tuple(option.head for option in built))
        return self.gap(heads, "", "fork", tuple(built), absent)


def literal(node: Node) -> bytes | None:
    """The only word of a node that is plainly literal; None for any other node."""
    if isinstance(node, Bytes):
        return node.data
    if isinstance(node, Seq):
        words = [literal(item) for item in node.items]
        known = [word for word in words if word is not None]
        return b"".join(known) if len(known) == len(words) else None
    return None


def _shared_prefix(prefixes: list[bytes]) -> bytes:
    """The common start, cut back to where a value begins."""
    common = os.path.commonprefix(prefixes)
    ends = [i for i in range(len(common), 0, -1) if common[i - 1] in STRUCTURE]
    return common[: ends[0]] if ends else b""


def _cut(prefix: bytes, others: list[bytes]) -> int:
    """Bytes of `prefix` that tell it from the others, up to the end of a JSON value or key."""
    distinct = max((len(os.path.commonprefix([prefix, o])) for o in others), default=0) + 1
    for i in range(distinct, len(prefix)):
        if prefix[i] in b",:]}" or prefix[i - 1] in b",[{":
            return i
    return len(prefix)

