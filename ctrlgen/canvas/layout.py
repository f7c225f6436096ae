"""Scaffold: grammar nodes to canvas parts, S3-style (arXiv:2507.04504), with types and structure.

Literal text is pinned, each value becomes one gap with slack, and wherever the grammar leaves a
structural choice there is a fork. What is not structured (a regex, a Lark grammar) is one gap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ctrlgen.canvas.minimum import MinimumTokens
from ctrlgen.canvas.parts import Gap, Member, Members, Option, Part, Pinned, literal
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.gap import GapGraph, Slack
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
    """How many positions a gap gets at first; it grows when the value wants more.

    Args:
        value: Of a value slot.
        text: Of a text without structure.
        fork_slack: Of a fork, beyond its longest head.
        closing: Slope and offset of the log-odds that a value fits its slot, over those of the
            closing mass (Platt 1999).
        absence: How many nats likelier it is that there is no value than the model says.
    """

    value: int = 14
    text: int = 32
    fork_slack: int = 2
    closing: tuple[float, float] = (1.0, 0.0)
    absence: float = 0.0


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
        self.graphs: dict[tuple[int, int, Slack], GapGraph | None] = {}
        self._structured: dict[Node, bool] = {}
        self._prefixes: dict[tuple[Node, bool], bytes] = {}
        self._options: dict[Node, list[tuple[Node, bytes]] | None] = {}
        self._starts: dict[Node, int] = {}
        self._heads: dict[tuple[Option, ...], Choice] = {}
        self._forks: dict[tuple[Node, int], tuple[Option, ...]] = {}
        self._values: dict[Node, tuple[bytes, Node]] = {}
        self._further: dict[Repeat, Node] = {}
        self._pinned: dict[tuple[bytes, ...], list[int]] = {(): []}

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

    def pinned(self, run: tuple[bytes, ...]) -> list[int]:
        """Tokens of adjacent pinned pieces: of all as one text, unless that takes more of them."""
        known = self._pinned.get(run)
        if known is None:
            if len(self._pinned) > 10_000:
                self._pinned = {(): []}
            joint = self.encode(b"".join(run).decode())
            single = [token for piece in run for token in self.encode(piece.decode())]
            known = self._pinned[run] = joint if len(joint) <= len(single) else single
        return known

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
        if options not in self._heads:
            # Without options a fork can only be absent, which is spelled like the empty word.
            self._heads[options] = Choice(tuple(option.head for option in options) or (EMPTY,))
        return self.start_of(self._heads[options])

    def is_structured(self, node: Node) -> bool:
        """Whether `node` can be laid out as more than one gap."""
        while node not in self._structured:
            known = {n for n, yes in self._structured.items() if yes}
            seen: dict[Node, bool] = {}
            self._look(node, seen)
            # What a reference back to a node under inspection hid shows in the next round.
            stable = all(not yes or n in known for n, yes in seen.items())
            self._structured |= seen if stable else {n: True for n, yes in seen.items() if yes}
        return self._structured[node]

    def _look(self, node: Node, seen: dict[Node, bool]) -> bool:
        if node in self._structured:
            return self._structured[node]
        if node not in seen:
            seen[node] = False
            seen[node] = self._find_structure(node, seen)
        return seen[node]

    def _find_structure(self, node: Node, seen: dict[Node, bool]) -> bool:
        if isinstance(node, Slot):
            return True
        if isinstance(node, Ref):
            return self._look(self.rule(node), seen)
        if isinstance(node, Seq):
            inner = [i for i in node.items if literal(i) is None]
            found = [self._look(i, seen) for i in inner]
            loose = [isinstance(i, Choice | Repeat | Join) for i in inner]
            return any(found) and all(f or o for f, o in zip(found, loose, strict=True))
        if isinstance(node, Join):
            return bool(self._laid_out(node))
        if isinstance(node, Repeat):
            return bool(self.prefix(node.item)) and self._look(node.item, seen)
        if isinstance(node, Choice):
            return self.options(node) is not None and any(
                [self._look(i, seen) for i in self._flatten(node)]
            )
        return False

    def _laid_out(self, node: Join) -> list[int]:
        """Items that the scaffold can show: all that are required or begin with a literal.

        An optional item without a literal start (extra properties) is left out of the answer. A
        required one that cannot be shown makes the whole list unstructured.
        """
        shown = [i for i, item in enumerate(node.items) if self.prefix(item)]
        missing = [i for i, needed in enumerate(node.required) if needed and i not in shown]
        return [] if missing else shown

    def prefix(self, node: Node, *, shared: bool = True) -> bytes:
        """A literal that every word of `node` begins with.

        Args:
            node: Any node.
            shared: Whether to go on into what all alternatives of a choice begin with.
        """
        if (node, shared) not in self._prefixes:
            self._prefixes[node, shared] = b""  # only a node without any word comes back here
            self._prefixes[node, shared] = self._find_prefix(node, shared)
        return self._prefixes[node, shared]

    def _find_prefix(self, node: Node, shared: bool) -> bytes:
        if isinstance(node, Bytes):
            return node.data
        if isinstance(node, Ref):
            return self.prefix(self.rule(node), shared=shared)
        if isinstance(node, Seq):
            out = b""
            for item in node.items:
                out += self.prefix(item, shared=shared)
                if literal(item) is None:
                    break
            return out
        if isinstance(node, Join) and node.required and node.required[0]:
            return self.prefix(node.items[0], shared=shared)
        if isinstance(node, Repeat) and node.min:
            return self.prefix(node.item, shared=shared)
        if isinstance(node, Choice) and shared:
            return _shared_prefix([prefix for _, prefix in self.options(node) or []])
        return b""

    def gap(self, node: Node, name: str, kind: str, absent: bool = False) -> Gap:
        """A gap over `node` with its first length and its shortest filling as witness."""
        start = self.start_of(node)
        minimum = max(1, len(self.constraint.tokens.completion(start)))
        first = self.sizes.text if kind == "text" else self.sizes.value
        slack = Slack(self.fill, absent, self.sizes.absence if absent else 0.0)
        gap = Gap(name, kind, start, minimum, slack)
        gap.resize(self.filling(gap, max(first, minimum)))
        return gap

    def filling(self, gap: Gap, length: int) -> np.ndarray:
        """The cheapest valid filling of `gap` at this length: absent where that is allowed."""
        start = self.start_of_options((self.cheapest(gap.options),)) if gap.options else gap.start
        tokens = [] if gap.slack.absent else self.constraint.tokens.completion(start)
        return np.array(tokens + [self.fill] * (length - len(tokens)), dtype=np.int64)

    def cheapest(self, options: tuple[Option, ...]) -> Option:
        """The option that needs the fewest positions."""
        return min(options, key=self.minimum.of_option)

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
        """One member; the gap behind its key says whether it is there at all."""
        if required:
            return Member(self.layout(item), None)
        key, value = self._key_and_value(item)
        if isinstance(value, Slot):
            gap = self.gap(value.item, value.name, value.kind, absent=True)
        elif self.is_structured(value) and self.prefix(value):
            gap = self._fork(value, [(value, self.prefix(value))], 0, absent=True)
        elif self.is_structured(value) and isinstance(value, Choice):
            gap = self._fork(value, self.options(value) or [], 0, absent=True)
        else:
            gap = self.gap(value, "", "text" if literal(value) is None else "enum", absent=True)
        return Member([Pinned(key), gap] if key else [gap], gap)

    def _key_and_value(self, item: Node) -> tuple[bytes, Node]:
        """A member's literal start up to the colon, and what follows it."""
        if item not in self._values:
            self._values[item] = self._split(item)
        return self._values[item]

    def _split(self, item: Node) -> tuple[bytes, Node]:
        whole = literal(item)
        if whole is not None:
            colon = whole.find(b'":') + 2 if b'":' in whole else 0
            return whole[:colon], Bytes(whole[colon:])
        if isinstance(item, Ref):
            return self._split(self.rule(item))
        if not isinstance(item, Seq):
            return b"", item
        flat = list(item.items)
        key = b""
        while (word := literal(flat[0])) is not None:
            key += word
            del flat[0]
        colon = key.find(b'":') + 2 if b'":' in key else 0
        items = [*([Bytes(key[colon:])] if colon < len(key) else []), *flat]
        rest = items[0] if len(items) == 1 else Seq(tuple(items))
        while isinstance(rest, Ref):
            rest = self.rule(rest)
        return key[:colon], rest

    def _items(self, node: Repeat) -> list[Part]:
        """The items that must be there, then a fork that may add another."""
        parts: list[Part] = []
        for i in range(node.min):
            parts += [Pinned(node.separator)] if i and node.separator else []
            parts += self.layout(node.item)
        if node.max is None or node.max > node.min:
            again = self.again(node)
            parts.append(self._fork(again, [(again, self.prefix(again))], 0, absent=True))
        return parts

    def again(self, node: Repeat) -> Node:
        """One more item behind the first `node.min`, and all that may follow it."""
        if node not in self._further:
            first = (Bytes(node.separator),) if node.min and node.separator else ()
            self._further[node] = Seq((*first, node.item, self._tail(node)))
        return self._further[node]

    def _tail(self, node: Repeat) -> Node:
        """What may stand behind item `node.min + 1`: every further copy begins with a separator."""
        most = None if node.max is None else node.max - node.min - 1
        if most == 0:
            return EMPTY
        if not node.separator:
            return node if not node.min and most is None else Repeat(node.item, 0, most)
        return Repeat(Seq((Bytes(node.separator), node.item)), 0, most)

    def _choice(self, node: Choice) -> list[Part]:
        options = self.options(node) or []
        if len(options) == 1:
            return self.layout(options[0][0])
        return [self._fork(node, options, len(self.prefix(node)), absent=False)]

    def options(self, node: Choice) -> list[tuple[Node, bytes]] | None:
        """The alternatives with their literal starts; None when those do not tell them apart."""
        if node not in self._options:
            self._options[node] = self._find_options(self._flatten(node))
        return self._options[node]

    def _find_options(self, flat: list[Node]) -> list[tuple[Node, bytes]] | None:
        found = [(alternative, self.prefix(alternative, shared=False)) for alternative in flat]
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

    def _fork(
        self, node: Node, options: list[tuple[Node, bytes]], shared: int, absent: bool
    ) -> Gap:
        """A gap over the heads of `node`'s options, `shared` bytes into each."""
        built = self.fork_options(node, options, shared)
        minimum = self.minimum.head(self.cheapest(built))
        longest = max(map(self._head_length, built))
        first = max(longest + self.sizes.fork_slack * (longest > 1), minimum)
        gap = Gap(
            "", "fork", self.start_of_options(built), minimum, Slack(self.fill, absent), built,
            options[0][1][:shared], 0 if absent else int(min(map(self.minimum.of_option, built))),
        )  # fmt: skip
        gap.resize(self.filling(gap, first))
        return gap

    def fork_options(
        self, node: Node, options: list[tuple[Node, bytes]], shared: int
    ) -> tuple[Option, ...]:
        """The ways to go on from a fork over `options`."""
        if (node, shared) not in self._forks:
            prefixes = [prefix[shared:] for _, prefix in options]
            built = []
            for i, (alternative, _) in enumerate(options):
                others = prefixes[:i] + prefixes[i + 1 :]
                built.append(_option(alternative, prefixes[i], others))
            self._forks[node, shared] = tuple(built)
        return self._forks[node, shared]


def _option(alternative: Node, prefix: bytes, others: list[bytes]) -> Option:
    if isinstance(alternative, Slot):
        return Option(alternative.item)
    if literal(alternative) is not None:
        return Option(Bytes(prefix))
    return Option(Bytes(prefix[: _cut(prefix, others)]), alternative)


def _shared_prefix(prefixes: list[bytes]) -> bytes:
    """The common start, cut back to where a value begins."""
    count = min((_common(prefixes[0], p) for p in prefixes), default=0)
    while count and prefixes[0][count - 1] not in STRUCTURE:
        count -= 1
    return prefixes[0][:count] if count else b""


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two texts share at their start."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _cut(prefix: bytes, others: list[bytes]) -> int:
    """Bytes of `prefix` that tell it from the others, up to the end of a JSON value or key."""
    distinct = max((_common(prefix, o) for o in others), default=0) + 1
    for i in range(distinct, len(prefix)):
        if prefix[i] in b",:]}" or prefix[i - 1] in b",[{":
            return i
    return len(prefix)
