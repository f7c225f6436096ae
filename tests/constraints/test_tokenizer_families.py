"""Small real tokenizers of each family, trained on our data and read as fast tokenizers."""

from __future__ import annotations

import gzip
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from ctrlgen.constraints import compile
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import ConstraintError
from ctrlgen.spec import Spec, choice, json_schema, regex

DATA = Path(__file__).parents[1] / "data"
SPECIAL, ADDED = "<|end|>", "<tool_call>"
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "food": {"enum": ["Café Zoë", "東京", "pub"]},
        "price": {"type": "number", "minimum": 0, "maximum": 90},
        "near": {"type": ["string", "null"], "pattern": "^[A-Za-z ]{1,9}$"},
    },
    "required": ["name", "food", "price", "near"],
}


@cache
def corpus() -> list[str]:
    """Prompts, records and function descriptions of the committed data."""
    found: list[str] = []
    for name in ("e2e-train", "snips-train", "bfcl-dev"):
        with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            found += [text for line in file for text in _texts(json.loads(line))]
    return found


def _texts(row: dict[str, Any]) -> list[str]:
    turns = row.get("messages", ())
    said = [turn["content"] for turn in turns if isinstance(turn, dict)]
    shown = [row[key] for key in ("record", "call", "functions") if key in row]
    return [row.get("text", ""), *said, *(json.dumps(each, ensure_ascii=False) for each in shown)]


