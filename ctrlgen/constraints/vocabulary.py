"""The tokens of a model as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints.spelling import token_bytes
from ctrlgen.constraints.trie import Trie
from ctrlgen.errors import ConstraintError


class TokenSets:
    """Interned sets of token ids: equal sets have the same id."""

    def __init__(self) -> None:
        self._sets: list[npt.NDArray[np.int32]] = []
        self._ids: dict[bytes, int] = {}
        self._unions: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        """How many different sets there are."""
        return len(self._sets)

    def __getitem__(self, set_id: int) -> npt.NDArray[np.int32]:
        """The token ids of a set, sorted, read-only."""
        return self._sets[set_id]

    def intern(self, tokens: npt.NDArray[np.int32]) -> int:
        """The id of the set of these sorted token ids."""
        key = hashlib.blake2b(tokens.tobytes(), digest_size=16).digest()
        set_id = self._ids.get(key)
        if set_id is None:
            set_id = self._ids[key] = len(self._sets)
            tokens = tokens.copy()
            tokens.flags.writeable = False
            self._sets.append(tokens)
        return set_id

    def union(self, first: int, second: int) -> int:
        """The id of the union of two disjoint sets."""
        pair = (first, second) if first < second else (second, first)
        set_id = self._unions.get(pair)
        if set_id is None:
            tokens = np.concatenate([self._sets[first], self._sets[second]])
            tokens.sort()
            set_id = self._unions[pair] = self.intern(tokens)
        return set_id


class Vocabulary:
    """What each token id spells.

    Args:
        tokens: The bytes of each token; None, and the empty string, never match text.

    Attributes:
        tokens: The bytes by token id.
        size: How many token ids there are.
        max_token_bytes: Length of the longest token.
        trie: All tokens that match text.
        token_sets: Sets of tokens, shared by everything that is lifted to this vocabulary.
    """

    def __init__(self, tokens: Sequence[bytes | None]) -> None:
        self.tokens = tuple(tokens)
        self.size = len(self.tokens)
        spelled = [index for index, token in enumerate(self.tokens) if token]
        strings = [token for token in self.tokens if token]
        self.trie = Trie(strings, np.asarray(spelled, np.int32))
        self.max_token_bytes = self.trie.depth
        self.token_sets = TokenSets()

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> Vocabulary:
        """The vocabulary of a Hugging Face fast tokenizer, or of a `tokenizers.Tokenizer`.

        Byte-level BPE spells every byte string. SentencePiece models spell what their pieces and
        byte tokens (`<0x0A>`) spell, with `▁` as a space; the space that their decoders strip from
        the start of a text counts here. WordPiece is lossy, so it is read this way: `##ing` is
        `ing`, a piece that begins with a letter or digit brings a space before it, any other piece
        stands for itself. Added tokens, special or not, never match text.

        Raises:
            ConstraintError: The tokenizer is not a fast one.
        """
        return cls(token_bytes(tokenizer))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokens, in hexadecimal."""
        digest = hashlib.sha256()
        for token in self.tokens:
            length = -1 if token is None else len(token)
            digest.update(length.to_bytes(4, "little", signed=True) + (token or b""))
        return digest.hexdigest()

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        """The lowest token id of each spelling."""
        ids: dict[bytes, int] = {}
        for index, token in enumerate(self.tokens):
            if token:
                ids.setdefault(token, index)
        return ids

    def spell(self, data: bytes) -> list[int]:
        """The fewest tokens that spell `data`, the first ones as long as possible.

        Raises:
            ConstraintError: The vocabulary cannot spell it.
        """
        counts: list[float] = [inf] * len(data) + [0]
        lengths = [0] * len(data)
        for start in range(len(data) - 1, -1, -1):
            for end in range(min(start + self.max_token_bytes, len(data)), start, -1):
                if counts[end] + 1 < counts[start] and data[start:end] in self._ids:
                    counts[start], lengths[start] = counts[end] + 1, end - start
        if counts[0] == inf:
            raise ConstraintError(f"the vocabulary has no tokens that spell {data[:40]!r}")
        found, start = [], 0
        while start < len(data):
            found.append(self._ids[data[start : start + lengths[start]]])
            start += lengths[start]
        return found
