"""What our table says that tokens spell, against what tokenizers of each family decode."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import ctrlgen.constraints
from ctrlgen import spec
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import ConstraintError

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, then it sleeps.",
    'A record is {"name": "Zoë", "city": "東京", "age": 31}\n',
    "Numbers such as 10, 20 and 3.14 are  spelled\tdigit by digit!",
    "Naïve cafés serve crème brûlée; don't they?",
] * 4
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(*, prefix: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_tokens(["<tool>"])
    return tokenizer


def llama_3() -> Tokenizer:
    tokenizer = byte_level(prefix=False)
    split = pre_tokenizers.Split(" ", "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return tokenizer


def with_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Byte tokens, as ordinary pieces: the trainer knows them as special tokens only."""
    vocab = tokenizer.get_vocab()
    pieces = sorted(vocab, key=vocab.__getitem__)
    pieces = [piece for piece in pieces if piece != "<unk>"]
    ids = {piece: i for i, piece in enumerate(["<unk>", *BYTES, *pieces])}
    made = Tokenizer(models.BPE(ids, [], byte_fallback=True, unk_token="<unk>"))
    made.add_special_tokens(["<unk>"])
    return made


def bpe_pieces() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def llama_2() -> Tokenizer:
    tokenizer = with_bytes(bpe_pieces())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def gemma() -> Tokenizer:
    tokenizer = with_bytes(bpe_pieces())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=160, special_tokens=["[UNK]", "[CLS]"], show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


# Each with whether decoding strips the space at the start of a text.
FAMILIES: dict[str, tuple[Callable[[], Tokenizer], bool]] = {
    "gpt2": (lambda: byte_level(prefix=False), False),
    "gpt2 with a prefix": (lambda: byte_level(prefix=True), False),
    "llama3": (llama_3, False),
    "llama2": (llama_2, True),
    "gemma": (gemma, False),
    "unigram": (unigram, True),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_spells_what_is_decoded(family: str) -> None:
    build, strips = FAMILIES[family]
    tokenizer = build()
    tokens = Vocabulary.from_tokenizer(tokenizer).tokens
    usable = [index for index, token in enumerate(tokens) if token]
    rng = random.Random(0)
    valid = 0
    for _ in range(3_000):
        ids = rng.choices(usable, k=rng.randint(1, 6))
        if rng.random() < 0.5:  # texts that are tokenised, not only random pieces
            text = rng.choice(SENTENCES)
            ids = tokenizer.encode(text[rng.randrange(len(text)) :]).ids
        if not all(tokens[index] for index in ids):
            continue
        data = b"".join(tokens[index] or b"" for index in ids)
        try:
            spelled = data.decode()
        except UnicodeDecodeError:  # decoding replaces what is no text; we never write it
            continue
        valid += 1
        expected = spelled.removeprefix(" ") if strips else spelled
        assert tokenizer.decode(ids) == expected
        # In the middle of a text, where a canvas is, the space stands.
        before = tokenizer.encode("x").ids
        if all(tokens[index] for index in before):
            assert tokenizer.decode([*before, *ids]) == tokenizer.decode(before) + spelled
    assert valid > 500


@pytest.mark.parametrize("family", ["gpt2", "llama3", "llama2", "gemma"])
def test_every_byte_is_spelled(family: str) -> None:
    vocabulary = Vocabulary.from_tokenizer(FAMILIES[family][0]())
    assert vocabulary.unspelled == b""
    text = '{"Ω": "\t\x00😀"}'.encode()
    assert b"".join(vocabulary.tokens[i] or b"" for i in vocabulary.spell(text)) == text


def test_word_pieces_read_as_words_and_punctuation() -> None:
    tokenizer = word_piece()
    tokens = Vocabulary.from_tokenizer(tokenizer).tokens
    plain = [i for i, t in enumerate(tokens) if t and (t.strip().isalnum() or t in b".,!?")]
    rng = random.Random(0)
    for _ in range(2_000):
        ids = rng.choices(plain, k=rng.randint(1, 6))
        spelled = b"".join(tokens[index] or b"" for index in ids).decode()
        decoded = tokenizer.decode(ids)
        if tokens[ids[0]] in b".,!?" or tokenizer.id_to_token(ids[0]).startswith("##"):
            continue  # no text begins so
        assert decoded == spelled.removeprefix(" "), tokenizer.encode(decoded).tokens


def test_a_constraint_that_cannot_be_spelled_is_refused() -> None:
    tokenizer = word_piece()
    with pytest.raises(ConstraintError, match="no token is one of b'QX'"):
        ctrlgen.constraints.compile(spec.choice(["XQ", "QX"]), tokenizer)
    constraint = ctrlgen.constraints.compile(spec.choice([" the dog, then"]), tokenizer)
    assert constraint.min_tokens == 4
    with pytest.raises(ConstraintError, match="no token"):
        ctrlgen.constraints.compile(spec.choice(["東北"]), unigram())


def test_special_and_added_tokens_spell_nothing() -> None:
    tokenizer = byte_level(prefix=False)
    tokens = Vocabulary.from_tokenizer(tokenizer).tokens
    for text in ("<eos>", "<tool>"):
        assert tokens[tokenizer.token_to_id(text)] is None


def test_unknown_kinds_are_refused() -> None:
    marked = Tokenizer(models.BPE({"a</w>": 0, "a": 1}, [], end_of_word_suffix="</w>"))
    with pytest.raises(ConstraintError, match="ends of words"):
        Vocabulary.from_tokenizer(marked)
    with pytest.raises(ConstraintError, match="WordLevel tokenizer spells spaces"):
        Vocabulary.from_tokenizer(Tokenizer(models.WordLevel({"a": 0}, "a")))


def test_pieces_like_byte_tokens_are_text_without_byte_fallback() -> None:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("<0x41>", -1.0), ("▁b", -1.0)], 0))
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<unk>"])
    assert Vocabulary.from_tokenizer(tokenizer).tokens == (None, b"<0x41>", b" b")
