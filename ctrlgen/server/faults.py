"""Errors as OpenAI writes them: a status, and a body that says what, where and what to do."""

from __future__ import annotations

from typing import Any

from ctrlgen.errors import (
    CanvasTooSmallError,
    ConstraintError,
    ContextOverflowError,
    CtrlgenError,
    OptionError,
    PromptError,
)


class Fault(Exception):
    """An answer that is an error.

    Args:
        status: HTTP status.
        message: What is wrong and what to do.
        param: The field of the request at fault.
        code: A word for programs.
    """

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        """The error as JSON."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        named = {"type": kind, "param": self.param, "code": self.code}
        return {"error": {"message": str(self), **named}}


_TYPES = {
    401: "authentication_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


def of_error(error: CtrlgenError, param: str | None = None) -> Fault:
    """What an error of ctrlgen means to a client."""
    message = str(error)
    if isinstance(error, CanvasTooSmallError):
        # Without the hint: the field has another name here than in Python.
        message = message.removesuffix(f" ({error.hint})")
        return Fault(400, message, "max_tokens", "canvas_too_small")
    if isinstance(error, ContextOverflowError):
        return Fault(400, message, param, "context_length_exceeded")
    if isinstance(error, PromptError | OptionError):
        return Fault(400, message, param, "invalid_value")
    if isinstance(error, ConstraintError):
        return Fault(400, message, param, "invalid_constraint")
    return Fault(500, f"{type(error).__name__}: {message}", code="generation_failed")
