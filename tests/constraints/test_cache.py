"""Files of vocabularies and grammars, and pickles of constraints."""

from __future__ import annotations

import multiprocessing
import pickle
import random
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import ctrlgen.constraints
from ctrlgen import spec
from ctrlgen.constraints import cache, notation, vocabulary
from ctrlgen.constraints.automaton import ByteAutomaton
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.nodes import And, Bytes, Choice, Grammar, Node, Seq, Slot, text
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import UnsatisfiableError
from tests.constraints.brute import RandomGrammars, words

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"enum": [1, "é"]}}}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CTRLGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vocabulary, "_WORTH_A_FILE", 1)
    monkeypatch.setattr(cache, "_WORTH_A_FILE", 1)
    return tmp_path / "cache"


def tokenizer(*more: str) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({t: i for i, t in enumerate([*alphabet, *more])}, []))
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<eos>"])
    return made


def files(place: Path, kind: str) -> list[Path]:
    return sorted(place.glob(f"{kind}-*"))


def test_a_vocabulary_is_kept(place: Path) -> None:
    first = Vocabulary.from_tokenizer(tokenizer("ab", '":'))
    (path,) = files(place, "vocabulary")
    written = path.stat().st_mtime_ns
    again = Vocabulary.from_tokenizer(tokenizer("ab", '":'))
    assert path.stat().st_mtime_ns == written
    assert again.tokens == first.tokens and again.fingerprint == first.fingerprint
    assert again.max_token_bytes == first.max_token_bytes == 2
    for name in first.trie.STORED:
        assert np.array_equal(getattr(again.trie, name), getattr(first.trie, name))
    Vocabulary.from_tokenizer(tokenizer("ab"))
    assert len(files(place, "vocabulary")) == 2


@pytest.mark.parametrize("damage", ["garbage", "half", "flipped", "empty", "foreign", "objects"])
def test_a_damaged_file_is_made_anew(place: Path, damage: str) -> None:
    first = Vocabulary.from_tokenizer(tokenizer("ab"))
    (path,) = files(place, "vocabulary")
    good = path.read_bytes()
    if damage == "foreign":
        np.savez(path, name=np.asarray("another"), spelled=np.zeros(3, np.uint8))
    elif damage == "objects":  # numpy would have to unpickle them
        np.savez(path, allow_pickle=True, name=np.asarray([{}], object))
    else:
        middle = len(good) // 2
        path.write_bytes(
            {
                "garbage": random.Random(0).randbytes(3_000),
                "half": good[:middle],
                "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
                "empty": b"",
            }[damage]
        )
    with pytest.warns(cache.CacheWarning, match="made anew"):
        assert Vocabulary.from_tokenizer(tokenizer("ab")).tokens == first.tokens
    assert Vocabulary.from_tokenizer(tokenizer("ab")).tokens == first.tokens  # without a warning


