"""Search beyond the grammar: what a validator or a user's check refuses is drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ctrlgen.canvas import Canvas
from ctrlgen.controllers.fields import gaps_in
from ctrlgen.errors import OutputValidationError
from ctrlgen.run import Run


def checked(parse: Callable[[str], Any], text: str, check: Callable[[Any], Any] | None) -> Any:
    """The typed answer, if neither its type nor the check refuses it.

    Raises:
        OutputValidationError: One of them does; the reason is its `__cause__`.
    """
    output = parse(text)
    try:
        accepted = True if check is None else check(output)
    except (ValueError, AssertionError) as error:  # as a validator of pydantic refuses
        pointers = getattr(error, "pointers", ("",))
        raise OutputValidationError(
            f"the answer is refused: {error}", text=text, pointers=pointers
        ) from error
    if accepted is False:
        raise OutputValidationError("the answer is refused by the check", text=text)
    return output


def draw_again(
    run: Run, error: OutputValidationError, fresh: Callable[[], Canvas], *, whole: bool
) -> None:
    """Open what is to blame for a refusal; all of it if that is unknown, or asked for.

    Args:
        run: A run that has ended.
        error: Why its answer was refused.
        fresh: Makes an empty canvas.
        whole: Whether to begin anew.
    """
    if run.trace:
        run.trace[-1] = replace(run.trace[-1], refused=str(error))
    blamed = [] if whole or "" in error.pointers else gaps_in(run.canvas, error.pointers)
    if any(gap.kind != "fork" for gap in blamed):
        run.reopen(blamed)
    else:
        run.restart(fresh())
