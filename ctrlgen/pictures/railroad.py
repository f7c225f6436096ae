"""A grammar as a railroad diagram: pinned text, slots, forks and loops, one track a rule.

Tracks are read from left to right; what they pass through is an answer. The drawing itself is done
by `railroad-diagrams` (extra `pictures`).
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Any

from ctrlgen.constraints.nodes import (
    Bytes,
    Choice,
    Grammar,
    Join,
    Node,
    Record,
    Ref,
    Repeat,
    Seq,
    Slot,
)
from ctrlgen.errors import SpecError
from ctrlgen.pictures.characters import letter_of_any_case, spelled, spelled_character
from ctrlgen.pictures.simplify import (
    alternatives,
    classes_joined,
    described,
    flat,
    holds_slot,
    is_any_case,
    merged,
    one_character,
    same,
)

MOST_DEEP = 24
"""Levels of nesting that are drawn."""
MOST_BRANCHES = 16
"""Alternatives of one fork that are drawn."""
MOST_IN_SLOT = 12
"""Boxes of a slot whose content is drawn; a larger one is a box with its kind."""
MOST_LETTERS = 48
"""Characters of a box."""

_KINDS = {"enum": "one of", "format": "text in a format"}

_STYLE = """
  text { font: 14px ui-monospace, monospace; fill: #1b1b1f; text-anchor: middle; }
  text.title { font: 600 15px system-ui, sans-serif; text-anchor: start; }
  text.note { font: 13px system-ui, sans-serif; fill: #55555e; text-anchor: start; }
  text.comment { font: italic 12px system-ui, sans-serif; fill: #55555e; }
  path { stroke: #55555e; stroke-width: 1.5; fill: none; }
  .terminal rect { fill: #ececef; stroke: #8a8a94; }
  .terminal.written rect { fill: #dcecf7; stroke: #0072b2; stroke-width: 2; }
  .non-terminal rect { fill: #dcecf7; stroke: #0072b2; stroke-width: 2; }
  .non-terminal.rule rect { fill: #fff; stroke: #0072b2; stroke-dasharray: 6 3; }
  .non-terminal.cut rect { fill: #fbe6d8; stroke: #b34700; }
  rect.group-box { fill: none; stroke: #0072b2; stroke-dasharray: 2 4; }
"""
_LEGEND = (
    "grey: pinned · blue: the model writes it; round: this text, square: one of these characters · "
    "branch: the model decides · dashed box: a rule"
)


@dataclass(frozen=True)
class Picture:
    """A drawing.

    Args:
        svg: It, as a document of its own.
        cut: Whether parts are left out; it says where.
    """

    svg: str
    cut: bool


def draw(grammar: Grammar, title: str, boxes: int = 300) -> Picture:
    """The railroad diagram of a grammar.

    Args:
        grammar: What to draw.
        title: Stands above the first track.
        boxes: Most boxes; what would come after them is an ellipsis, and the picture says so.

    Raises:
        SpecError: `railroad-diagrams` is not installed.
    """
    try:
        import railroad
    except ImportError as error:
        hint = "pip install 'ctrlgen[pictures]'"
        raise SpecError("pictures of constraints need railroad-diagrams", hint=hint) from error
    tracks = _Tracks(grammar, railroad, boxes)
    drawn = [(title, tracks.diagram(tracks.root))]
    for name in tracks.rules():
        if same(grammar.rules[name], tracks.root):
            drawn[0] = (f"{title}: {_rule_title(name)} =", drawn[0][1])
        else:
            drawn.append((f"{_rule_title(name)} =", tracks.diagram(grammar.rules[name])))
    notes = [_LEGEND]
    if tracks.cut:
        limits = f"{boxes} boxes, {MOST_BRANCHES} branches of a fork, {MOST_DEEP} levels"
        notes.append(f"Cut: parts are left out at each orange …; drawn are at most {limits}.")
    return Picture(_document(drawn, notes), tracks.cut)


class _Tracks:
    """Nodes to items of a diagram, as far as the boxes go."""

    def __init__(self, grammar: Grammar, library: Any, boxes: int) -> None:
        self.grammar, self.rail, self.left = grammar, library, boxes
        self.cut = self.vague = False
        self.root = grammar.root
        while isinstance(self.root, Ref):  # a track that only names another is none
            self.root = grammar.rules[self.root.name]
        # Without slots all is one gap: nothing is pinned.
        self._written = not any(map(holds_slot, [grammar.root, *grammar.rules.values()]))
        self._asked: dict[str, None] = {}
        self._inside: list[str] = []

    def diagram(self, node: Node) -> Any:
        """One track with both its ends."""
        return self.rail.Diagram(self.track(node, 0), css=None)

    def rules(self) -> Iterator[str]:
        """Rules that the tracks so far name, each once; grows while they are drawn."""
        done = 0
        while done < len(self._asked):
            yield list(self._asked)[done]
            done += 1

    def track(self, node: Node, depth: int) -> Any:
        """The item of a node."""
        if self.left <= 0 or depth > MOST_DEEP:
            return self._ellipsis()
        if isinstance(node, Bytes):
            return self._pinned(node.data)
        if isinstance(node, Slot):
            return self._slot(node, depth)
        if isinstance(node, Ref):
            return self._rule(node, depth)
        if (ranges := one_character(node)) is not None:
            first, last = ranges[0][0], ranges[-1][1]
            return (
                self._pinned(chr(first).encode()) if first == last else self._box(spelled(ranges))
            )
        if isinstance(node, Seq):
            return self._sequence(node, depth)
        if isinstance(node, Choice):
            return self._fork(node, depth)
        if isinstance(node, Repeat):
            return self._loop(node, depth)
        if isinstance(node, Join | Record):
            return self._members(node, depth)
        self.vague = True
        return self._box(described(node))

    def _pinned(self, data: bytes) -> Any:
        if not data:
            return self.rail.Skip()
        self.left -= 1
        text = _short(_visible(data.decode(errors="replace")))
        return self.rail.Terminal(text, cls="written" if self._written else "")

    def _box(self, text: str, cls: str = "") -> Any:
        self.left -= 1
        return self.rail.NonTerminal(_short(text), cls=cls)

    def _choice(self, default: int, *items: Any) -> Any:
        choice = self.rail.Choice(default, *items)
        # The library forgets the height of the last branch, which then overlaps what is below.
        choice.down += choice.items[-1].height
        return choice

    def _optional(self, item: Any) -> Any:
        return self._choice(1, self.rail.Skip(), item)

    def _ellipsis(self, text: str = "…") -> Any:
        self.cut = True
        return self.rail.NonTerminal(text, cls="cut")

    def _slot(self, slot: Slot, depth: int) -> Any:
        """A slot's content if that is small, else its kind."""
        allowed = min(self.left, MOST_IN_SLOT)
        inside = _Tracks(self.grammar, self.rail, allowed)
        inside._written = True
        content = inside.track(slot.item, depth + 1)
        kind = _KINDS.get(slot.kind, slot.kind)
        if inside.cut or inside.left <= 0 or inside.vague or inside._asked:
            return self._box(kind)
        self.left -= allowed - inside.left
        return self.rail.Group(content, kind)

    def _rule(self, ref: Ref, depth: int) -> Any:
        name = ref.name
        if _is_made_up(name) and name not in self._inside:
            self._inside.append(name)
            item = self.track(self.grammar.rules[name], depth + 1)
            self._inside.pop()
            return item
        self._asked.setdefault(name)
        return self._box(_rule_title(name), "rule")

    def _sequence(self, node: Seq, depth: int) -> Any:
        items: list[Any] = []
        for letters, run in groupby(merged(flat(node)), key=is_any_case):
            # Parts may be shared, so a run may have no end that anybody would live to see.
            start = list(islice(run, MOST_LETTERS if letters else 0))
            if len(start) > 1:
                word = "".join(letter_of_any_case(one_character(i) or ()) or "" for i in start)
                items.append(self._box(f"{word} in any case"))
                if len(start) == MOST_LETTERS:
                    return self.rail.Sequence(*items, self._ellipsis())
                continue
            for item in chain(start, run):
                spent = self.left <= 0
                items.append(self.track(item, depth + 1))
                if spent:
                    return self.rail.Sequence(*items)
        return items[0] if len(items) == 1 else self.rail.Sequence(*items)

    def _fork(self, node: Choice, depth: int) -> Any:
        items = classes_joined(list(alternatives(node)))
        present = [item for item in items if not (isinstance(item, Bytes) and not item.data)]
        branches: list[Any] = []
        for item in present[:MOST_BRANCHES]:
            branches.append(self.track(item, depth + 1))
            if self.left <= 0:
                break
        if missing := len(present) - len(branches):
            branches.append(self._ellipsis(f"… {missing:,} more"))
        if not branches:
            return self._box("nothing")
        fork = branches[0] if len(branches) == 1 else self._choice(0, *branches)
        return self._optional(fork) if len(present) < len(items) else fork

    def _loop(self, node: Repeat, depth: int) -> Any:
        least, most = node.min, node.max
        if most == 0:
            return self.rail.Skip()
        item = self.track(node.item, depth + 1)
        if most == 1:
            return item if least else self._optional(item)
        back = [self._pinned(node.separator)] if node.separator else []
        if least > 1 or most is not None:
            back.append(self.rail.Comment(_times(least, most)))
        loop = self.rail.OneOrMore(item, self.rail.Sequence(*back) if back else None)
        return loop if least else self._optional(loop)

    def _members(self, node: Join | Record, depth: int) -> Any:
        lines: list[Any] = []
        for item, needed in zip(node.items, node.required, strict=True):
            line = self.track(item, depth + 1)
            whole = needed or isinstance(node, Record)
            lines.append(line if whole else self._optional(line))
            if self.left <= 0:
                break
        if missing := len(node.items) - len(lines):
            lines.append(self._ellipsis(f"… {missing:,} more"))
        label = f"joined by “{node.separator.decode()}”" if node.separator else "in this order"
        if isinstance(node, Record):
            label += ", counted" + ", in any order" * (not node.ordered)
            return self.rail.Group(self.rail.OneOrMore(self._choice(0, *lines)), label)
        if len(lines) == 1:
            return lines[0]
        return self.rail.Group(self.rail.Stack(*lines), label)


def _is_made_up(name: str) -> bool:
    """Whether a rule was named by a reader of grammars, not by who wrote the grammar."""
    return name.startswith("__") or ":" in name


def _rule_title(name: str) -> str:
    for start in ("#/$defs/", "#/definitions/"):
        name = name.removeprefix(start)
    return name


def _times(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return f"{least} times" if least == most else f"{max(least, 1)} to {most} times"


def _visible(text: str) -> str:
    """Text whose spaces at the ends, and what cannot be printed, can be seen."""
    inner = text.strip(" ")
    start = text.index(inner) if inner else len(text)
    shown = "".join(c if c == " " else spelled_character(c) for c in inner)
    return "␣" * start + shown + "␣" * (len(text) - start - len(inner))


def _short(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def _document(drawn: list[tuple[str, Any]], notes: list[str]) -> str:
    """Diagrams under each other, and notes below."""
    out: list[str] = []
    y, width = 12.0, 8.0 * max(map(len, notes)) * 0.82
    for title, diagram in drawn:
        out.append(f'<text class="title" x="16" y="{y + 16:g}">{html.escape(title)}</text>')
        diagram.format(8)
        diagram.attrs |= {"x": 8, "y": y + 22}
        diagram.writeSvg(out.append)
        y += 40 + float(diagram.attrs["height"])
        width = max(width, float(diagram.attrs["width"]) + 16)
    for note in notes:
        out.append(f'<text class="note" x="16" y="{y + 14:g}">{html.escape(note)}</text>')
        y += 20
    size = f'width="{width:g}" height="{y + 8:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:g} {y + 8:g}">'
    paper = '<rect width="100%" height="100%" fill="#fdfdfb"/>'
    return f"{head}\n<style>{_STYLE}</style>\n{paper}\n{''.join(out)}\n</svg>\n"
