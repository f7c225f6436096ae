"""The training script on the small committed sample: two steps, a loadable checkpoint."""

import json
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import train_embedded
from embedded import corpora, tokenizer
from embedded.augment import Pool, swap_spoken, swap_values
from embedded.examples import Stream
from embedded.layout import Layout, call_text
from embedded.spoken import (
    DATE,
    TIME,
    draw_date,
    draw_time,
    read_date,
    read_time,
    say_date,
    say_time,
)

import ctrlgen

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def corpus():
    return train_embedded.load_corpora(DATA)


@pytest.fixture(scope="module")
def tok(corpus):
    texts = [
        t for es in corpus.values() for e in es for t in (*(x for _, x in e.turns), call_text(e))
    ]
    return tokenizer.train(texts, merges=200)


def test_words_split_alike_with_and_without_a_space(tok):
    for word in ("Alimentum", "restaurant", "Rosa", "Zanzibarian"):
        bare = tok.tokenize(word)
        spaced = [t for t in tok.tokenize(" " + word) if t != "Ġ"]
        assert [t.removeprefix("Ġ") for t in spaced] == bare


def test_held_out_cuts_are_disjoint():
    train, test = (corpora.load_e2e(DATA, test=t) for t in (False, True))
    assert train and not {str(e.answer) for e in train} & {str(e.answer) for e in test}


def test_swapped_values_still_stand_in_the_text(corpus):
    rng, pool = random.Random(0), Pool(corpus["snips"])
    changed = 0
    for example in corpus["snips"]:
        new = swap_values(example, pool, rng, rate=1.0)
        text = "\n".join(t for _, t in new.turns)
        assert all(str(v) in text for k, v in new.answer.items() if v != example.answer[k])
        changed += new.answer != example.answer
    assert changed > len(corpus["snips"]) // 2


def test_what_is_said_of_a_date_or_time_reads_back():
    rng = random.Random(0)
    for _ in range(2000):
        date, time = draw_date(rng), draw_time(rng)
        assert read_date(DATE.fullmatch(say_date(date, rng))) == date
        assert read_time(TIME.fullmatch(say_time(time, rng))) == time


def test_swapped_dates_are_said_in_the_text(corpus):
    rng, changed = random.Random(0), 0
    for example in corpus["sgd"] * 4:
        new = swap_spoken(example, rng)
        named = {read_date(m) for _, text in new.turns for m in DATE.finditer(text)}
        fresh = {
            v for k, v in new.answer.items() if v != example.answer[k] and v.startswith("2019")
        }
        assert fresh <= named
        changed += bool(fresh)
    assert changed


def test_stream_masks_only_the_canvas(corpus, tok):
    layout = Layout(tok)
    for sequence, _ in zip(Stream(corpus, layout, seed=0), range(200), strict=False):
        answer = sequence.targets.index(layout.special["answer"])
        for i, (seen, target, weight) in enumerate(
            zip(sequence.ids, sequence.targets, sequence.weights, strict=True)
        ):
            assert (weight > 0) <= (i > answer or i > 0)
            assert seen == (layout.special["mask_token"] if weight else target)
        assert any(sequence.weights)


def test_two_steps_make_a_checkpoint_that_generates_valid_objects(tmp_path):
    train_embedded.main(DATA, tmp_path, steps=2, tokens=1024, hidden=32, layers=1, fuse=False)
    model = ctrlgen.load(tmp_path)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    result = ctrlgen.Generator(model, schema, steps=3).generate("n is 4")
    assert isinstance(json.loads(result.text)["n"], int)
