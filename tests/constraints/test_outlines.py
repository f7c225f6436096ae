"""Other engines as second opinions on masks, where they are right."""

from __future__ import annotations

import json
import random
import re
from collections import deque
from itertools import product
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import ctrlgen.constraints
from ctrlgen import spec
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.vocabulary import Vocabulary

LETTERS = "ab1-."
PATTERNS = [
    "a",
    "ab|ba",
    "a(b1)?",
    "[ab]*1",
    "[ab]{2,4}",
    "(ab)+",
    "(a|ab)(1|b1)",
    "-?(0|1[01]*)",
    "[0-1]+(\\.[0-1]+)?",
    "a?b?1?-?",
    "(a|b){3}-[1.]{2}",
    "[^a]b*",
    "(aa|aab)*",
    "((a|b)-)*1",
    ".{3}",
]


def small_vocabulary() -> list[bytes | None]:
    rng = random.Random(0)
    longer = {"".join(rng.choices(LETTERS, k=rng.randint(2, 4))) for _ in range(60)}
    return [*(letter.encode() for letter in LETTERS), *(w.encode() for w in sorted(longer)), None]


def has_completion(pattern: str, text: str, longest: int = 5) -> bool:
    """Whether some text in the language begins with `text`, by trying."""
    return any(
        re.fullmatch(pattern, text + "".join(rest), re.DOTALL)
        for n in range(longest + 1)
        for rest in product(LETTERS + "0x", repeat=n)
    )


@pytest.mark.parametrize("pattern", PATTERNS)
def test_all_that_outlines_allows_is_allowed(pattern: str) -> None:
    """Its index drops some transitions (from accepting states): ours are then tried one by one."""
    core = pytest.importorskip("outlines_core")
    tokens = small_vocabulary()
    eos = len(tokens) - 1
    index = core.Index(pattern, core.Vocabulary(eos, {t: [i] for i, t in enumerate(tokens) if t}))
    constraint = ctrlgen.constraints.compile(spec.regex(pattern), Vocabulary(tokens))
    transitions = index.get_transitions()
    begin = index.get_initial_state(), constraint.start(), ""
    queue, seen = deque([begin]), {begin[:2]}
    tried: set[tuple[int, int]] = set()
    while queue:
        theirs, ours, text = queue.popleft()
        mask = constraint.mask(ours)
        steps = {t: s for t, s in transitions.get(theirs, {}).items() if t != eos}
        assert index.is_final_state(theirs) == constraint.is_accepting(ours)
        for token in np.flatnonzero(mask).tolist():
            more = text + (tokens[token] or b"").decode()
            if token not in steps and (ours, token) not in tried:
                tried.add((ours, token))
                assert has_completion(pattern, more), f"{pattern} never begins with {more}"
        for token, state in steps.items():
            after = constraint.next(ours, token)
            assert mask[token] and after is not None, (pattern, text, tokens[token])
            if (state, after) not in seen and len(seen) < 60:
                seen.add((state, after))
                queue.append((state, after, text + (tokens[token] or b"").decode()))


SENTENCES = ['{"name":"ab","kind":["true",null,false],"id":12}', "the name of the thing"] * 3

SCHEMAS: list[Any] = [
    {"enum": ["a", "ab", 12, None, True]},
    {"type": "boolean"},
    {"type": "string"},
    {"type": "string", "maxLength": 5},
    {"type": "string", "minLength": 2, "maxLength": 4},
    {"type": "integer", "minimum": 7, "maximum": 130},
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "kind": {"enum": ["a", "b"]}},
        "required": ["name", "kind"],
        "additionalProperties": False,
    },
    {
        "type": "object",
        "properties": {"id": {"type": "null"}, "name": {"type": "boolean"}, "k": {"const": 1}},
        "additionalProperties": False,
    },
    {"type": "array", "items": {"type": ["boolean", "null"]}, "minItems": 1, "maxItems": 3},
    {"type": "object", "additionalProperties": {"type": "boolean"}, "properties": {}},
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(SENTENCES, trainer)
    return made


def check_walks(constraint: Constraint, matcher: Any, width: int, walks: int) -> None:
    """Random walks with both; the masks have to be the same in every state.

    Where the text to come is certain, its mask has one tokenisation of it only, and in JSON strings
    it has no DEL: what only we allow there is put to its parser.
    """
    numpy = pytest.importorskip("llguidance.numpy")
    bits = numpy.allocate_token_bitmask(1, width)
    rng = random.Random(0)
    for _ in range(walks):
        reader, state = matcher.deep_copy(), constraint.start()
        for _ in range(14):
            numpy.fill_next_token_bitmask(reader, bits, 0)
            theirs = np.unpackbits(bits.view(np.uint8), bitorder="little")[:width].astype(bool)
            assert theirs[0] == constraint.is_accepting(state)
            theirs[0] = False
            ours = constraint.mask(state)
            assert not (theirs & ~ours).any()
            for token in np.flatnonzero(ours & ~theirs).tolist():
                word = constraint.vocabulary.tokens[token] or b""
                assert b"\x7f" in word or reader.deep_copy().validate_tokens([token]) == 1, word
            if not theirs.any():
                break
            token = rng.choice(np.flatnonzero(theirs).tolist())
            after = constraint.next(state, token)
            assert after is not None and reader.consume_token(token)
            state = after


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_the_masks_of_llguidance_for_schemas(schema: Any, tokenizer: Tokenizer) -> None:
    llguidance = pytest.importorskip("llguidance")
    hf = pytest.importorskip("llguidance.hf")
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    grammar = llguidance.LLMatcher.grammar_from_json_schema(
        json.dumps(schema), overrides={"whitespace_flexible": False}
    )
    matcher = llguidance.LLMatcher(hf.from_tokenizer(wrapped), grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    constraint = ctrlgen.constraints.compile(spec.json_schema(schema), tokenizer)
    check_walks(constraint, matcher, tokenizer.get_vocab_size(), 12)


@pytest.mark.parametrize("pattern", ["[a-z]+ the", "(true|false)(,[0-9]{1,3})*", "[^\\n]{0,6}é?"])
def test_the_masks_of_llguidance_for_patterns(pattern: str, tokenizer: Tokenizer) -> None:
    llguidance = pytest.importorskip("llguidance")
    hf = pytest.importorskip("llguidance.hf")
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    grammar = llguidance.LLMatcher.grammar_from_regex(pattern)
    matcher = llguidance.LLMatcher(hf.from_tokenizer(wrapped), grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    constraint = ctrlgen.constraints.compile(spec.regex(pattern), tokenizer)
    check_walks(constraint, matcher, tokenizer.get_vocab_size(), 12)
