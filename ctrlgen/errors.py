"""Every error that ctrlgen raises on purpose.

CtrlgenError
├── ConstraintError (ValueError)        the type, schema, regex or grammar cannot be used
│   ├── SpecError                       not a type that ctrlgen knows
│   ├── SchemaError                     a JSON Schema, with JSON pointer and keyword
│   ├── RegexError                      a regular expression, with position and caret
│   ├── GrammarError                    a grammar, with line, column and caret
│   ├── UnsatisfiableError              no value at all satisfies the constraint
│   └── LimitError                      compiling or searching hit an explicit limit
├── PromptError (ValueError)            the prompt is neither a text nor chat messages
├── OptionError (ValueError)            a keyword is not known, or its value makes no sense
├── CanvasTooSmallError (ValueError)    the shortest valid answer needs more tokens than allowed
├── ModelError                          a checkpoint, tokenizer or denoiser cannot be used
│   └── ContextOverflowError            prompt and canvas do not fit the model's context
└── GenerationError                     something went wrong while denoising
    ├── NonFiniteLogitsError            NaN, or no finite logit, at an open position
    └── OutputValidationError           the text is in the language, but the type refused it

Each message says what is wrong, where, and what to do about it.
"""

from __future__ import annotations


class CtrlgenError(Exception):
    """Base of every error raised by ctrlgen.

    Args:
        message: What is wrong, in one line.
        hint: What the user can do about it; shown after the message.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.hint = hint


class ConstraintError(CtrlgenError, ValueError):
    """The type, schema, regular expression or grammar cannot be used."""


class SpecError(ConstraintError):
    """The output type is not one that ctrlgen knows."""


class SchemaError(ConstraintError):
    """A JSON Schema is invalid or uses a keyword that is not supported.

    Args:
        message: What is wrong.
        pointer: JSON pointer into the schema, ``""`` for its root.
        keyword: The keyword at fault, if one is.
        hint: What to do.
    """

    def __init__(
        self, message: str, *, pointer: str = "", keyword: str = "", hint: str = ""
    ) -> None:
        super().__init__(f"at {pointer or '/'}: {message}", hint=hint)
        self.pointer = pointer
        self.keyword = keyword


def _caret(text: str, line: int, column: int) -> str:
    """The source line with a caret under `column`; both are 1-based."""
    lines = text.splitlines() or [""]
    source = lines[min(line, len(lines)) - 1]
    start = max(0, column - 40)
    return f"{source[start : start + 80]}\n{' ' * (column - 1 - start)}^"


class RegexError(ConstraintError):
    """A regular expression is invalid or not regular.

    Args:
        message: What is wrong.
        pattern: The whole pattern.
        position: 0-based offset of the problem in the pattern.
        hint: What to do.
    """

    def __init__(self, message: str, *, pattern: str, position: int = 0, hint: str = "") -> None:
        super().__init__(
            f"{message} at position {position}\n{_caret(pattern, 1, position + 1)}", hint=hint
        )
        self.pattern = pattern
        self.position = position


class GrammarError(ConstraintError):
    """A grammar is invalid or uses a feature that is not supported.

    Args:
        message: What is wrong.
        text: The whole grammar.
        line: 1-based line, 0 when unknown.
        column: 1-based column, 0 when unknown.
        hint: What to do.
    """

    def __init__(
        self, message: str, *, text: str = "", line: int = 0, column: int = 0, hint: str = ""
    ) -> None:
        where = f" at line {line}, column {column}\n{_caret(text, line, column)}" if line else ""
        super().__init__(message + where, hint=hint)
        self.line = line
        self.column = column


class UnsatisfiableError(ConstraintError):
    """No value satisfies the constraint."""


class LimitError(ConstraintError):
    """An explicit limit was reached while compiling or searching."""


class PromptError(CtrlgenError, ValueError):
    """The prompt is neither a text nor chat messages."""


class OptionError(CtrlgenError, ValueError):
    """A keyword that says how to generate is not known, or its value makes no sense."""


class CanvasTooSmallError(CtrlgenError, ValueError):
    """The shortest valid answer does not fit the canvas.

    Args:
        needed: Tokens that the shortest valid answer needs.
        given: Tokens that were allowed.
    """

    def __init__(self, needed: int, given: int) -> None:
        super().__init__(
            f"the shortest valid answer needs {needed} tokens, but only {given} are allowed",
            hint=f"set max_new_tokens to {needed} or more",
        )
        self.needed = needed
        self.given = given


class ModelError(CtrlgenError):
    """A checkpoint, tokenizer or denoiser cannot be used."""


class ContextOverflowError(ModelError):
    """Prompt and canvas together are longer than the model's context."""


class GenerationError(CtrlgenError):
    """Something went wrong while denoising."""


class NonFiniteLogitsError(GenerationError):
    """The denoiser returned NaN, or no finite logit at all, at an open position."""


class OutputValidationError(GenerationError):
    """The generated text lies in the language, but the Python type refused it.

    Args:
        message: What the type said.
        text: The generated text.
        pointers: JSON pointers of the fields to blame; "" is the whole answer.
    """

    def __init__(self, message: str, *, text: str, pointers: tuple[str, ...] = ("",)) -> None:
        super().__init__(message)
        self.text, self.pointers = text, pointers
