"""The beginning of an answer that no later step changes: what a stream may send.

Positions commit anywhere. What counts as sent is the text in front of the first thing that is still
open: a value's next token, an optional member that may yet be left out, a fork.
"""

from __future__ import annotations

from codecs import getincrementaldecoder

from ctrlgen.canvas.canvas import Canvas
from ctrlgen.canvas.parts import OPEN, Gap, Member, Members, Part, Pinned


def committed_text(canvas: Canvas) -> str:
    """The committed prefix; whole characters only.

    It grows from step to step as long as the scheduler takes nothing back.
    """
    out = bytearray()
    _walk(canvas, canvas.parts, out)
    return getincrementaldecoder("utf-8")().decode(bytes(out))


def _walk(canvas: Canvas, parts: list[Part], out: bytearray) -> bool:
    """Append what is certain of `parts`; returns whether that is all of them."""
    for part in parts:
        if isinstance(part, Pinned):
            out += part.text
        elif isinstance(part, Members):
            if not _members(canvas, part, out):
                return False
        elif not _gap(canvas, part, out):
            return False
    return True


def _members(canvas: Canvas, part: Members, out: bytearray) -> bool:
    count = 0
    for member in part.members:
        present = _present(member, canvas)
        if present is None:
            return False
        if present:
            if count:
                out += part.separator
            count += 1
            if not _walk(canvas, member.parts, out):
                return False
    return True


def _present(member: Member, canvas: Canvas) -> bool | None:
    """Whether a member stands in the answer; None while that is open."""
    gap = member.presence
    if gap is None:
        return True
    if gap.is_fork or gap.committed[0] == OPEN:
        return None
    return not _begins_absent(gap)


def _begins_absent(gap: Gap) -> bool:
    return gap.slack.absent and int(gap.committed[0]) == gap.slack.fill_token_id


def _gap(canvas: Canvas, gap: Gap, out: bytearray) -> bool:
    if not gap.is_fork and gap.settled:
        out += b"" if _begins_absent(gap) else gap.lead + canvas.spell(gap)
        return True
    if gap.is_fork or gap.committed[0] == OPEN:
        out += b"" if gap.slack.absent else gap.lead
        return False
    if _begins_absent(gap):
        return True
    out += gap.lead
    tokens = canvas.scaffold.constraint.vocabulary.tokens
    for token in gap.committed.tolist():
        if token == OPEN:
            break
        if token != gap.slack.fill_token_id:
            out += tokens[token] or b""
    return False
