"""The token positions of one answer: pinned, committed, open; with a witness at all times."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ctrlgen.canvas.layout import Scaffold
from ctrlgen.canvas.parts import OPEN, Gap, Members, Option, Part, Pinned, copied, gaps
from ctrlgen.constraints.nodes import Bytes
from ctrlgen.errors import CanvasTooSmallError

CellState = Literal["pinned", "committed", "open", "fill"]


@dataclass(frozen=True)
class Cell:
    """One position as people see it.

    Args:
        text: What stands there, or would by the witness.
        state: Pinned, committed, open, or committed as fill.
        confidence: How sure the posterior is of it.
        gap: Number of its gap, another one once the gap is laid out anew; -1: pinned.
        name: What the gap is called, a key as a rule.
        window: Whether it lies in the block controller's window, where that leaves positions out.
    """

    text: str
    state: CellState
    confidence: float
    gap: int = -1
    name: str = ""
    window: bool = False


@dataclass(frozen=True)
class Decision:
    """How a fork went.

    Args:
        after: The end of the pinned text before it.
        taken: The text that it became; empty: what may follow is absent.
        among: How each of its options begins; values by their kind.
        confidence: Of the least sure token of it.
    """

    after: str
    taken: str
    among: tuple[str, ...]
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

    Attributes:
        prompt: Tokens that stand before it, for controllers that run a model of their own.
        aside: Positions committed outside a step, and not counted yet.
        decisions: How forks went since somebody last emptied the list.

    Raises:
        CanvasTooSmallError: If not even the shortest answer fits.
    """

    def __init__(self, scaffold: Scaffold, mask_token_id: int, budget: int) -> None:
        self.scaffold, self.mask, self.budget = scaffold, mask_token_id, budget
        self.prompt: list[int] = []
        self.aside = 0
        self.decisions: list[Decision] = []
        root = scaffold.constraint.grammar.root
        needed = scaffold.minimum.of(root)
        if needed > budget:
            raise CanvasTooSmallError(int(needed), budget)
        self.parts = scaffold.layout(root)
        self._fit()

    def copy(self) -> Canvas:
        """A canvas in the same state that goes its own way."""
        out = copy(self)
        out.parts, out.decisions = copied(self.parts), list(self.decisions)
        return out

    def gaps(self) -> Iterator[Gap]:
        """All gaps laid out so far."""
        return gaps(self.parts)

    def view(self) -> View:
        """Ids and gaps up to the first undecided fork that hides what follows."""
        ids: list[int] = []
        places: list[Place] = []
        run: list[bytes] = []
        for piece in self._pieces(self.parts):
            if isinstance(piece, bytes):
                run.append(piece)
                continue
            ids += self.encode(run)
            run.clear()
            places.append(Place(piece, len(ids)))
            ids += [self.mask if token == OPEN else token for token in piece.committed.tolist()]
            if hides(piece):
                return View(ids, places)
        return View(ids + self.encode(run), places)

    def encode(self, run: list[bytes]) -> list[int]:
        """Tokens of adjacent pinned pieces: of all as one text, unless that takes more of them."""
        return self.scaffold.pinned(tuple(run))

    def _pieces(self, parts: list[Part]) -> Iterator[bytes | Gap]:
        """Pinned text and gaps in order; separators stand before every member but the first."""
        for part in parts:
            if isinstance(part, Pinned):
                yield part.text
            elif isinstance(part, Gap):
                if part.lead:
                    yield part.lead
                yield part
            else:
                for i, member in enumerate(part.members):
                    if i and part.separator:
                        yield part.separator
                    yield from self._pieces(member.parts)

    def size(self) -> int:
        """Positions that the canvas may take as it stands, what hides behind forks included."""
        return self._total(self.parts, self._footprint)

    def _total(self, parts: list[Part], measure: Callable[[Gap], int]) -> int:
        """Positions of `parts`; a gap that measures 0 is left out, with the member it tells of."""
        total = 0
        for part in parts:
            if isinstance(part, Pinned):
                total += self.scaffold.minimum.text(part.text)
            elif isinstance(part, Gap):
                total += measure(part)
            else:
                sizes = [
                    self._total(m.parts, measure)
                    for m in part.members
                    if m.presence is None or measure(m.presence)
                ]
                separator = self.scaffold.minimum.text(part.separator)
                total += sum(sizes) + separator * max(0, len(sizes) - 1)
        return total

    def _footprint(self, gap: Gap) -> int:
        """Positions of a gap as it stands, or of what an undecided fork must lead to."""
        return self._at_length(gap, gap.length)

    def _at_length(self, gap: Gap, length: int) -> int:
        reserve = gap.reserve if gap.is_fork else 0
        return max(self.scaffold.minimum.text(gap.lead) + length, reserve)

    def _floor(self, gap: Gap) -> int:
        """Positions of a gap once an untouched one has shrunk or gone."""
        if not gap.untouched:
            return self._footprint(gap)
        return 0 if gap.slack.absent else self._at_length(gap, gap.minimum)

    def _fit(self) -> None:
        """Shorten untouched gaps, the longest first; if need be drop optional members."""
        over = self.size() - self.budget
        if over <= 0:
            return
        loose = [gap for gap in self.gaps() if gap.untouched]
        cap = max((gap.length for gap in loose), default=0)
        while cap > 1 and sum(self._saved(gap, cap) for gap in loose) < over:
            cap -= 1
        for gap in loose:
            if (length := _capped(gap, cap)) < gap.length:
                gap.resize(self.scaffold.filling(gap, length))
        over = self.size() - self.budget
        while over > 0:
            freed = self._drop_optional(self.parts)
            if not freed:
                raise CanvasTooSmallError(self.size(), self.budget)
            over -= freed

    def _saved(self, gap: Gap, cap: int) -> int:
        return self._footprint(gap) - self._at_length(gap, _capped(gap, cap))

    def _drop_optional(self, parts: list[Part]) -> int:
        """Remove the last optional part that nothing has been committed to.

        Returns:
            How many positions that freed; 0 if there is no such part.
        """
        for i in reversed(range(len(parts))):
            part = parts[i]
            if isinstance(part, Gap) and part.untouched and part.slack.absent:
                del parts[i]
                return self._footprint(part)
            if isinstance(part, Members) and (freed := self._drop_member(part)):
                return freed
        return 0

    def _drop_member(self, part: Members) -> int:
        members = part.members
        for i in reversed(range(len(members))):
            presence = members[i].presence
            if presence is not None and presence.untouched:
                freed = self._total(members.pop(i).parts, self._footprint)
                return freed + (self.scaffold.minimum.text(part.separator) if members else 0)
            if presence is None and (freed := self._drop_optional(members[i].parts)):
                return freed
        return 0

    def grow(self, gap: Gap, length: int) -> bool:
        """Give an untouched gap more positions, as far as the budget goes."""
        length = min(length, gap.length + self.budget - self.size())
        if gap.exact or length <= gap.length:
            return False
        gap.resize(self.scaffold.filling(gap, length))
        return True

    def drop(self, gap: Gap) -> None:
        """Take an absent gap off the canvas, with the member that it tells of."""
        _drop(self.parts, gap)

    def commit(self, gap: Gap, chosen: np.ndarray, *, forced: bool = False) -> int:
        """Commit the witness at the chosen offsets; returns how many positions were open."""
        fresh = chosen & (gap.committed == OPEN)
        count = int(np.count_nonzero(fresh))
        if count:
            gap.committed = np.where(fresh, gap.witness, gap.committed)
            gap.written = np.where(fresh, gap.confidence, gap.written)
            if forced:
                gap.forced = gap.forced | fresh
        return count

    def reopen(self, gap: Gap, chosen: np.ndarray, fresh: np.ndarray) -> int:
        """Open revisable positions again, with all that followed from the others by force.

        The witness stays: it agrees with whatever is still committed.

        Args:
            gap: The gap.
            chosen: Which positions, (length,).
            fresh: Those committed in this very step; to take them back is no revision.

        Returns:
            How many of the chosen positions are open now.
        """
        again = chosen & gap.revisable
        if again.any():
            gap.committed = np.where(again | gap.forced, OPEN, gap.committed)
            gap.forced = np.zeros(gap.length, dtype=bool)
            gap.revisions = gap.revisions + (again & ~fresh)
        return int(again.sum())

    def collapse(self, gap: Gap) -> None:
        """Replace a settled fork by what follows from it.

        Where other gaps have meanwhile taken the room for that, the fork is open again.
        """
        option = self._taken(gap)
        if option is None or option.whole is None:
            self.decisions.append(self._decision(gap))
            gap.options = ()
        elif self._fits(gap, option):
            self.decisions.append(self._decision(gap))
            _replace(self.parts, gap, self.scaffold.layout(option.whole))
            self._fit()
        else:
            gap.resize(self.scaffold.filling(gap, gap.length))

    def _decision(self, gap: Gap) -> Decision:
        before = itertools.takewhile(lambda piece: piece is not gap, self._pieces(self.parts))
        pinned = [piece for piece in before if isinstance(piece, bytes)]
        after = b"".join(pinned)[-24:].decode(errors="replace")
        heads = [option.head for option in gap.options[:8]]
        among = [h.data.decode() if isinstance(h, Bytes) else "a value" for h in heads]
        among += ["…"] * (len(gap.options) > len(heads)) + ["nothing"] * gap.slack.absent
        sure = float(gap.written.min()) if gap.length else 1.0
        return Decision(after, self.spell(gap).decode(), tuple(among), sure)

    def _taken(self, gap: Gap) -> Option | None:
        """The option that a fork's witness takes, None if that is to be absent."""
        text = self.spell(gap)
        for option in () if gap.is_absent else gap.options:
            head = option.head
            if option.whole is not None and isinstance(head, Bytes) and head.data == text:
                return option
        return None

    def affordable(self, gap: Gap) -> tuple[Option, ...]:
        """The options of a fork that still fit the budget."""
        return tuple(option for option in gap.options if self._fits(gap, option))

    def _fits(self, gap: Gap, option: Option) -> bool:
        if option.whole is None:
            return True
        cost = self.scaffold.minimum.of(option.whole)
        others = self._total(self.parts, lambda g: -1 if g is gap else self._floor(g)) + 1
        return others + cost <= self.budget

    def spell(self, gap: Gap) -> bytes:
        """The bytes of a gap's witness; fill spells nothing."""
        tokens = self.scaffold.constraint.vocabulary.tokens
        return b"".join(
            tokens[t] or b"" for t in gap.witness.tolist() if t != gap.slack.fill_token_id
        )

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
        """A gap's witness, or the shortest word of the option where it is a fork still open."""
        option = self._taken(gap)
        if option is None or option.whole is None:
            return b"" if gap.is_absent else gap.lead + self.spell(gap)
        return self.scaffold.constraint.automaton.shortest(self.scaffold.start_of(option.whole))

    def cells(self, window: Container[tuple[int, int]] = ()) -> tuple[Cell, ...]:
        """Every position for a picture of the canvas.

        Args:
            window: Gap and place in it of the positions in the block controller's window.
        """
        vocabulary = self.scaffold.constraint.vocabulary.tokens
        out: list[Cell] = []
        for piece in self._pieces(self.parts):
            if isinstance(piece, bytes):
                out.append(Cell(piece.decode(), "pinned", 1.0))
                continue
            rows = zip(
                piece.committed.tolist(), piece.witness.tolist(), piece.confidence.tolist(),
                strict=True,
            )  # fmt: skip
            for i, (token, witness, sure) in enumerate(rows):
                text = (vocabulary[witness] or b"").decode(errors="replace")
                fill = witness == piece.slack.fill_token_id
                state: CellState = "open" if token == OPEN else "fill" if fill else "committed"
                inside = (piece.serial, i) in window
                out.append(Cell(text, state, sure, piece.serial, piece.name, inside))
        return tuple(out)


def hides(gap: Gap) -> bool:
    """Whether what follows the gap is unknown until it is decided."""
    return gap.is_fork and not gap.slack.absent and any(o.whole is not None for o in gap.options)


def _capped(gap: Gap, cap: int) -> int:
    """The length of a gap that may have `cap` positions."""
    return min(gap.length, max(cap, gap.minimum))


def _drop(parts: list[Part], gap: Gap) -> bool:
    for i, part in enumerate(parts):
        if part is gap:
            del parts[i]
            return True
        if isinstance(part, Members):
            for j, member in enumerate(part.members):
                if member.presence is gap:
                    del part.members[j]
                    return True
                if _drop(member.parts, gap):
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
