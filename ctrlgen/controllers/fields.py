"""Which stretches of a canvas are judged as texts of their own, and which logits belong to them.

A field is a JSON pointer (RFC 6901) and means the value there with all that is in it; a segment
`*` stands for any key or index. Where a gap lies in the answer is read off the text left of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ctrlgen.canvas import Canvas
from ctrlgen.canvas.canvas import Place, View
from ctrlgen.canvas.parts import Gap
from ctrlgen.constraints.atoms import Ints
from ctrlgen.errors import OptionError
from ctrlgen.json_pointer import escape


@dataclass(frozen=True, eq=False)
class Region:
    """A stretch of the canvas that is one text to a classifier.

    Args:
        ids: Its tokens as the denoiser sees them, masks where it is open; (length,).
        rows: The row of the logits that each position has, -1 where it has none; (length,).
        open: Undecided positions, (length,).
        fill: Positions that hold a committed fill token, which spells nothing; (length,).
    """

    ids: Ints
    rows: Ints
    open: np.ndarray
    fill: np.ndarray


def regions(canvas: Canvas, fields: Sequence[str] | None = None) -> list[Region]:
    """The stretches to judge, those without an open position left out.

    Args:
        canvas: The canvas.
        fields: JSON pointers: every open gap in those fields is a region. None: the whole canvas,
            pinned text included, is the only one.
    """
    view = canvas.view()
    ids, rows = np.array(view.ids, dtype=np.int64), np.full(len(view.ids), -1)
    open_places = [place for place in view.places if not (place.gap.settled or place.gap.held)]
    first = 0
    for place in open_places:
        rows[_span(place)] = np.arange(first, first + place.gap.length)
        first += place.gap.length
    undecided = (rows >= 0) & (ids == canvas.mask)
    spans = [slice(0, len(ids))] if fields is None else list(_spans(canvas, view, fields))
    cut = (Region(ids[s], rows[s], undecided[s], ids[s] == canvas.scaffold.fill) for s in spans)
    return [region for region in cut if region.open.any()]


def gaps_in(canvas: Canvas, fields: Sequence[str]) -> list[Gap]:
    """The gaps that lie in some fields, settled ones included.

    Of a field that has no gap of its own, a number of a list say, it is the gap that it lies in.
    """
    view = canvas.view()
    places = [
        (p.gap, _segments(s)) for p, s in zip(view.places, pointers(canvas, view), strict=True)
    ]
    found: list[Gap] = []
    for pattern in map(_segments, fields):
        inside = [gap for gap, segments in places if _covers(pattern, segments)]
        around = [pair for pair in places if _covers(pair[1], pattern) and pair[0].kind != "fork"]
        if not inside and around:
            inside = [max(around, key=lambda pair: len(pair[1]))[0]]
        found += [gap for gap in inside if not any(gap is other for other in found)]
    return found


def _span(place: Place) -> slice:
    return slice(place.offset, place.offset + place.gap.length)


def _spans(canvas: Canvas, view: View, fields: Sequence[str]) -> Iterator[slice]:
    patterns = [_segments(pointer) for pointer in fields]
    for place, pointer in zip(view.places, pointers(canvas, view), strict=True):
        segments = _segments(pointer)
        if any(_covers(pattern, segments) for pattern in patterns):
            yield _span(place)


def _segments(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise OptionError(f"{pointer!r} is no JSON pointer: it must begin with '/', or be empty")
    return pointer.split("/")[1:]


def _covers(pattern: list[str], segments: list[str]) -> bool:
    pairs = zip(pattern, segments, strict=False)
    return len(pattern) <= len(segments) and all(p in ("*", s) for p, s in pairs)


def pointers(canvas: Canvas, view: View) -> list[str]:
    """The JSON pointer of each gap of the view, "" for one that is the whole answer."""
    vocabulary = canvas.scaffold.constraint.vocabulary.tokens
    path, out, end = _Path(), [], 0
    for place in view.places:
        path.read(b"".join(vocabulary[i] or b"" for i in view.ids[end : place.offset]))
        out.append(path.pointer())
        path.read(canvas.spell(place.gap))
        end = place.offset + place.gap.length
    return out


@dataclass
class _Path:
    """Where in a JSON text one is after reading its beginning."""

    stack: list[int | bytes] = field(default_factory=list)
    string: bytearray | None = None
    escaped: bool = False
    key: bytes = b""

    def read(self, text: bytes) -> None:
        for byte in text:
            self._read(byte)

    def _read(self, byte: int) -> None:
        if self.string is not None:
            if self.escaped or byte not in b'"\\':
                self.string.append(byte)
                self.escaped = False
            elif byte == ord("\\"):
                self.escaped = True
            else:
                self.key, self.string = bytes(self.string), None
        elif byte == ord('"'):
            self.string = bytearray()
        elif byte == ord("{"):
            self.stack.append(b"")
        elif byte == ord("["):
            self.stack.append(0)
        elif self.stack:
            self._advance(byte)

    def _advance(self, byte: int) -> None:
        top = self.stack[-1]
        if byte in b"}]":
            self.stack.pop()
        elif byte == ord(",") and isinstance(top, int):
            self.stack[-1] = top + 1
        elif byte == ord(":") and isinstance(top, bytes):
            self.stack[-1] = self.key

    def pointer(self) -> str:
        return "".join("/" + escape(_spelled(segment)) for segment in self.stack)


def _spelled(segment: int | bytes) -> str:
    return str(segment) if isinstance(segment, int) else segment.decode(errors="replace")
