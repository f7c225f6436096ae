"""Which length source a name means."""

from __future__ import annotations

from ctrlgen.controllers.lengths.base import LengthSource
from ctrlgen.controllers.lengths.open_end import OpenEnd
from ctrlgen.controllers.lengths.several import SeveralLengths
from ctrlgen.errors import OptionError

SOURCES = {"slack": None, "open": OpenEnd, "several": SeveralLengths}


def named(lengths: str | LengthSource) -> LengthSource | None:
    """The source of a name, None for trained slack, which needs none.

    Raises:
        OptionError: If there is no such source.
    """
    if isinstance(lengths, str) and lengths in SOURCES:
        made = SOURCES[lengths]
        return None if made is None else made()
    if isinstance(lengths, str) or not isinstance(lengths, LengthSource):
        names = ", ".join(map(repr, SOURCES))
        raise OptionError(f"lengths must be {names} or a LengthSource, not {lengths!r}")
    return lengths
