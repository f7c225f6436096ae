"""The canvas: token positions of the answer, laid out from a constraint."""

from ctrlgen.canvas.canvas import Canvas, Cell, Decision
from ctrlgen.canvas.layout import Scaffold

__all__ = ["Canvas", "Cell", "Decision", "Scaffold"]
