"""Files of prompts to files of answers: in order, each once, resumed where they stopped."""

from ctrlgen.batch.files import Output, Row, read_rows
from ctrlgen.batch.work import Worker

__all__ = ["Output", "Row", "Worker", "read_rows"]