def _trained(tokenizer: Tokenizer, trainer: Any) -> Tokenizer:
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def _finished(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens([AddedToken(SPECIAL, special=True)])
    tokenizer.add_tokens([AddedToken(ADDED, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL)


def byte_level() -> Tokenizer:
    """As GPT-2, Llama-3 and Qwen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(
        tokenizer,
        trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False),
    )


def _pieces(prefix: bool) -> Tokenizer:
    """BPE over pieces with `▁`, its merges kept and the 256 byte tokens before them."""
    plain = Tokenizer(models.BPE())
    plain.normalizer = normalizers.Replace(" ", "▁")
    trained = _trained(plain, trainers.BpeTrainer(vocab_size=900, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    ids = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.add_special_tokens([AddedToken("<unk>", special=True)])
    spaces = [normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), *spaces] if prefix else spaces
    )
    back = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if prefix else back)
    return tokenizer


def llama_2() -> Tokenizer:
    """SentencePiece BPE with byte fallback and a space before the text."""
    return _pieces(prefix=True)


def gemma() -> Tokenizer:
    """The same without that space."""
    return _pieces(prefix=False)


def word_piece() -> Tokenizer:
    """BERT, uncased."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return _trained(
        tokenizer,
        trainers.WordPieceTrainer(vocab_size=900, special_tokens=specials, show_progress=False),
    )


BUILDERS = {"byte-level": byte_level, "llama-2": llama_2, "gemma": gemma, "bert": word_piece}
TEXTUAL = ["byte-level", "llama-2", "gemma"]  # those that can spell any text


@cache
def family(name: str) -> tuple[PreTrainedTokenizerFast, Vocabulary]:
    tokenizer = _finished(BUILDERS[name]())
    return tokenizer, Vocabulary.from_tokenizer(tokenizer)


def spelled(vocabulary: Vocabulary, ids: list[int]) -> bytes:
    return b"".join(vocabulary.tokens[index] or b"" for index in ids)


def decoded_behind(tokenizer: PreTrainedTokenizerFast, before: list[int], ids: list[int]) -> str:
    """What `ids` add to the text of `before`, as an answer behind its prompt."""
    options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    whole, start = (tokenizer.decode(each, **options) for each in ([*before, *ids], before))
    assert whole.startswith(start)
    return whole[len(start) :]


@pytest.mark.parametrize("name", TEXTUAL)
def test_texts_of_the_data_round_trip(name: str) -> None:
    tokenizer, vocabulary = family(name)
    for text in [*corpus()[::7], '{"a": "é\\n東京😀\t"}', "  two  spaces ", "\x00\x7f"]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        expected = f" {text}" if name == "llama-2" and text else text
        assert spelled(vocabulary, ids) == expected.encode()
        assert spelled(vocabulary, vocabulary.spell(text.encode())) == text.encode()
        before = tokenizer.encode("x", add_special_tokens=False)
        assert decoded_behind(tokenizer, before, vocabulary.spell(text.encode())) == text


@pytest.mark.parametrize("name", TEXTUAL)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.randoms())
@settings(max_examples=60, deadline=None)
def test_any_text_in_any_tokens_is_decoded_as_we_spell_it(
    name: str, text: str, rng: random.Random
) -> None:
    tokenizer, _ = family(name)
    data, ids = text.encode(), list[int]()
    by_bytes = by_spelling(name)
    while data:  # not only the tokens that encoding chooses
        ends = [end for end in range(1, min(len(data), 8) + 1) if data[:end] in by_bytes]
        end = rng.choice(ends)
        ids.append(rng.choice(by_bytes[data[:end]]))
        data = data[end:]
    before = tokenizer.encode("x", add_special_tokens=False)
    assert decoded_behind(tokenizer, before, ids) == text


@cache
def by_spelling(name: str) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for index, token in enumerate(family(name)[1].tokens):
        if token:
            found.setdefault(token, []).append(index)
    return found


def walks(constraint: Constraint, banned: set[int], rng: random.Random) -> list[int]:
    """Tokens that the masks allow, up to an end; none of them is `banned`."""
    state, ids = constraint.start(), list[int]()
    for _ in range(200):
        allowed = np.flatnonzero(constraint.mask(state)).tolist()
        assert not banned & set(allowed)
        if constraint.is_accepting(state) and (not allowed or rng.random() < 0.5):
            return ids
        if len(ids) > 40:  # the shortest way out
            after = {token: constraint.next(state, token) for token in allowed}
            allowed = [min(allowed, key=lambda t: constraint.distance(after[t] or 0))]
        ids.append(rng.choice(allowed))
        following = constraint.next(state, ids[-1])
        assert following is not None
        state = following
    raise AssertionError("no end")


SPECS: dict[str, list[Spec]] = {
    **{
        name: [json_schema(SCHEMA), choice([SPECIAL, ADDED, "<unk>", "<0x41>"])] for name in TEXTUAL
    },
    "bert": [regex(r"(?: [a-z]{1,8}){1,5}[.,!?]"), choice([" the", " the end.", " a, b"])],
}


@pytest.mark.parametrize("name", BUILDERS)
def test_walks_along_masks_are_words_when_decoded(name: str) -> None:
    tokenizer, vocabulary = family(name)
    rng = random.Random(5)
    banned = set(tokenizer.added_tokens_decoder)
    assert banned >= {tokenizer.convert_tokens_to_ids(each) for each in (SPECIAL, ADDED)}
    assert all(vocabulary.tokens[index] is None for index in banned)
    before = tokenizer.encode("x", add_special_tokens=False)
    for spec in SPECS[name]:
        constraint = compile(spec, vocabulary)
        for _ in range(12):
            text = decoded_behind(tokenizer, before, walks(constraint, banned, rng))
            assert constraint.accepts(text), text


def test_what_word_pieces_spell() -> None:
    """Words behind one space and punctuation; docs/models.md says the same."""
    tokenizer, vocabulary = family("bert")
    before = tokenizer.encode("x", add_special_tokens=False)
    for text in (" pub", " the pub, near.", " 3.5", " is it?"):
        assert decoded_behind(tokenizer, before, vocabulary.spell(text.encode())) == text
    for text in (" Pub", "\n", "  pub", ' "pub"', " café"):  # capitals, blanks, quotes, accents
        with pytest.raises(ConstraintError, match="no tokens that spell"):
            vocabulary.spell(text.encode())
    # Other symbols stand for themselves here; decoding puts a space before them.
    assert decoded_behind(tokenizer, before, vocabulary.spell(b" a-b")) == " a -b"
