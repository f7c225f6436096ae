"""The token positions of one answer: pinned, committed, open; with a witness at all times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ctrlgen.canvas.layout import Scaffold
from ctrlgen.canvas.parts import OPEN, Gap, Members, Option, Part, Pinned, drop_bytes, gaps
from ctrlgen.constraints.nodes import Bytes
from ctrlgen.errors import CanvasTooSmallError

CellState = Literal["pinned", "committed", "open", "fill"]


@dataclass(frozen=True)
class Cell:
    """One position as people see it: its text, its state and how sure the posterior is."""

    text: str
    state: CellState
    confidence: float


@dataclass(frozen=True)
class Place:
    """A gap and the canvas position of its first token."""

    gap: Gap
    offset: int


@dataclass(frozen=True)
class View:
    """The canvas as the denoiser sees it: token ids, and where the gaps lie."""

    ids: list[int]
    places: list[Place]


class Canvas:
    """Positions of one answer, made of parts that collapse, grow and settle.

    Args:
        scaffold: Lays out nodes for this constraint and tokenizer.
        mask_token_id: What open positions hold.
        budget: Most positions the canvas may have.

    Raises:
        CanvasTooSmallError: If not even the shortest answer fits.
    """

    def __init__(self, scaffold: Scaffold, mask_token_id: int, budget: int) -> None:
        self.scaffold, self.mask, self.budget = scaffold, mask_token_id, budget
        root = scaffold.constraint.grammar.root
        needed = scaffold.minimum.of(root)
        if needed > budget:
            raise CanvasTooSmallError(int(needed), budget)
        self.parts = scaffold.layout(root)
        self._fit()

    def gaps(self) -> Iterator[Gap]:
        """All gaps laid out so far."""
        return gaps(self.parts)

    def view(self) -> View:
        """Ids and gaps up to the first undecided fork that hides what follows."""
        ids: list[int] = []
        places: list[Place] = []
        text = b""
        for piece in self._pieces(self.parts):
            if isinstance(piece, bytes):
                text += piece
                continue
            ids += self.scaffold.encode(text.decode()) if text else []
            text = b""
            places.append(Place(piece, len(ids)))
            ids += np.where(piece.committed == OPEN, self.mask, piece.committed).tolist()
            if _hides(piece):
                return View(ids, places)
        ids += self.scaffold.encode(text.decode()) if text else []
        return View(ids, places)

    def _pieces(self, parts: list[Part]) -> Iterator[bytes | Gap]:
        """Pinned text and gaps in order; separators stand before every member but the first."""
        for part in parts:
            if isinstance(part, Pinned):
                yield part.text
            elif isinstance(part, Gap):
                yield part
            else:
                for i, member in enumerate(part.members):
                    if i:
                        yield part.separator
                    yield from self._pieces(member.parts)

    def size(self) -> int:
        """Positions that the canvas takes as it stands, hidden parts included."""
        total, text = 0, b""
        for piece in self._pieces(self.parts):
            if isinstance(piece, bytes):
                text += piece
            else:
                total += piece.length + (len(self.scaffold.encode(text.decode())) if text else 0)
                text = b""
        return total + (len(self.scaffold.encode(text.decode())) if text else 0)

    def room(self) -> int:
        """Positions left when every untouched gap shrinks to its minimum."""
        slack = sum(g.length - max(1, g.minimum) for g in self.gaps() if _untouched(g))
        return self.budget - self.size() + slack

    def _fit(self) -> None:
        """Shorten untouched gaps, longest first, and drop optional members, until it all fits."""
        while (over := self.size() - self.budget) > 0:
            loose = [g for g in self.gaps() if _untouched(g) and g.length > max(1, g.minimum)]
            if loose:
                gap = max(loose, key=lambda g: g.length - g.minimum)
                shorter = max(1, gap.minimum, gap.length - over)
                gap.resize(self.scaffold.filling(gap, shorter))
            elif not _drop_optional(self.parts):
                raise CanvasTooSmallError(self.size(), self.budget)

    def grow(self, gap: Gap, length: int) -> bool:
        """Give an untouched gap more positions, as far as the budget goes."""
        length = min(length, gap.length + self.budget - self.size())
        if length <= gap.length:
            return False
        gap.resize(self.scaffold.filling(gap, length))
        return True

    def commit(self, gap: Gap, chosen: np.ndarray) -> int:
        """Commit the witness at the chosen offsets; returns how many positions were open."""
        fresh = chosen & (gap.committed == OPEN)
        gap.committed[fresh] = gap.witness[fresh]
        return int(fresh.sum())

    def collapse(self, gap: Gap) -> None:
        """Replace a settled fork by its text and by what follows from it."""
        text, rest = self._taken(gap)
        if gap.is_absent or rest is None:
            gap.options = ()
            return
        following = drop_bytes(self.scaffold.layout(rest.whole), rest.skip) if rest.whole else []
        _replace(self.parts, gap, [Pinned(text), *following])
        self._fit()

    def _taken(self, gap: Gap) -> tuple[bytes, Option | None]:
        """The text of a fork's witness, and the option that it takes if that one goes on."""
        text = self.spell(gap)
        for option in gap.options:
            if option.whole is not None and isinstance(option.head, Bytes):
                if option.head.data == text:
                    return text, option
        return text, None

    def affordable(self, gap: Gap) -> tuple[Option, ...]:
        """The options of a fork whose cheapest continuation still fits the budget."""
        room = self.room() + gap.length
        return tuple(o for o in gap.options if self._cost(o) <= room)

    def _cost(self, option: Option) -> float:
        return self.scaffold.minimum.of(option.whole if option.whole is not None else option.head)

    def spell(self, gap: Gap) -> bytes:
        """The bytes of a gap's witness; fill spells nothing."""
        tokens = self.scaffold.constraint.vocabulary.tokens
        return b"".join(tokens[t] or b"" for t in gap.witness if t != gap.slack.fill_token_id)

    def text(self) -> str:
        """The whole answer as the witness has it; always a word of the constraint."""
        return self._render(self.parts).decode()

    def _render(self, parts: list[Part]) -> bytes:
        out = b""
        for part in parts:
            if isinstance(part, Pinned):
                out += part.text
            elif isinstance(part, Members):
                present = [m for m in part.members if not (m.presence and m.presence.is_absent)]
                out += part.separator.join(self._render(m.parts) for m in present)
            else:
                out += self._render_gap(part)
        return out

    def _render_gap(self, gap: Gap) -> bytes:
        """A gap's witness, and the shortest continuation where it is a fork still open."""
        text, rest = self._taken(gap)
        if rest is None or rest.whole is None or gap.is_absent:
            return text
        automaton = self.scaffold.constraint.automaton
        word = automaton.shortest(self.scaffold.start_of(rest.whole))
        # Every word of `whole` begins with the bytes spelled before and inside the fork.
        return text + word[rest.skip :]

    def cells(self) -> tuple[Cell, ...]:
        """Every position for a picture of the canvas."""
        vocabulary = self.scaffold.constraint.vocabulary.tokens
        out: list[Cell] = []
        for piece in self._pieces(self.parts):
            if isinstance(piece, bytes):
                out.append(Cell(piece.decode(), "pinned", 1.0))
                continue
            for token, witness, sure in zip(
                piece.committed, piece.witness, piece.confidence, strict=True
            ):
                text = (vocabulary[witness] or b"").decode(errors="replace")
                fill = witness == piece.slack.fill_token_id
                state: CellState = "open" if token == OPEN else "fill" if fill else "committed"
                out.append(Cell(text, state, float(sure)))
        return tuple(out)


def _hides(gap: Gap) -> bool:
    """Whether what follows the gap is unknown until it is decided."""
    return gap.is_fork and not gap.slack.absent and any(o.whole is not None for o in gap.options)


def _untouched(gap: Gap) -> bool:
    return gap.length > 0 and bool((gap.committed == OPEN).all())


def _drop_optional(parts: list[Part]) -> bool:
    """Remove the last optional member that nothing has been committed to."""
    for part in reversed(parts):
        if isinstance(part, Members):
            for i in reversed(range(len(part.members))):
                member = part.members[i]
                if member.presence is not None and _untouched(member.presence):
                    del part.members[i]
                    return True
                if _drop_optional(member.parts):
                    return True
    return False


def _replace(parts: list[Part], gap: Gap, new: list[Part]) -> bool:
    """Put `new` where `gap` stands; a member whose presence it told is present from now on."""
    for i, part in enumerate(parts):
        if part is gap:
            parts[i : i + 1] = new
            return True
        if isinstance(part, Members):
            for member in part.members:
                if _replace(member.parts, gap, new):
                    if member.presence is gap:
                        member.presence = None
                    return True
    return False

