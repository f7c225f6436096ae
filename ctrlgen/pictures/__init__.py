"""Pictures: a run as a page that plays the denoising, a constraint as a railroad diagram."""

from ctrlgen.pictures.page import cells_html, read_trace, trace_page
from ctrlgen.pictures.railroad import Picture, draw

__all__ = ["Picture", "cells_html", "draw", "read_trace", "trace_page"]
