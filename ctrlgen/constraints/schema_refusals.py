"""What cannot be guaranteed by construction: refused, or noted for the judge."""

from __future__ import annotations

from ctrlgen.constraints.schema_options import OnUnsupported
from ctrlgen.errors import SchemaError

VERIFY = 'on_unsupported="verify" lets jsonschema judge whole texts instead'


class Refusals:
    """Keeps an account of assertions that the nodes leave out.

    Args:
        mode: Whether to raise an error instead.

    Attributes:
        where: JSON pointer of the schema that is being lowered.
        noted: JSON pointer and keyword of what was left out.
    """

    def __init__(self, mode: OnUnsupported) -> None:
        self._mode = mode
        self.where = ""
        self.noted: dict[tuple[str, str], None] = {}

    @property
    def lenient(self) -> bool:
        """Whether a judge makes good what is left out."""
        return self._mode == "verify"

    def refuse(
        self,
        message: str,
        keyword: str,
        hint: str = "",
        cause: Exception | None = None,
        pointer: str | None = None,
    ) -> None:
        """Leave an assertion out.

        Raises:
            SchemaError: No judge will make it good.
        """
        pointer = self.where if pointer is None else pointer
        if self._mode == "error":
            hint = f"{hint}, or {VERIFY}" if hint else VERIFY
            raise SchemaError(message, pointer=pointer, keyword=keyword, hint=hint) from cause
        self.noted[pointer, keyword] = None
