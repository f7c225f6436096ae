"""The process in which constraints are compiled, one after the other.

    python -m ctrlgen.server.worker BYTES SECONDS

It reads pickled specs from stdin and writes what came of them to stdout, each behind its length.
The vocabulary comes first. What takes too long is ended from outside; what takes more than BYTES
of memory ends itself. What the batch will do with a grammar again, for every request, may take
SECONDS.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from contextlib import suppress
from math import inf
from typing import IO, Any

from ctrlgen.canvas import Canvas, Scaffold
from ctrlgen.constraints import lower, notation
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import CtrlgenError
from ctrlgen.spec import Spec

HEAD = 8
"""Bytes that say how long a message is."""

_NO_LIMIT = 1 << 40


def write_message(value: Any) -> bytes:
    """A message with its length in front."""
    body = pickle.dumps(value)
    return len(body).to_bytes(HEAD, "big") + body


def _read_message(stream: IO[bytes]) -> Any:
    head = stream.read(HEAD)
    if len(head) < HEAD:
        raise EOFError
    return pickle.loads(stream.read(int.from_bytes(head, "big")))


def compile_here(spec: Spec, vocabulary: Vocabulary, seconds: float = inf) -> tuple[str, str]:
    """What the server needs of a spec: `("ok", grammar)`, or the kind and message of an error.

    All that the batch will do with the grammar is tried, so that it holds nobody up there.
    """
    try:
        grammar = lower(spec)
        started = time.monotonic()
        constraint = Constraint(grammar, vocabulary)
        constraint.require_spelling()
        # One token a byte: more than any tokenizer takes.
        scaffold = Scaffold(constraint, lambda text: list(text.encode()), vocabulary.size - 1)
        Canvas(scaffold, vocabulary.size - 1, _NO_LIMIT)
        if time.monotonic() - started > seconds:
            return "LimitError", f"an empty canvas takes more than {seconds:g} s to lay out"
        text = notation.write(grammar)
    except CtrlgenError as error:
        return type(error).__name__, str(error)
    except (RecursionError, MemoryError) as error:
        return "LimitError", f"the constraint is too large ({type(error).__name__})"
    return ("ok", text) if text else ("LimitError", "the constraint is nested too deeply")


def _limit_memory(most: int) -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Compile what stdin asks for, until it ends."""
    _limit_memory(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed must not look like an answer
    requests = sys.stdin.buffer
    try:
        vocabulary = _read_message(requests)
        answer = ("ready", "")
        while True:
            answers.write(write_message(answer))
            answers.flush()
            answer = compile_here(_read_message(requests), vocabulary, float(sys.argv[2]))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


if __name__ == "__main__":
    main()
