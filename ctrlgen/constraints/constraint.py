"""A grammar for a vocabulary, read from left to right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.lifting import TokenAutomaton
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.constraints.vocabulary import Vocabulary


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

    def start(self) -> int:
        """The state before the first token."""
        return self.automaton.start

    def mask(self, state: int) -> npt.NDArray[np.bool_]:
        """Which tokens may come next, (vocabulary,), read-only."""
        return self.tokens.mask(state)

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
