"""A grammar for a vocabulary, read from left to right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints import notation
from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.lifting import TokenAutomaton
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import ConstraintError, LimitError


class Constraint:
    """What a text may be, token by token.

    Args:
        grammar: The language.
        vocabulary: The tokens of the model.

    Attributes:
        automaton: The language byte by byte.
        tokens: The language token by token.

    Raises:
        ConstraintError: The grammar accepts nothing, or cannot be used.
    """

    def __init__(self, grammar: Grammar, vocabulary: Vocabulary) -> None:
        self.grammar = grammar
        self.vocabulary = vocabulary
        self.automaton = ByteAutomaton(grammar)
        self.tokens = TokenAutomaton(self.automaton, vocabulary)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the language and the vocabulary; states are made, and numbered, anew."""
        return _revive, (notation.write(self.grammar) or self.grammar, self.vocabulary)

    def require_spelling(self) -> None:
        """Makes sure that the vocabulary can spell a text of the language.

        Raises:
            ConstraintError: It cannot.
        """
        if not self.vocabulary.unspelled:
            return
        try:
            self.tokens.completion(self.start())
        except LimitError as error:
            shortest = self.automaton.shortest(self.start())
            missing = bytes(b for b in shortest if b in self.vocabulary.unspelled)
            raise ConstraintError(
                f"the vocabulary spells no text of the constraint, as {shortest[:40]!r}: no token "
                f"is one of {bytes(sorted(set(missing)))!r}",
                hint="use a tokenizer that spells all bytes: byte-level BPE, or SentencePiece "
                "with byte fallback",
            ) from error

    def start(self) -> int:
        """The state before the first token."""
        return self.automaton.start

    def mask(self, state: int) -> npt.NDArray[np.bool_]:
        """Which tokens may come next, (vocabulary,)."""
        return self.tokens.mask(state)

    def bits(self, state: int) -> npt.NDArray[np.uint32]:
        """The same packed: token t is bit t % 32 of word t // 32, read-only."""
        return self.tokens.bits(state)

    def next(self, state: int, token_id: int) -> int | None:
        """The state after a token, None if it leads nowhere."""
        return self.tokens.next(state, token_id)

    def is_accepting(self, state: int) -> bool:
        """Whether the text may end here."""
        return self.tokens.is_accepting(state)

    def distance(self, state: int) -> int:
        """The fewest tokens that complete the text."""
        return self.tokens.distance(state)

    def accepts(self, text: str | bytes) -> bool:
        """Whether `text` is in the language."""
        return self.tokens.accepts(text.encode() if isinstance(text, str) else text)

    @property
    def min_tokens(self) -> int:
        """The fewest tokens of any text in the language."""
        return self.distance(self.start())


def _revive(grammar: str | Grammar, vocabulary: Vocabulary) -> Constraint:
    # As text, since nodes can be nested more deeply than pickle goes.
    return Constraint(notation.read(grammar) if isinstance(grammar, str) else grammar, vocabulary)
