"""What one client may ask for, and what all of them together may."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Settings:
    """Limits of a server; every one of them is enforced, none can be switched off.

    Args:
        model_name: What clients call the model.
        api_key: The key that clients must send; None lets everybody in.
        describe: Whether schema and tools are told to the model in a system message.
        max_batch: Most requests in one forward pass.
        queue: Most requests that wait; more are told to come back (429).
        deadline: Most seconds from arrival to answer; a request may ask for less.
        max_steps: Most forward passes of a request; it may ask for less.
        max_canvas: Most canvas positions of an answer.
        max_body: Most bytes of a request's body.
        body_seconds: Most seconds that a body may take to arrive.
        header_seconds: The same for the head of a request.
        max_schema: Most characters of a JSON Schema, or of all tools together.
        max_depth: Most levels of a JSON Schema.
        max_regex: Most characters of a regular expression.
        max_grammar: Most characters of a grammar.
        max_choices: Most items of a choice.
        max_tools: Most tools.
        compile_seconds: Most seconds that compiling one constraint may take.
        compile_memory: Most bytes of memory that it may take.
        step_seconds: Most seconds in a step for exploring the constraint of one request; what is
            not decided then is filled in validly, so that nobody holds up the others.
        kept: How many compiled constraints are kept.
    """

    model_name: str = "ctrlgen"
    api_key: str | None = field(default=None, repr=False)
    describe: bool = False
    max_batch: int = 8
    queue: int = 64
    deadline: float = 60.0
    max_steps: int = 256
    max_canvas: int = 1024
    max_body: int = 2 << 20
    body_seconds: float = 15.0
    header_seconds: float = 15.0
    max_schema: int = 256 << 10
    max_depth: int = 64
    max_regex: int = 4096
    max_grammar: int = 32 << 10
    max_choices: int = 1000
    max_tools: int = 128
    compile_seconds: float = 10.0
    compile_memory: int = 4 << 30
    step_seconds: float = 2.0
    kept: int = 64

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
                raise ValueError(f"{each.name} must be positive, not {value}")
        if self.api_key is not None and not self.api_key.isascii():
            raise ValueError("an api_key is ASCII, since it travels in a header")
        if self.api_key == "":
            raise ValueError("an api_key must not be empty; None lets everybody in")
