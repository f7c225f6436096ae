"""Where the length of a slot comes from, for denoisers that know no slack."""

from ctrlgen.controllers.lengths.base import LengthSource, Row, open_places, without_fill
from ctrlgen.controllers.lengths.choice import named
from ctrlgen.controllers.lengths.open_end import OpenEnd
from ctrlgen.controllers.lengths.several import SeveralLengths

__all__ = [
    "LengthSource",
    "OpenEnd",
    "Row",
    "SeveralLengths",
    "named",
    "open_places",
    "without_fill",
]
