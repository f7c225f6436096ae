"""The bytes that each token of a Hugging Face tokenizer stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ctrlgen.errors import ConstraintError

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def token_bytes(tokenizer: Any) -> list[bytes | None]:
    """The bytes of each token id, None for what never matches text.

    Args:
        tokenizer: A `tokenizers.Tokenizer`, or a fast tokenizer of transformers around one.

    Raises:
        ConstraintError: The tokenizer is not a fast one.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        raise ConstraintError(
            f"cannot read the vocabulary of {type(tokenizer).__name__}",
            hint="use a fast tokenizer (tokenizer.json)",
        )
    spec = json.loads(backend.to_str())
    added = {token["id"] for token in spec["added_tokens"]}
    vocab = spec["model"]["vocab"]
    # Unigram models list their pieces with scores; all others map pieces to ids.
    ids = vocab if isinstance(vocab, dict) else {piece[0]: i for i, piece in enumerate(vocab)}
    spell = _speller(spec)
    tokens: list[bytes | None] = [None] * (1 + max([*added, *ids.values()], default=-1))
    for piece, token_id in ids.items():
        if token_id not in added:
            tokens[token_id] = spell(piece)
    return tokens


def _speller(spec: dict[str, Any]) -> Callable[[str], bytes | None]:
    parts = list(_components(spec.get("decoder"))) + list(_components(spec.get("pre_tokenizer")))
    if any(part["type"] == "ByteLevel" for part in parts):
        return _spell_byte_level
    if spec["model"]["type"] == "WordPiece":
        prefix = spec["model"].get("continuing_subword_prefix", "##")
        return lambda piece: _spell_word_piece(piece, prefix)
    return _spell_sentence_piece


def _components(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A decoder or pre-tokenizer, and those inside it."""
    if part:
        yield part
        for inner in part.get("decoders") or part.get("pretokenizers") or ():
            yield from _components(inner)


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's characters for the 256 bytes: printable ones stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }


_BYTE_LEVEL = _byte_level_alphabet()


def _spell_byte_level(piece: str) -> bytes | None:
    try:
        return bytes([_BYTE_LEVEL[character] for character in piece])
    except KeyError:
        return None


def _spell_sentence_piece(piece: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()


def _spell_word_piece(piece: str, prefix: str) -> bytes:
    if piece.startswith(prefix) and piece != prefix:
        return piece.removeprefix(prefix).encode()
    return (" " + piece if piece[:1].isalnum() else piece).encode()
