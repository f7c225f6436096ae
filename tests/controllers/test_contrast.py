"""Guidance by a second look: the formula, when the second look is left out, and batches."""

from __future__ import annotations

import numpy as np
import pytest

from ctrlgen.constraints.atoms import Floats
from ctrlgen.controllers import AdaptiveMasking, ClassifierFree
from tests.controllers.toys import DENOISER, VOCAB, canvas_of

MASK = DENOISER.mask_token_id
A, B = ord("a"), ord("b")


class Recorder:
    """A forward pass that remembers what it was shown."""

    def __init__(self, offset: float = 1.0) -> None:
        self.shown: list[list[int]] = []
        self.asked: list[list[int]] = []
        self.calls, self.offset = 0, offset

    def rows(self, sequence: list[int], positions: list[int]) -> Floats:
        rng = np.random.default_rng(sequence)
        return rng.normal(size=(len(sequence), VOCAB))[positions] * self.offset

    def __call__(self, sequences: list[list[int]], positions: list[list[int]]) -> list[Floats]:
        self.calls += 1
        self.shown, self.asked = sequences, positions
        return [self.rows(s, p) for s, p in zip(sequences, positions, strict=True)]


def logits_of(seed: int, rows: int = 6) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, VOCAB))


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_classifier_free_guidance_is_its_formula(scale: float) -> None:
    canvas, model, logits = canvas_of("[ab]*", {1: A}), Recorder(), logits_of(0)
    canvas.prompt = [5, 6, 7]
    logits[2, 3] = -np.inf
    guided = ClassifierFree(model, scale=scale)(canvas, logits)
    assert model.shown == [[MASK, MASK, MASK, *canvas.view().ids]]
    assert model.asked == [[3, 4, 5, 6, 7, 8]]
    unguided = model.rows(model.shown[0], model.asked[0])
    # gamma = scale + 1: gamma log p(. | prompt) + (1 - gamma) log p(.), up to a constant
    np.testing.assert_allclose(guided, (1 + scale) * logits - scale * unguided)
    assert np.isneginf(guided[2, 3])


def test_a_negative_prompt_stands_in_for_the_prompt() -> None:
    canvas, model = canvas_of("[ab]*"), Recorder()
    canvas.prompt = [5, 6, 7]
    ClassifierFree(model, instead=[8])(canvas, logits_of(0))
    assert model.shown[0][:3] == [MASK, MASK, 8]
    ClassifierFree(model, instead=[1, 2, 3, 4])(canvas, logits_of(0))
    assert model.shown[0][:3] == [2, 3, 4]


def test_without_a_prompt_or_a_scale_there_is_no_second_look() -> None:
    canvas, model, logits = canvas_of("[ab]*"), Recorder(), logits_of(0)
    assert ClassifierFree(model)(canvas, logits) is logits
    canvas.prompt = [5]
    assert ClassifierFree(model, scale=0.0)(canvas, logits) is logits
    assert model.calls == 0


def test_a_batch_takes_one_pass_and_is_what_its_members_are_alone() -> None:
    model, alone = Recorder(), Recorder()
    canvases = [canvas_of("[ab]*", {i: A}) for i in range(3)]
    for i, canvas in enumerate(canvases):
        canvas.prompt = [i] * (i + 1)
    rows = [logits_of(i) for i in range(3)]
    together = ClassifierFree(model).batch(canvases, rows)
    assert model.calls == 1
    each = [ClassifierFree(alone)(c, r) for c, r in zip(canvases, rows, strict=True)]
    for one, other in zip(together, each, strict=True):
        np.testing.assert_array_equal(one, other)


def agreeing(canvas, logits: Floats) -> Recorder:
    """A model whose second look hardly differs from the first."""
    model = Recorder()
    model.rows = lambda sequence, positions: logits + 1e-4  # type: ignore[method-assign]
    return model


