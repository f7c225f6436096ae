"""The tokens of a model as bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from ctrlgen.constraints import cache
from ctrlgen.constraints.spelling import backend_of, token_bytes
from ctrlgen.constraints.trie import Trie
from ctrlgen.errors import ConstraintError

if TYPE_CHECKING:
    from ctrlgen.constraints.lifting import Fragment
    from ctrlgen.constraints.stencils import Stencil

_WORTH_A_FILE = 20_000  # tokens; smaller vocabularies are made as fast as a file is read
_STENCILS = 512  # mostly a bit per token each


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
        keys: Numbers of the structures that heads are made of (`heads.py`).
        fragments: The liftings of heads (`lifting.py`).
        stencils: The masks of heads (`stencils.py`), those in use last.
    """

    def __init__(self, tokens: Sequence[bytes | None]) -> None:
        self.tokens = tuple(tokens)
        spelled = [index for index, token in enumerate(self.tokens) if token]
        strings = [token for token in self.tokens if token]
        self._index(Trie(strings, np.asarray(spelled, np.int32)))

    def _index(self, trie: Trie) -> None:
        self.size = len(self.tokens)
        self.trie = trie
        self.max_token_bytes = self.trie.depth
        self.token_sets = TokenSets()
        self.keys: dict[tuple[object, ...], int] = {}
        self.fragments: dict[Hashable, Fragment | None] = {}
        self.stencils: OrderedDict[Hashable, Stencil] = OrderedDict()

    def keep(self, place: Hashable, stencil: Stencil) -> None:
        """Adds to `stencils`, and forgets the oldest of too many."""
        self.stencils[place] = stencil
        if len(self.stencils) > _STENCILS:
            self.stencils.popitem(last=False)

    @property
    def n_words(self) -> int:
        """Length of a mask of 32 tokens a word."""
        return -(-self.size // 32)

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> Vocabulary:
        """The vocabulary of a Hugging Face fast tokenizer, or of a `tokenizers.Tokenizer`.

        What the tokens of each family of tokenizers spell is told in `spelling.py`. A large
        vocabulary is kept in a file (`cache.py`).

        Raises:
            ConstraintError: The tokenizer is not a fast one, or of a kind that is not known.
        """
        backend = backend_of(tokenizer)
        text = backend.to_str()
        if backend.get_vocab_size() < _WORTH_A_FILE:
            return cls(token_bytes(text))
        name = cache.name_of("vocabulary", text)
        arrays = cache.load(name)
        if arrays is not None:
            return cls.of_arrays(arrays)
        vocabulary = cls(token_bytes(text))
        cache.store(name, vocabulary.to_arrays())
        return vocabulary

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that `of_arrays` needs, as plain arrays."""
        spelled = np.frombuffer(b"".join(token or b"" for token in self.tokens), np.uint8)
        lengths = [-1 if token is None else len(token) for token in self.tokens]
        trie = {name: getattr(self.trie, name) for name in Trie.STORED}
        return {"spelled": spelled, "lengths": np.asarray(lengths, np.int32), **trie}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Vocabulary:
        """The vocabulary with these arrays."""
        spelled, lengths = arrays["spelled"].tobytes(), arrays["lengths"]
        ends = np.cumsum(np.maximum(lengths, 0))
        places = zip(lengths.tolist(), ends.tolist(), strict=True)
        vocabulary = cls.__new__(cls)
        vocabulary.tokens = tuple(None if n < 0 else spelled[end - n : end] for n, end in places)
        vocabulary._index(Trie.of_arrays(arrays))
        return vocabulary

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles without what has been lifted; equal vocabularies of a process become one."""
        return _revive, (self.fingerprint, self.to_arrays())

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

    @cached_property
    def unspelled(self) -> bytes:
        """The bytes that are no token; with none of them, every text can be spelled."""
        return bytes(byte for byte in range(256) if bytes([byte]) not in self._ids)

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


_REVIVED: WeakValueDictionary[str, Vocabulary] = WeakValueDictionary()


def _revive(fingerprint: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Vocabulary:
    """The vocabulary of a pickle, one object for all pickles of it."""
    vocabulary = _REVIVED.get(fingerprint)
    if vocabulary is None:
        vocabulary = _REVIVED[fingerprint] = Vocabulary.of_arrays(arrays)
    return vocabulary
