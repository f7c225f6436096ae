"""A causal model's opinion: EDLM against the exact joint, the check against greedy decoding."""

from __future__ import annotations

import itertools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ctrlgen.canvas import Canvas
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.controllers import (
    AutoregressiveCheck,
    CausalReader,
    ConstraintController,
    EnergyResampling,
)
from ctrlgen.errors import ModelError
from ctrlgen.testing import RandomDenoiser
from tests.controllers.toys import DENOISER, VOCAB, canvas_of

A, B, FILL = ord("a"), ord("b"), DENOISER.fill_token_id


class Bigrams:
    """A causal model whose next token depends on the last one alone."""

    device = "cpu"

    def __init__(self, seed: int, sharpness: float = 2.0) -> None:
        random = torch.Generator().manual_seed(seed)
        self.table = torch.randn(VOCAB, VOCAB, generator=random) * sharpness
        self.reads = 0

    def eval(self) -> Bigrams:
        return self

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        self.reads += 1
        return SimpleNamespace(logits=self.table[input_ids])


def reader_of(seed: int, end: int | None = None) -> CausalReader:
    return CausalReader(Bigrams(seed), DENOISER.vocabulary, end_token_id=end)


def posterior_of(canvas: Canvas, seed: int = 0, scale: float = 1.0) -> Posterior:
    (gap,) = canvas.gaps()
    rows = np.random.default_rng(seed).normal(size=(gap.length, VOCAB)) * scale
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return ConstraintController().posterior(canvas, gap, rows)


def log_ar(reader: CausalReader, tokens: list[int]) -> float:
    table = reader.model.table.log_softmax(dim=1)
    return float(sum(table[a, b] for a, b in itertools.pairwise(tokens)))


def test_scores_are_those_of_the_text_without_fill() -> None:
    canvas, reader = canvas_of("[ab]*"), reader_of(1, end=9)
    canvas.prompt = [7, 8]
    fillings = [np.array([A, B, FILL, FILL, FILL, FILL]), np.array([A, A, B, A, B, B])]
    found = reader.score(canvas, fillings)
    texts = [[8, A, B, 9], [8, A, A, B, A, B, B, 9]]
    np.testing.assert_allclose(found, [log_ar(reader, t) for t in texts], atol=1e-4)


def test_a_real_model_scores_padded_texts_like_single_ones() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB + 5, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    reader = CausalReader(LlamaForCausalLM(config), DENOISER.vocabulary)
    texts = [[3, 4, 5, 6], [3, 4], [3, 9, 8, 7, 6, 5]]
    together = reader.log_probs(texts)
    for text, rows in zip(texts, together, strict=True):
        (alone,) = reader.log_probs([text])
        assert rows.shape == (len(text), VOCAB)
        torch.testing.assert_close(rows, alone, atol=1e-5, rtol=1e-4)


def joint(canvas: Canvas, reader: CausalReader) -> dict[tuple[int, ...], float]:
    """Valid fillings of `[ab]{2}` in three positions, and p_AR among them."""
    ab, ba = DENOISER.encode("ab")[0], DENOISER.encode("ba")[0]
    words = [[A, B], [B, A], [A, A], [B, B], [ab], [ba]]
    mass = [np.exp(log_ar(reader, [*canvas.prompt, *word, 9])) for word in words]
    fillings = [(*word, *[FILL] * (3 - len(word))) for word in words]
    return {f: m / sum(mass) for f, m in zip(fillings, mass, strict=True)}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_energy_turns_the_posterior_into_the_causal_model(
    seed: int, temperature: float
) -> None:
    """q(x) exp(-E(x)) is p_AR restricted to the valid fillings, for every filling x."""
    canvas, reader = canvas_of("[ab]{2}", length=3), reader_of(seed, end=9)
    canvas.prompt = [7]
    (gap,) = canvas.gaps()
    posterior = posterior_of(canvas, seed)
    wanted = joint(canvas, reader)
    fillings = [np.array(f) for f in wanted]
    log_q = np.array(
        [posterior.log_probs.at(np.arange(3), f).sum() / temperature for f in fillings]
    )
    pairs = [(gap, posterior)]
    energy = EnergyResampling(reader).energies(canvas, pairs, [[f] for f in fillings], temperature)
    mass = np.exp(log_q - energy)
    np.testing.assert_allclose(mass / mass.sum(), list(wanted.values()), atol=1e-5)


def test_what_is_kept_follows_the_causal_model() -> None:
    canvas = canvas_of("[ab]{2}", length=3)
    canvas.prompt = [7]
    (gap,) = canvas.gaps()
    reader = CausalReader(Bigrams(3, 0.7), DENOISER.vocabulary, end_token_id=9)
    posterior, rng = posterior_of(canvas, 1), np.random.default_rng(0)
    resample = EnergyResampling(reader, draws=24)
    counts: Counter[tuple[int, ...]] = Counter()
    for _ in range(150):
        resample(canvas, [(gap, posterior)], 0.0, rng)
        counts[tuple(gap.witness.tolist())] += 1
    for filling, mass in joint(canvas, reader).items():
        assert counts[filling] / 150 == pytest.approx(mass, abs=0.12)