def test_the_second_look_is_left_out_when_both_agree_and_taken_up_at_a_new_gap() -> None:
    canvas, logits = canvas_of("[ab]*"), logits_of(0)
    canvas.prompt = [5]
    model = agreeing(canvas, logits)
    guide = ClassifierFree(model, scale=1.0, patience=2)
    for _ in range(5):
        guided = guide(canvas, logits)
    assert model.calls == guide.passes == 2
    assert guided is logits
    (gap,) = canvas.gaps()
    gap.resize(canvas.scaffold.filling(gap, gap.length))  # a new one, as after growing
    guide(canvas, logits)
    assert model.calls == 3


def test_the_second_look_stays_while_they_differ_or_skipping_is_off() -> None:
    canvas, logits = canvas_of("[ab]*"), logits_of(0)
    canvas.prompt = [5]
    model = Recorder(3.0)
    guide = ClassifierFree(model)
    for _ in range(5):
        guide(canvas, logits)
    assert model.calls == 5
    steady = agreeing(canvas, logits)
    guide = ClassifierFree(steady, skip=False)
    for _ in range(5):
        guide(canvas, logits)
    assert steady.calls == 5


@pytest.mark.parametrize(("changed", "passes"), [("surest", 5), ("least sure", 2)])
def test_agreement_is_about_what_will_commit(changed: str, passes: int) -> None:
    """Four of six positions are sure of their token: what a fifth would be decides nothing."""
    canvas, logits = canvas_of("[ab]*"), logits_of(0)
    canvas.prompt = [5]
    logits[:4, A] += 12.0
    poorer = logits.copy()
    row = 0 if changed == "surest" else 4
    best, second = np.argsort(-logits[row])[:2]
    poorer[row, second] -= logits[row, best] - logits[row, second] + 0.1  # guided prefers it
    model = Recorder()
    model.rows = lambda sequence, positions: poorer  # type: ignore[method-assign]
    guide = ClassifierFree(model, scale=1.0, patience=2)
    for _ in range(5):
        assert guide(canvas, logits)[row].argmax() in (best, second)
    assert (model.calls, guide.passes, guide.skipped) == (passes, passes, 5 - passes)


def test_one_canvas_in_agreement_does_not_silence_another() -> None:
    logits = logits_of(0)
    one, other = canvas_of("[ab]*"), canvas_of("[ab]*")
    one.prompt = other.prompt = [5]
    model = agreeing(one, logits)
    guide = ClassifierFree(model, patience=1)
    guide(one, logits)
    guide(one, logits)
    assert model.calls == 1
    guide(other, logits)
    assert model.calls == 2


def test_adaptive_masking_hides_what_was_decided_with_least_confidence() -> None:
    canvas, model = canvas_of("[ab]*", {0: A, 2: B, 3: A, 5: B}), Recorder()
    canvas.prompt = [5, 6]
    (gap,) = canvas.gaps()
    gap.written[:] = [0.9, 0.0, 0.3, 0.5, 0.0, 0.2]
    gap.forced[5] = True
    ids = canvas.view().ids
    logits = logits_of(0)
    guided = AdaptiveMasking(model, scale=1.5, share=0.5)(canvas, logits)
    ids[2] = ids[3] = MASK  # two of three; what was forced is not in doubt
    assert model.shown == [[5, 6, *ids]]
    expected = 2.5 * logits - 1.5 * model.rows(model.shown[0], model.asked[0])
    np.testing.assert_allclose(guided, expected)


def test_adaptive_masking_waits_for_a_first_commit() -> None:
    canvas, model, logits = canvas_of("[ab]*"), Recorder(), logits_of(0)
    canvas.prompt = [5]
    assert AdaptiveMasking(model)(canvas, logits) is logits
    assert model.calls == 0


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="share"):
        AdaptiveMasking(Recorder(), share=0.0)
    with pytest.raises(ValueError, match="patience"):
        ClassifierFree(Recorder(), patience=0)