def test_the_cache_can_be_off(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTRLGEN_CACHE", "off")
    assert cache.folder() is None
    Vocabulary.from_tokenizer(tokenizer("ab"))
    ctrlgen.constraints.compile(spec.json_schema(SCHEMA), tokenizer("ab"))
    assert not place.exists()


def test_a_folder_that_cannot_be_used_is_no_error(place: Path) -> None:
    place.write_text("a file")
    assert Vocabulary.from_tokenizer(tokenizer("ab")).size == 258


def test_the_usual_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTRLGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache.folder() == Path("/somewhere/ctrlgen")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.folder() == Path("~/Library/Caches/ctrlgen").expanduser()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert cache.folder() == Path("/local/ctrlgen/Cache")


def test_a_name_tells_versions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grammar is what lark, jsonschema and Python's own parser of patterns make of a text."""
    names = {cache.name_of("grammar", "x")}
    for module, name, value in ((metadata, "version", lambda _: "9"), (sys, "version", "9")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            cache._code.cache_clear()
            names.add(cache.name_of("grammar", "x"))
    cache._code.cache_clear()
    assert len(names) == 3 and cache.name_of("grammar", "x") in names


def test_old_files_go(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_KEPT", 3)
    for index in range(6):
        cache.store(cache.name_of("grammar", str(index)), {"text": np.zeros(3, np.uint8)})
    assert len(files(place, "grammar")) == 3 and not list(place.glob("*.tmp"))


def _write_often(name: str, value: int) -> None:
    for _ in range(20):
        cache.store(name, {"value": np.full(5_000, value)})


def test_writers_do_not_mix() -> None:
    """Every file that a reader sees is one that a writer has finished."""
    name = cache.name_of("grammar", "shared")
    _write_often(name, 0)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_often, args=(name, value)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    for _ in range(100):
        arrays = cache.load(name)
        assert arrays is not None and len(set(arrays["value"].tolist())) == 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0


def test_a_grammar_is_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = Vocabulary.from_tokenizer(tokenizer("ab"))
    first = ctrlgen.constraints.compile(spec.json_schema(SCHEMA), words)
    (path,) = files(place, "grammar")
    monkeypatch.setattr(ctrlgen.constraints, "lower", None)  # not called again
    again = ctrlgen.constraints.compile(spec.json_schema(SCHEMA), words)
    for candidate in ('{"a":"x","b":1}', '{"b":"é"}', '{"b":2}', "{}", '{"a":1}'):
        assert again.accepts(candidate) == first.accepts(candidate)
    monkeypatch.undo()
    monkeypatch.setattr(cache, "_WORTH_A_FILE", 1)
    monkeypatch.setenv("CTRLGEN_CACHE", str(place))
    ctrlgen.constraints.compile(spec.json_schema({**SCHEMA, "required": ["a"]}), words)
    assert len(files(place, "grammar")) == 2
    np.savez(path, name=np.asarray(path.stem), text=np.zeros(4, np.uint8))
    with pytest.warns(cache.CacheWarning):
        again = ctrlgen.constraints.compile(spec.json_schema(SCHEMA), words)
    assert again.accepts('{"b":1}')


@pytest.mark.parametrize("seed", range(60))
def test_notation_loses_nothing(seed: int) -> None:
    grammar = RandomGrammars(seed).grammar()
    written = notation.write(grammar)
    assert written is not None
    assert notation.write(notation.read(written)) == written
    try:
        first = ByteAutomaton(grammar)
    except UnsatisfiableError:
        return
    second = ByteAutomaton(notation.read(written))
    for word in words(5):
        ends = [a.is_accepting(a.run(a.start, word)) for a in (first, second)]
        assert ends[0] == ends[1]


def test_notation_keeps_marks_and_sharing() -> None:
    item = Choice((Bytes(b"\xff\x00"), text("é")))
    grammar = Grammar(Seq((Slot(item, "/a", "string"), item, And((item, item)))))
    found = notation.read(notation.write(grammar) or "").root
    assert isinstance(found, Seq) and isinstance(found.items[0], Slot)
    assert (found.items[0].name, found.items[0].kind) == ("/a", "string")
    assert found.items[0].item is found.items[1]


@pytest.mark.parametrize(
    "damaged",
    ["", "[]", "{}", '{"root": 0, "rules": {}, "rows": [["Grammar", 1]]}',
     '{"root": 0, "rules": {}, "rows": [["field"]]}', '{"root": 3, "rules": {}, "rows": []}'],
)  # fmt: skip
def test_damaged_notation_is_told(damaged: str) -> None:
    with pytest.raises(ValueError):
        notation.read(damaged)


def test_a_constraint_pickles() -> None:
    constraint = ctrlgen.constraints.compile(spec.json_schema(SCHEMA), tokenizer("ab", '":'))
    constraint.bits(constraint.start())
    again = pickle.loads(pickle.dumps(constraint))
    other = pickle.loads(pickle.dumps(constraint))
    assert again.vocabulary is other.vocabulary
    state, same = constraint.start(), again.start()
    for token in constraint.vocabulary.spell('{"a":"ab","b":"é"}'.encode()):
        assert np.array_equal(constraint.mask(state), again.mask(same))
        state, same = constraint.next(state, token), again.next(same, token)
    assert constraint.is_accepting(state) and again.is_accepting(same)
    assert again.min_tokens == constraint.min_tokens


def test_deep_grammars_pickle() -> None:
    node: Node = text("x")
    for _ in range(60):
        node = Seq((text("("), Choice((node, text("y"))), text(")")))
    constraint = Constraint(Grammar(node), Vocabulary([b"(", b")", b"x", b"y"]))
    again = pickle.loads(pickle.dumps(constraint))
    assert again.accepts("(" * 60 + "x" + ")" * 60)
