"""A canvas as one row of a batch: some of its parts, with slots at lengths to be tried.

A model that sees how long a slot is, or what comes behind it, writes what fits there. To find
lengths without that bias, rows leave out what is not known yet, or try several lengths.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ctrlgen.canvas.canvas import Canvas, hides
from ctrlgen.canvas.parts import OPEN, Gap, Member, Members, Part, Pinned, gaps

END = -1
"""In a set of bytes: nothing may follow."""


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Ids of a row, and where the gaps in it begin."""

    ids: list[int]
    offsets: dict[Gap, int]


def excerpt(
    canvas: Canvas,
    left_out: Collection[Gap] = (),
    lengths: Mapping[Gap, int] | None = None,
    until: Gap | None = None,
) -> Excerpt:
    """The canvas as the denoiser is to see it.

    Args:
        canvas: The canvas.
        left_out: Gaps that are not shown, nor the keys in front of them.
        lengths: Masks that stand for a gap instead of what it holds.
        until: The gap that the row ends with. Settled members of the objects that it lies in are
            shown in front of it, those behind it too: members may stand in any order.
    """
    ids: list[int] = []
    offsets: dict[Gap, int] = {}
    run: list[bytes] = []
    hidden = set(left_out)
    if until is not None:  # what a fork hides may stand in front of the gap here
        hidden |= {gap for gap in canvas.gaps() if hides(gap) and gap is not until}
    for piece in _pieces(canvas.parts, hidden, until):
        if isinstance(piece, bytes):
            run.append(piece)
            continue
        ids += canvas.encode(run)
        run = []
        if piece in hidden:  # a fork that hides what follows, shown or not
            return Excerpt(ids, offsets)
        offsets[piece] = len(ids)
        if lengths and piece in lengths:
            ids += [canvas.mask] * lengths[piece]
        else:
            ids += np.where(piece.committed == OPEN, canvas.mask, piece.committed).tolist()
        if piece is until or hides(piece):
            return Excerpt(ids, offsets)
    return Excerpt(ids + canvas.encode(run), offsets)


def _pieces(parts: list[Part], left_out: set[Gap], until: Gap | None) -> Iterator[bytes | Gap]:
    for part in parts:
        if isinstance(part, Pinned):
            yield part.text
        elif isinstance(part, Gap):
            if part in left_out:
                if until is None and hides(part):
                    yield part
                continue
            if part.lead:
                yield part.lead
            yield part
        else:
            shown = [m for m in part.members if _shown(m, left_out)]
            shown.sort(
                key=lambda m: any(gap is until for gap in gaps(m.parts))
            )  # stable: the others stay in order
            for i, member in enumerate(shown):
                if i and part.separator:
                    yield part.separator
                yield from _pieces(member.parts, left_out, until)


def _shown(member: Member, left_out: set[Gap]) -> bool:
    """Whether a member has anything to show: not if all that is in it is left out."""
    inside = list(gaps(member.parts))
    return not inside or any(gap not in left_out for gap in inside)


def has_key(canvas: Canvas, gap: Gap) -> bool:
    """Whether a key in front of the gap would stand there without a value if it were absent."""
    return any(
        member.presence is gap and member.parts[0] is not gap for member in _members(canvas.parts)
    )


def _members(parts: list[Part]) -> Iterator[Member]:
    for part in parts:
        if isinstance(part, Members):
            for member in part.members:
                yield member
                yield from _members(member.parts)


def following(canvas: Canvas, gap: Gap) -> set[int]:
    """First bytes of what may stand behind a gap, `END` if it may be nothing.

    Where a value follows that can begin in any way, the set is empty.
    """
    found, goes_on = _behind(canvas.parts, gap)
    return found | {END} if goes_on else found


def _behind(parts: list[Part], gap: Gap) -> tuple[set[int], bool]:
    """What may stand behind `gap`, and whether that may be what stands behind `parts`."""
    for i, part in enumerate(parts):
        if part is gap:
            return _beginnings(parts[i + 1 :])
        if isinstance(part, Members):
            for j, member in enumerate(part.members):
                if any(each is gap for each in gaps(member.parts)):
                    found, goes_on = _behind(member.parts, gap)
                    if goes_on and part.members[j + 1 :]:
                        found |= set(part.separator[:1])
                        goes_on = all(m.presence is not None for m in part.members[j + 1 :])
                    if not goes_on:
                        return found, False
                    more, goes_on = _beginnings(parts[i + 1 :])
                    return found | more, goes_on
    return set(), True


def _beginnings(parts: list[Part]) -> tuple[set[int], bool]:
    """First bytes of `parts`, and whether all of them may be empty."""
    found: set[int] = set()
    for part in parts:
        if isinstance(part, Pinned):
            return found | set(part.text[:1]), False
        if isinstance(part, Gap):
            begins = {part.lead[:1]} if part.lead else {_head(o) for o in part.options}
            if not begins or b"" in begins:
                return set(), False
            found |= {b[0] for b in begins}
            if not part.slack.absent:
                return found, False
        else:
            for member in part.members:
                more, empty = _beginnings(member.parts)
                found |= more
                if member.presence is None and not empty:
                    return found, False
    return found, True


def _head(option: object) -> bytes:
    data = getattr(getattr(option, "head", None), "data", b"")
    return data[:1] if isinstance(data, bytes) else b""
