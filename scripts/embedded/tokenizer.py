"""The embedded model's tokenizer: byte-level BPE whose words split alike with and without a space.

Copying is what the model is for, and a value stands after a quote in the answer but after a space
in the text. So words are segmented first, without their space, and the space is merged onto the
first piece last: ` Alimentum` is ` Al`, `iment`, `um` where `Alimentum` is `Al`, `iment`, `um`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIALS = {
    "pad_token": "<|pad|>",
    "mask_token": "<|mask|>",
    "fill": "<|fill|>",
    "user": "<|user|>",
    "assistant": "<|assistant|>",
    "tools": "<|tools|>",
    "record": "<|record|>",
    "answer": "<|answer|>",
}
# JSON's own punctuation comes in pairs; all other punctuation stands alone, so that a value's last
# character never merges with its closing quote. Digits go in twos.
PIECES = r"""[{,\[]"|":|"| ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]|\s+"""
SPACE = "Ġ"
# Tool names when there is a choice of tools, the turns, then the mark that the answer begins.
CHAT_TEMPLATE = (
    "{% if tools and tools | length > 1 %}"
    "<|tools|>{{ tools | map(attribute='name') | join(' ') }}{% endif %}"
    "{% for m in messages %}<|{{ 'user' if m.role == 'system' else m.role }}|>{{ m.content }}"
    "{% endfor %}<|answer|>"
)


def _pre_tokenizer(pattern: str) -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def _words(texts: Iterable[str]) -> Counter[str]:
    """Byte-level spelled pieces of the texts with their leading space, counted."""
    splitter = _pre_tokenizer(PIECES)
    return Counter(piece for text in texts for piece, _ in splitter.pre_tokenize_str(text))


def _train_merges(words: Counter[str], merges: int) -> tuple[list[str], list[tuple[str, str]]]:
    """BPE over words without their spaces: the vocabulary and the merges in order."""
    import json

    bare: Counter[str] = Counter()
    for word, count in words.items():
        bare[word.removeprefix(SPACE) or SPACE] += count
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + merges, initial_alphabet=alphabet, show_progress=False
    )
    # Without a pre-tokenizer each string is one word, already spelled in the byte alphabet.
    repeated = (w for w, count in sorted(bare.items()) for _ in range(min(count, 2000)))
    tokenizer.train_from_iterator(repeated, trainer)
    state = json.loads(tokenizer.to_str())["model"]
    vocabulary = sorted(state["vocab"], key=state["vocab"].__getitem__)
    return vocabulary, [tuple(pair) for pair in state["merges"]]


def _first_pieces(
    words: Counter[str], vocabulary: list[str], merges: list[tuple[str, str]]
) -> list[str]:
    """The pieces that begin a word after a space, often enough to deserve a token of their own."""
    ids = {token: i for i, token in enumerate(vocabulary)}
    bare = Tokenizer(models.BPE(vocab=ids, merges=merges))
    counts: Counter[str] = Counter()
    for word, count in words.items():
        if word.startswith(SPACE) and len(word) > 1:
            counts[bare.encode(word[1:]).tokens[0]] += count
    return sorted(piece for piece, count in counts.items() if count >= 3 or len(piece) == 1)


def train(texts: Iterable[str], merges: int = 3000) -> PreTrainedTokenizerFast:
    """A tokenizer trained on `texts` with about twice `merges` tokens."""
    words = _words(texts)
    vocabulary, merge_list = _train_merges(words, merges)
    spaced = _first_pieces(words, vocabulary, merge_list)
    known = set(vocabulary)
    spaced = [piece for piece in spaced if SPACE + piece not in known]
    tokens = [*SPECIALS.values(), *vocabulary, *(SPACE + piece for piece in spaced)]
    merge_list += [(SPACE, piece) for piece in spaced]
    ids = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merge_list))
    tokenizer.pre_tokenizer = _pre_tokenizer(PIECES)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIALS.values()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIALS["pad_token"],
        mask_token=SPECIALS["mask_token"],
        additional_special_tokens=list(SPECIALS.values())[2:],
        clean_up_tokenization_spaces=False,
    )
