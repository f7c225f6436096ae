"""Exact guidance against brute force, first order against exact, and the roads around them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctrlgen.controllers import ClassifierGuidance
from tests.controllers.toys import DENOISER, VOCAB, Toy, brute_force, canvas_of

MASK, FILL = DENOISER.mask_token_id, DENOISER.fill_token_id
A, B = ord("a"), ord("b")


def logits_of(seed: int, rows: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, VOCAB)) * 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [0.5, 3.0, -1.0])
def test_exact_guidance_is_brute_force_over_positions_and_tokens(seed: int, scale: float) -> None:
    canvas, toy = canvas_of("[ab]*", {1: A, 4: B}), Toy(seed)
    logits = logits_of(seed)
    guide = ClassifierGuidance(toy, "wanted", scale=scale, top_k=VOCAB, positions=None)
    guided = guide(canvas, logits)
    ids = canvas.view().ids
    for i in range(6):
        wanted = scale * brute_force(toy, ids, i) if i not in (1, 4) else 0.0
        np.testing.assert_allclose(guided[i], logits[i] + wanted, atol=1e-4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("hidden", [0, 8])
def test_first_order_is_exact_for_a_log_linear_classifier(seed: int, hidden: int) -> None:
    canvas, toy = canvas_of("[ab]*", {2: B}), Toy(seed, linear=True, hidden=hidden)
    if hidden:
        toy.embeddings = toy.embeddings.abs()  # log-probabilities are not above 0
    logits = logits_of(seed)
    first = ClassifierGuidance(toy, "wanted", top_k=0)(canvas, logits)
    assert toy.passes == 1
    exact = ClassifierGuidance(toy, "wanted", top_k=VOCAB, positions=None)(canvas, logits)
    np.testing.assert_allclose(first, exact, atol=1e-4)
    assert np.abs(first - logits).max() > 0.1


def test_first_order_is_not_exact_for_other_classifiers() -> None:
    canvas, toy, logits = canvas_of("[ab]*"), Toy(0), logits_of(0)
    first = ClassifierGuidance(toy, "wanted", top_k=0)(canvas, logits)
    exact = ClassifierGuidance(toy, "wanted", top_k=VOCAB, positions=None)(canvas, logits)
    assert np.abs(first - exact).max() > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_the_likeliest_tokens_at_confident_positions_are_exact(seed: int) -> None:
    canvas, toy = canvas_of("[ab]*", {0: A}), Toy(seed)
    logits = logits_of(seed)
    logits[3, 7] = 30.0
    guided = ClassifierGuidance(toy, "wanted", top_k=4, positions=1)(canvas, logits)
    assert (toy.texts, toy.passes) == (1 + 4, 2)
    exact = brute_force(toy, canvas.view().ids, 3)
    likeliest = np.argsort(-logits[3])[:2]
    np.testing.assert_allclose((guided - logits)[3, likeliest], exact[likeliest], atol=1e-4)


def test_positions_that_end_in_fill_are_not_worth_an_exact_look() -> None:
    canvas, toy, logits = canvas_of("[ab]*"), Toy(0), logits_of(0)
    logits[:, FILL] = 30.0
    ClassifierGuidance(toy, "wanted", top_k=4, positions=2)(canvas, logits)
    assert toy.texts == 1


def test_several_labels_add_up() -> None:
    canvas, logits = canvas_of("[ab]*", {1: A}), logits_of(1)
    exact = {"top_k": VOCAB, "positions": None}
    one = ClassifierGuidance(Toy(1), "wanted", scale=2.0, **exact)
    two = ClassifierGuidance(Toy(2), "other", scale=0.5, **exact)
    both = two(canvas, one(canvas, logits))
    wanted = one(canvas, logits) + two(canvas, logits) - logits
    np.testing.assert_allclose(both, wanted, atol=1e-4)


def test_a_scale_of_zero_and_other_fields_change_nothing() -> None:
    canvas, logits = canvas_of("[ab]*"), logits_of(2)
    toy = Toy(2)
    assert ClassifierGuidance(toy, "wanted", scale=0.0)(canvas, logits) is logits
    assert ClassifierGuidance(toy, "wanted", fields="/summary")(canvas, logits) is logits
    assert toy.passes == 0


def test_impossible_tokens_stay_impossible() -> None:
    canvas, logits = canvas_of("[ab]*"), logits_of(3)
    logits[:, ::3] = -np.inf
    guided = ClassifierGuidance(Toy(3), "wanted", scale=1e6)(canvas, logits)
    assert (np.isneginf(guided) == np.isneginf(logits)).all()
    finite = np.isfinite(logits)
    assert np.abs(guided[finite] - logits[finite]).max() <= 80.0


@pytest.mark.parametrize("seed", range(3))
def test_a_classifier_of_finished_text_sees_the_expected_embedding(seed: int) -> None:
    canvas, toy = canvas_of("[ab]*", {0: A, 5: FILL}), Toy(seed, noise_aware=False)
    logits = logits_of(seed)
    guide = ClassifierGuidance(toy, "wanted", top_k=VOCAB, positions=None)
    guided = guide(canvas, logits)
    clean = logits.copy()
    clean[:, MASK] = -np.inf
    weights = torch.from_numpy(clean).softmax(dim=1).float()
    text = weights @ toy.embeddings
    text[0], seen = toy.embeddings[A], torch.ones(1, 6, dtype=torch.bool)
    seen[0, 5] = False
    now = toy(text[None], seen)[0, 0]
    for v in (A, B, 3, FILL):
        changed, there = text.clone(), seen.clone()
        changed[2] = toy.embeddings[v]
        there[0, 2] = v != FILL
        wanted = float(toy(changed[None], there)[0, 0] - now)
        assert guided[2, v] - logits[2, v] == pytest.approx(wanted, abs=1e-4)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="there are: wanted, other"):
        ClassifierGuidance(Toy(0), "good")
    with pytest.raises(ValueError, match="negative"):
        ClassifierGuidance(Toy(0), "wanted", top_k=-1)