def test_the_sign_of_the_energy() -> None:
    """Two positions that the denoiser thinks independent, and the causal model bound together."""
    canvas = canvas_of("(aa|bb|ab|ba)", length=2)
    canvas.prompt = [7]
    (gap,) = canvas.gaps()
    reader = reader_of(0)
    reader.model.table[:] = -20.0
    reader.model.table[7, [A, B]] = reader.model.table[A, A] = reader.model.table[B, B] = 20.0
    rows = np.full((2, VOCAB), -30.0)
    rows[:, [A, B]] = np.log(0.5)
    posterior = ConstraintController().posterior(canvas, gap, rows)
    resample, rng = EnergyResampling(reader, draws=16), np.random.default_rng(0)
    for _ in range(50):
        resample(canvas, [(gap, posterior)], 0.0, rng)
        assert gap.witness[0] == gap.witness[1]


def test_outside_its_window_the_causal_model_is_not_asked() -> None:
    canvas = canvas_of("[ab]*", {0: A, 1: B, 2: A, 3: A})
    (gap,) = canvas.gaps()
    reader, posterior = reader_of(0), posterior_of(canvas)
    rng = np.random.default_rng(0)
    EnergyResampling(reader, window=(0.4, 0.6))(canvas, [(gap, posterior)], 0.0, rng)
    assert reader.model.reads == 0
    assert gap.witness.tolist() == posterior.best().tolist()
    EnergyResampling(reader, window=(0.2, 0.6))(canvas, [(gap, posterior)], 0.0, rng)
    assert reader.model.reads == 1


def greedy(canvas: Canvas, reader: CausalReader, posterior: Posterior, end: int) -> list[int]:
    """Left to right, the causal model's likeliest of the tokens that leave a valid filling."""
    (gap,) = canvas.gaps()
    table = reader.model.table.log_softmax(dim=1).double().numpy()
    taken, last = gap.committed.copy(), canvas.prompt[-1]
    for i in range(gap.length):
        if taken[i] == FILL:
            break
        if taken[i] < 0:
            now = Posterior(posterior.graph, posterior.log_probs, taken).log_marginals[i]
            scores = np.where(np.isfinite(now), table[last], -np.inf)
            scores[FILL] = table[last, end] if np.isfinite(now[FILL]) else -np.inf
            taken[i] = int(scores.argmax())
        if taken[i] == FILL:
            taken[i:] = FILL
        last = int(taken[i])
    return taken.tolist()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pattern", ["[ab]*", "(ab?|ba)+", "[a-c]{2,4}"])
def test_exact_agreement_ends_in_greedy_decoding_of_the_causal_model(
    seed: int, pattern: str
) -> None:
    canvas, reader = canvas_of(pattern), reader_of(seed, end=9)
    canvas.prompt = [7]
    (gap,) = canvas.gaps()
    wanted = greedy(canvas, reader, posterior_of(canvas, seed), 9)
    check, rng = AutoregressiveCheck(reader, top_k=1), np.random.default_rng(0)
    steps = 0
    while not gap.settled:
        posterior = posterior_of(canvas, seed)
        check(canvas, [(gap, posterior)], 0.0, rng)
        assert canvas.scaffold.constraint.accepts(canvas.text())
        before = int((gap.committed < 0).sum())
        canvas.commit(gap, gap.confidence >= 0.9)
        assert (gap.committed < 0).sum() < before  # at least one token a step
        steps += 1
    assert gap.committed.tolist() == wanted
    assert reader.model.reads == steps


def test_a_lenient_check_accepts_the_draft() -> None:
    canvas, reader = canvas_of("[ab]*"), reader_of(2)
    canvas.prompt = [7]
    (gap,) = canvas.gaps()
    posterior, rng = posterior_of(canvas, 2), np.random.default_rng(0)
    AutoregressiveCheck(reader, top_k=VOCAB)(canvas, [(gap, posterior)], 0.0, rng)
    assert gap.witness.tolist() == posterior.best().tolist()
    assert (gap.confidence == 1.0).all()
    AutoregressiveCheck(reader, top_k=VOCAB, ratio=1.0)(canvas, [(gap, posterior)], 0.0, rng)
    assert (gap.confidence == 1.0).any()


def test_another_vocabulary_is_refused() -> None:
    reader = CausalReader(Bigrams(0), RandomDenoiser().vocabulary)
    canvas = canvas_of("[ab]*")
    (gap,) = canvas.gaps()
    with pytest.raises(ModelError, match="tokenizer"):
        EnergyResampling(reader)(
            canvas, [(gap, posterior_of(canvas))], 0.0, np.random.default_rng()
        )


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="draws"):
        EnergyResampling(reader_of(0), draws=0)
    with pytest.raises(ValueError, match="window"):
        EnergyResampling(reader_of(0), window=(0.6, 0.4))
    with pytest.raises(ValueError, match="top_k"):
        AutoregressiveCheck(reader_of(0), top_k=0)
