"""Pictures of a run: a page that plays the denoising of one answer."""

from ctrlgen.pictures.page import cells_html, read_trace, trace_page

__all__ = ["cells_html", "read_trace", "trace_page"]
