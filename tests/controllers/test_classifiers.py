"""Classifiers: the shipped one, training, saving, the adapter, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification
from typer.testing import CliRunner

import ctrlgen
from ctrlgen.cli import app
from ctrlgen.controllers import ClassifierGuidance, SequenceClassifier, TextClassifier
from ctrlgen.controllers.classifiers import training
from ctrlgen.controllers.classifiers.text import EMBEDDED, ClassifierConfig
from ctrlgen.errors import ModelError
from tests.controllers.toys import DENOISER, VOCAB, canvas_of

FINGERPRINT = DENOISER.vocabulary.fingerprint


def label(classifier: TextClassifier, attribute: str, ids: list[int]) -> str:
    one = classifier[attribute]
    seen = torch.ones(1, len(ids), dtype=torch.bool)
    with torch.no_grad():
        found = one(one.embeddings[ids][None], seen)
    assert found.exp().sum() == pytest.approx(1.0, abs=1e-5)
    return one.labels[int(found.argmax())]


@pytest.mark.parametrize(
    ("text", "rating", "family"),
    [
        ("The Eagle is a coffee shop with a high customer rating.", "high", "unsaid"),
        ("The Vaults has a low customer rating and is not family-friendly.", "low", "no"),
        ("The Mill is family friendly.", "unsaid", "yes"),
        ("Alimentum is rated 1 out of 5 and is kid friendly.", "low", "yes"),
    ],
)
def test_the_shipped_classifier_knows_plain_cases(text: str, rating: str, family: str) -> None:
    classifier, denoiser = TextClassifier.load(), ctrlgen.load().denoiser
    classifier["rating"].check(denoiser.vocabulary.fingerprint)
    for spelled in (text, json.dumps(text)):
        ids = denoiser.encode(spelled)
        assert label(classifier, "rating", ids) == rating
        assert label(classifier, "family_friendly", ids) == family


def test_the_shipped_classifier_is_small() -> None:
    assert sum(file.stat().st_size for file in EMBEDDED.iterdir()) < 1_500_000
    assert "CC BY-SA 4.0" in (EMBEDDED / "README.md").read_text(encoding="utf-8")


def corpus_of(rows: list[training.LabelledText]) -> training.Corpus:
    config = ClassifierConfig(
        VOCAB, DENOISER.mask_token_id, DENOISER.fill_token_id, FINGERPRINT,
        training.attributes_of(rows), hidden=16, layers=1,
    )  # fmt: skip
    return training.Corpus(rows, DENOISER.encode, config, 32)


def letters() -> list[training.LabelledText]:
    """Texts that say nothing but for one letter; of one attribute not all labels are known."""
    rows = []
    for i in range(96):
        word = "xyz" * (i % 4)
        some = {"two": "yes" if i % 2 else "no"} if i % 3 else {}
        text = word + ("p" if i % 2 else "q") + word
        rows.append(training.LabelledText(text, {"one": "p" if i % 2 else "q"} | some))
    return rows


def test_training_learns_and_saving_keeps(tmp_path: Path) -> None:
    corpus = corpus_of(letters())
    torch.manual_seed(0)
    classifier = TextClassifier(corpus.config)
    before = training.accuracy(classifier, corpus, 0.0)
    recipe = training.Recipe(epochs=25, batch_size=32, learning_rate=1e-2)
    losses = list(training.train(classifier, corpus, recipe))
    assert len(losses) == 25 * 3
    assert sum(losses[-10:]) < sum(losses[:10])
    after = training.accuracy(classifier, corpus, 0.0)
    assert after["one"] > 0.95 > before["one"]
    assert after["two"] > 0.95
    assert training.accuracy(classifier, corpus, 1.0)["one"] < 0.7  # nothing to be seen

    classifier.save(tmp_path)
    again = TextClassifier.load(tmp_path)
    assert again.config == corpus.config
    ids = DENOISER.encode("xyzqxyz")
    assert label(again, "one", ids) == label(classifier, "one", ids) == "q"


def test_tokens_that_training_never_showed_change_nothing() -> None:
    corpus = corpus_of(letters())
    torch.manual_seed(0)
    classifier = TextClassifier(corpus.config)
    list(training.train(classifier, corpus, training.Recipe(3, 32, 1e-2)))
    canvas = canvas_of("[a-z]{3}", length=3)
    logits = torch.zeros(3, VOCAB).double().numpy()
    exact = {"top_k": VOCAB, "positions": None}
    for options in (exact, {"top_k": 0}):
        change = ClassifierGuidance(classifier["one"], "p", scale=5.0, **options)(canvas, logits)
        unseen = [ord(letter) for letter in "abcd7"]
        assert abs(change[:, unseen]).max() < 1e-4
        assert abs(change[:, ord("p")]).max() > 1e-2


def test_an_open_position_counts_as_a_mask() -> None:
    """Guidance by a trained classifier wants the letter that it was trained on."""
    corpus = corpus_of(letters())
    torch.manual_seed(0)
    classifier = TextClassifier(corpus.config)
    list(training.train(classifier, corpus, training.Recipe(25, 32, 1e-2)))
    canvas = canvas_of("[pq]{3}", length=3)
    logits = torch.zeros(3, VOCAB).double().numpy()
    for wanted, other in (("p", "q"), ("q", "p")):
        guide = ClassifierGuidance(classifier["one"], wanted, scale=2.0)
        guided = guide(canvas, logits)
        assert (guided[:, ord(wanted)] > guided[:, ord(other)] + 0.5).all()


def test_a_model_s_embeddings_keep_their_main_directions() -> None:
    torch.manual_seed(0)
    plane = torch.randn(50, 2) @ torch.randn(2, 30)
    found = training.project(plane + 5.0, 8)
    assert found.shape == (50, 8)
    near, same = torch.cdist(plane, plane), torch.cdist(found, found)
    ratio = same[near > 1] / near[near > 1]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "labels.jsonl:2: not JSON"),
        ('{"text": 1, "label": "a"}', "labels.jsonl:2: a row must be"),
        ('{"text": "x"}', "labels.jsonl:2: a row must be"),
        ('["text"]', "labels.jsonl:2: a row must be"),
        ('{"text": "x", "label": {"a": 1}}', "labels.jsonl:2: every label"),
    ],
)
def test_bad_rows_are_told(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"text": "x", "label": "good"}\n' + line + "\n")
    with pytest.raises(ValueError, match=message):
        training.read_labelled(file)


def test_rows_that_cannot_be_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"text": "x", "label": "good"}\n' * 2))
    with pytest.raises(ValueError, match="nothing to tell apart"):
        training.attributes_of(training.read_labelled(file))
    file.write_bytes(gzip.compress(b"\n"))
    with pytest.raises(ValueError, match="no rows"):
        training.read_labelled(file)


def test_the_command_trains_for_the_embedded_model(tmp_path: Path) -> None:
    file, out = tmp_path / "labels.jsonl", tmp_path / "classifier"
    rows = [
        {"text": f"The food is {'good' if i % 2 else 'bad'}.", "label": "yes" if i % 2 else "no"}
        for i in range(40)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["train", "classifier", str(file), "--out", str(out), "--epochs", "2"]
    options = ["--hidden", "16", "--layers", "1", "--embeddings", "model"]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    assert "accuracy on 4 texts" in result.stdout
    assert TextClassifier.load(out)["label"].labels == ("no", "yes")
    bad = CliRunner().invoke(app, [*arguments, "--hidden", "12"])
    assert bad.exit_code == 2
    assert "multiple of 8" in bad.stderr


def bert(labels: int = 3, rows: int = VOCAB + 7) -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=rows, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=labels, max_position_embeddings=64,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def test_a_sequence_classifier_reads_text_without_fill() -> None:
    model = bert().eval()
    classifier = SequenceClassifier(model, DENOISER.vocabulary)
    assert classifier.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    text = DENOISER.encode("hello")
    fill = DENOISER.fill_token_id
    ids = [*text[:2], fill, *text[2:], fill]
    seen = torch.tensor([[i != fill for i in ids]])
    with torch.no_grad():
        found = classifier(classifier.embeddings[ids][None], seen)
        wanted = model(input_ids=torch.tensor([text])).logits.log_softmax(dim=1)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_a_sequence_classifier_guides() -> None:
    classifier = SequenceClassifier(bert(), DENOISER.vocabulary)
    canvas = canvas_of("[ab]*", {5: DENOISER.fill_token_id})
    logits = torch.zeros(6, VOCAB).double().numpy()
    guided = ClassifierGuidance(classifier, "LABEL_1", scale=5.0)(canvas, logits)
    assert (guided[:5] != 0).any()
    assert (guided[5] == 0).all()


def test_unusable_classifiers_are_refused() -> None:
    with pytest.raises(ModelError, match="one output"):
        SequenceClassifier(bert(1), DENOISER.vocabulary)
    other = SequenceClassifier(bert(), ctrlgen.load().denoiser.tokenizer)
    with pytest.raises(ModelError, match="tokenizer"):
        other.check(FINGERPRINT)
    with pytest.raises(ModelError, match="9 embeddings"):
        SequenceClassifier(bert(2, 9), DENOISER.vocabulary).check(FINGERPRINT)
    with pytest.raises(ModelError, match="train classifier"):
        TextClassifier.load()["rating"].check(FINGERPRINT)
    with pytest.raises(ModelError, match="cannot load a classifier"):
        TextClassifier.load("nowhere")
    with pytest.raises(KeyError, match="family_friendly, rating"):
        TextClassifier.load()["price"]
