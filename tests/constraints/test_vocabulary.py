"""Tokens as bytes, for the three kinds of tokenizer, and the trie of them."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import ConstraintError

REAL = Path(__file__).parents[3] / "shared/tokenizers/sdar-8b-chat/tokenizer.json"


def strings_of(vocabulary: Vocabulary) -> dict[bytes, list[int]]:
    """The trie read back, node by node."""
    trie, found = vocabulary.trie, defaultdict(list)
    prefixes = {0: b""}
    for node in range(len(trie.byte)):
        for token in trie.tokens[trie.first_token[node] : trie.first_token[node + 1]].tolist():
            found[prefixes[node]].append(token)
        children = range(trie.first_child[node], trie.first_child[node + 1])
        assert sorted(set(trie.byte[list(children)].tolist())) == trie.byte[list(children)].tolist()
        for child in children:
            assert trie.parent[child] == node
            prefixes[child] = prefixes[node] + bytes([trie.byte[child]])
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_trie_holds_every_token(seed: int) -> None:
    rng = random.Random(seed)
    tokens: list[bytes | None] = [None, b""]
    tokens += [
        bytes(rng.choices(b"ab\xff", k=rng.randint(1, 5))) for _ in range(rng.randint(0, 60))
    ]
    rng.shuffle(tokens)
    vocabulary = Vocabulary(tokens)
    expected = defaultdict(list)
    for index, token in enumerate(tokens):
        if token:
            expected[token].append(index)
    assert {k: sorted(v) for k, v in strings_of(vocabulary).items()} == expected
    assert vocabulary.max_token_bytes == max(map(len, expected), default=0)
    trie = vocabulary.trie
    assert trie.levels.tolist()[0] == 0 and trie.levels[-1] == len(trie.byte)
    steps = {node: trie.children(node) for node in range(len(trie.byte))}
    assert all(trie.child(node, byte) == c for node, found in steps.items() for byte, c in found)
    assert trie.child(0, ord("z")) == -1
    for node, found in steps.items():
        assert trie.has_tokens(node) == bool(trie.tokens_at(node))
        assert trie.below[node] == len(trie.tokens_at(node)) + sum(trie.below[c] for _, c in found)


def test_spelling_uses_the_fewest_tokens() -> None:
    vocabulary = Vocabulary([b"a", b"ab", b"abc", b"cde", b"d", b"e", None])
    assert vocabulary.spell(b"abcde") == [1, 3]
    assert vocabulary.spell(b"abcd") == [2, 4]
    assert vocabulary.spell(b"") == []
    with pytest.raises(ConstraintError, match="no tokens"):
        vocabulary.spell(b"abx")


def test_fingerprints_tell_vocabularies_apart() -> None:
    one = Vocabulary([b"a", b"b", None]).fingerprint
    assert one == Vocabulary([b"a", b"b", None]).fingerprint
    others = {Vocabulary([b"ab", None]).fingerprint, Vocabulary([b"a", b"b"]).fingerprint}
    assert len(others | {one}) == 3


def test_token_sets_are_interned() -> None:
    sets = Vocabulary([b"a", b"b"]).token_sets
    first = sets.intern(np.array([0, 3], np.int32))
    assert sets.intern(np.array([0, 3], np.int32)) == first
    second = sets.intern(np.array([1], np.int32))
    assert sets[sets.union(first, second)].tolist() == [0, 1, 3]
    assert len(sets) == 3


def test_byte_level() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<eos>"])
    tokenizer.add_tokens(["tool"])
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    assert set(vocabulary.tokens[:256]) == {bytes([byte]) for byte in range(256)}
    assert vocabulary.tokens[256:] == (None, None)
    for text in ("a b\n", "é", "日本"):
        spelled = [vocabulary.tokens[i] or b"" for i in tokenizer.encode(text).ids]
        assert b"".join(spelled) == text.encode()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    assert Vocabulary.from_tokenizer(wrapped).fingerprint == vocabulary.fingerprint


def test_sentence_piece() -> None:
    pieces = [("<unk>", 0.0), ("▁a", -1.0), ("b", -1.0), ("<0x0A>", -2.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, 0, byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken("<unk>", special=True)])
    assert Vocabulary.from_tokenizer(tokenizer).tokens == (None, b" a", b"b", b"\n")


def test_word_piece() -> None:
    vocab = {"[UNK]": 0, "play": 1, "##ing": 2, ",": 3, "#": 4, "##": 5}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[UNK]"])
    spelled = Vocabulary.from_tokenizer(tokenizer).tokens
    assert spelled == (None, b" play", b"ing", b",", b"#", b"##")


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(ConstraintError, match="fast tokenizer"):
        Vocabulary.from_tokenizer(object())


@pytest.mark.skipif(not REAL.exists(), reason="the tokenizer of SDAR is not on this machine")
def test_a_real_vocabulary() -> None:
    tokenizer = Tokenizer.from_file(str(REAL))
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    text = '{"name": "Zoë", "city": "東京"}\n'
    spelled = [vocabulary.tokens[i] or b"" for i in tokenizer.encode(text).ids]
    assert b"".join(spelled) == text.encode()
    assert len(vocabulary.trie.byte) > 300_000
