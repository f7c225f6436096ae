"""The bytes that each token of a Hugging Face tokenizer stands for.

What counts is the text that a token adds in the middle of an answer. Three families are read:

- *Byte-level BPE* (GPT-2, Llama-3, Qwen): a piece is bytes, spelled with 256 printable characters.
  Every byte string can be spelled.
- *SentencePiece* (Llama-2, Gemma, T5): `▁`, or whatever the decoder replaces, is a space, and with
  byte fallback `<0x0A>` is a byte. Decoding a whole text strips the space of its first token. An
  answer stands behind a prompt, where that space would be part of the text: so `▁a` is ` a`
  everywhere, and an answer that does not begin with a space begins with a piece without `▁`.
  Without byte fallback some characters cannot be spelled.
- *WordPiece* (BERT) is lossy: decoding puts a space before every piece without the prefix `##`, and
  then removes those before `. , ! ?` and in English contractions. Here `##ing` is `ing`, a piece
  that begins with a letter or digit brings a space before it, and any other stands for itself. So
  words and punctuation read as decoding writes them (but for `{`, `"` and the like, before which
  decoding puts spaces too); a word behind a quote, a line break, two spaces and, with a normalizer
  that lowers case, capitals cannot be spelled. JSON with string values needs one of the others.

Added tokens, special or not, stand for no text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ctrlgen.errors import ConstraintError

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")

Speller = Callable[[str], bytes | None]


def backend_of(tokenizer: Any) -> Any:
    """The `tokenizers.Tokenizer` of a fast tokenizer of transformers, or `tokenizer` itself.

    Raises:
        ConstraintError: The tokenizer is not a fast one.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        raise ConstraintError(
            f"cannot read the vocabulary of {type(tokenizer).__name__}",
            hint="use a fast tokenizer (tokenizer.json)",
        )
    return backend


def token_bytes(text: str) -> list[bytes | None]:
    """The bytes of each token id, None for what never matches text.

    Args:
        text: The contents of a `tokenizer.json`.

    Raises:
        ConstraintError: The tokenizer is of a kind that is not known.
    """
    spec = json.loads(text)
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


def _speller(spec: dict[str, Any]) -> Speller:
    model = spec["model"]
    parts = [*_components(spec.get("decoder")), *_components(spec.get("pre_tokenizer"))]
    kinds = {part["type"] for part in parts}
    if model.get("end_of_word_suffix") or kinds & {"CTC", "BPEDecoder"}:
        raise ConstraintError(
            "the tokenizer marks ends of words, which leaves the spaces of a text open",
            hint="use byte-level BPE, SentencePiece or WordPiece",
        )
    if "ByteLevel" in kinds:
        return _spell_byte_level
    if model["type"] == "WordPiece":
        prefix = model.get("continuing_subword_prefix", "##")
        return lambda piece: _spell_word_piece(piece, prefix)
    spaces = list(_space_marks(parts))
    if not spaces:
        raise ConstraintError(
            f"cannot tell how a {model['type']} tokenizer spells spaces",
            hint="its decoder is none of ByteLevel, Metaspace, WordPiece or Replace",
        )
    has_bytes = model.get("byte_fallback", False) or "ByteFallback" in kinds
    return lambda piece: _spell_sentence_piece(piece, spaces, has_bytes)


def _components(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A decoder or pre-tokenizer, and those inside it."""
    if part:
        yield part
        for inner in part.get("decoders") or part.get("pretokenizers") or ():
            yield from _components(inner)


def _space_marks(parts: list[dict[str, Any]]) -> Iterator[str]:
    """What stands for a space inside pieces."""
    for part in parts:
        if part["type"] == "Metaspace":
            yield part["replacement"]
        elif part["type"] == "Replace" and part["content"] == " ":
            yield part["pattern"].get("String", "▁")


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


def _spell_sentence_piece(piece: str, spaces: list[str], has_bytes: bool) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(piece) if has_bytes else None
    if byte:
        return bytes([int(byte[1], 16)])
    for mark in spaces:
        piece = piece.replace(mark, " ")
    return piece.encode()


def _spell_word_piece(piece: str, prefix: str) -> bytes:
    if piece.startswith(prefix) and piece != prefix:
        return piece.removeprefix(prefix).encode()
    return (" " + piece if piece[:1].isalnum() else piece).encode()
