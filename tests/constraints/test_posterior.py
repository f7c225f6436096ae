"""The posterior of a gap against enumeration of all token sequences."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from ctrlgen.constraints.array_log_probs import ArrayLogProbs
from ctrlgen.constraints.atoms import Floats, Ints
from ctrlgen.constraints.beam import beam_states
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.gap import GapGraph, Slack, reachable
from ctrlgen.constraints.nodes import Bytes, Grammar, Ref, Repeat, Seq
from ctrlgen.constraints.posterior import Posterior, add_up, be_sure, find_best
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.errors import ConstraintError
from tests.constraints.brute import RandomGrammars

SPELLED = (b"a", b"b", b"c", b"ab", b"bc", b"ca", b"aab", b"cab", b"\xc3", b"a\xc3")
FILL, MASK = len(SPELLED), len(SPELLED) + 1
VOCABULARY = Vocabulary([*SPELLED, None, None])
SLACKS = (
    None, Slack(FILL), Slack(FILL, absent=True), Slack(FILL, True, 2.5), Slack(FILL, True, -1.0),
)  # fmt: skip


class Enumerated:
    """All fillings of a gap with their weights."""

    def __init__(
        self, constraint: Constraint, length: int, slack: Slack | None, log_probs: Floats
    ) -> None:
        self.weights: dict[tuple[int, ...], float] = {}
        self.lengths: dict[tuple[int, ...], int] = {}
        self.bonus: dict[tuple[int, ...], float] = {}
        self.live = float("-inf")
        self.ended = float("-inf")
        for tokens in product(range(FILL + 1), repeat=length):
            size = self.value_length(tokens)
            if size is None or (size < length and slack is None):
                continue
            state: int | None = constraint.start()
            for token in tokens[:size]:
                state = None if state is None else constraint.next(state, token)
            if state is None:
                continue
            weight = float(log_probs[range(length), tokens].sum())
            absent = slack is not None and slack.absent and size == 0 < length
            whole = constraint.is_accepting(state) or absent
            if absent and not constraint.is_accepting(state):
                assert slack is not None
                self.bonus[tokens] = slack.absence
                weight += slack.absence
            if whole:
                self.weights[tokens] = weight
                self.lengths[tokens] = size
                self.ended = np.logaddexp(self.ended, weight)
            if whole or size == length:
                self.live = np.logaddexp(self.live, weight)

    @staticmethod
    def value_length(tokens: tuple[int, ...]) -> int | None:
        """How many tokens stand before the fill, None if there are some behind it too."""
        size = tokens.index(FILL) if FILL in tokens else len(tokens)
        return size if all(token == FILL for token in tokens[size:]) else None


def case(seed: int) -> tuple[Constraint, int, Slack | None, Floats]:
    rng = np.random.default_rng(seed)
    while True:
        try:
            constraint = Constraint(
                RandomGrammars(int(rng.integers(1 << 30))).grammar(), VOCABULARY
            )
            break
        except ConstraintError:
            continue
    length = int(rng.choice([1, 2, 3, 4], p=[0.1, 0.3, 0.5, 0.1]))
    logits = rng.normal(size=(length, VOCABULARY.size)) * rng.choice([0.5, 3.0, 30.0])
    if rng.random() < 0.3:
        logits[rng.random(logits.shape) < 0.3] = -np.inf
    logits[:, MASK] = 0.0
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return constraint, length, SLACKS[seed % len(SLACKS)], log_probs


def log_sum(weights: list[float]) -> float:
    return float(np.logaddexp.reduce(np.array([-np.inf, *weights])))


def posterior_of(
    constraint: Constraint, length: int, slack: Slack | None, log_probs: Floats, committed: Ints
) -> Posterior:
    states = reachable(constraint.tokens, constraint.start(), length, 10_000)
    assert states is not None
    return Posterior(GapGraph(constraint.tokens, states, length, slack), log_probs, committed)


def solve_beside_others(posterior: Posterior, seed: int) -> None:
    """Solve it as one of several gaps, as the loop does; all open here."""
    others = []
    for k in range(seed % 4):
        constraint, length, slack, log_probs = case(1_000 + 4 * seed + k)
        others.append(posterior_of(constraint, length, slack, log_probs, np.full(length, -1)))
    together = [*others[::2], posterior, *others[1::2]]
    add_up(together)
    possible = [p for p in together if p.feasible]
    find_best(possible)
    be_sure(possible)


@pytest.mark.parametrize("seed", range(100))
def test_equals_enumeration(seed: int) -> None:
    constraint, length, slack, log_probs = case(seed)
    rng = np.random.default_rng(seed)
    fillings = Enumerated(constraint, length, slack, log_probs)
    committed = np.full(length, -1)
    if fillings.weights:
        some = list(fillings.weights)[int(rng.integers(len(fillings.weights)))]
        chosen = rng.random(length) < rng.choice([0.0, 0.4, 0.8])
        committed[chosen] = np.array(some)[chosen]
    weights = {
        tokens: sum(log_probs[i, t] for i, t in enumerate(tokens) if committed[i] < 0)
        + (fillings.bonus.get(tokens, 0.0) if committed[0] < 0 else 0.0)
        for tokens in fillings.weights
        if all(c in (-1, t) for c, t in zip(committed.tolist(), tokens, strict=True))
    }
    weights = {tokens: weight for tokens, weight in weights.items() if weight > -np.inf}
    posterior = posterior_of(constraint, length, slack, log_probs, committed)
    if seed % 4:
        solve_beside_others(posterior, seed)
    assert posterior.feasible == bool(weights)
    if not weights:
        return
    total = log_sum(list(weights.values()))
    assert posterior.log_partition == pytest.approx(total)
    best = tuple(posterior.best().tolist())
    assert weights[best] == pytest.approx(max(weights.values()))
    check_marginals(posterior, weights, total, length)
    by_length = np.zeros(length + 1)
    for tokens, weight in weights.items():
        by_length[fillings.lengths[tokens]] += np.exp(weight - total)
    np.testing.assert_allclose(posterior.length_posterior(), by_length, atol=1e-9)
    if (committed < 0).all():
        closing = np.exp(fillings.ended - fillings.live)
        assert posterior.closing_mass() == pytest.approx(closing, abs=1e-9)
    for temperature in (1.0, 0.3):
        assert tuple(posterior.sample(rng, temperature).tolist()) in weights


def check_marginals(
    posterior: Posterior, weights: dict[tuple[int, ...], float], total: float, length: int
) -> None:
    marginals = np.zeros((length, VOCABULARY.size))
    for tokens, weight in weights.items():
        marginals[range(length), tokens] += np.exp(weight - total)
    np.testing.assert_allclose(np.exp(posterior.log_marginals), marginals, atol=1e-9)
    logs = np.log(marginals, where=marginals > 0, out=np.zeros_like(marginals))
    np.testing.assert_allclose(posterior.entropy, -(marginals * logs).sum(axis=1), atol=1e-9)
    tokens, values = posterior.top(3)
    np.testing.assert_allclose(np.exp(values), -np.sort(-marginals, axis=1)[:, :3], atol=1e-9)
    found = np.take_along_axis(marginals, tokens, axis=1)
    np.testing.assert_allclose(np.exp(values), found, atol=1e-9)
    best = posterior.best()
    expected = marginals[range(length), best]
    np.testing.assert_allclose(posterior.confidence(best), expected, atol=1e-9)
    assert (posterior.support >= (marginals > 0).sum(axis=1)).all()
    assert (posterior.support[posterior.committed >= 0] == 1).all()


@pytest.mark.parametrize("seed", range(60))
def test_leaving_one_out_equals_enumeration(seed: int) -> None:
    """Each committed token against all others at its position, open positions summed over."""
    constraint, length, slack, log_probs = case(seed)
    rng = np.random.default_rng(seed)
    fillings = Enumerated(constraint, length, slack, log_probs)
    possible = [tokens for tokens, weight in fillings.weights.items() if weight > -np.inf]
    if not possible:
        return
    some = np.array(possible[int(rng.integers(len(possible)))])
    committed = np.where(rng.random(length) < 0.7, some, -1)
    found = posterior_of(constraint, length, slack, log_probs, committed).leave_one_out()
    for i in range(length):
        others = committed.copy()
        others[i] = -1
        weights = {
            tokens: sum(log_probs[j, t] for j, t in enumerate(tokens) if others[j] < 0)
            + (fillings.bonus.get(tokens, 0.0) if others[0] < 0 else 0.0)
            for tokens in possible
            if all(c in (-1, t) for c, t in zip(others.tolist(), tokens, strict=True))
        }
        same = [w for tokens, w in weights.items() if tokens[i] == committed[i]]
        expected = np.exp(log_sum(same) - log_sum(list(weights.values())))
        assert found[i] == pytest.approx(expected if committed[i] >= 0 else 0.0, abs=1e-9)


@pytest.mark.parametrize("slack", SLACKS)
def test_samples_follow_the_posterior(slack: Slack | None) -> None:
    pair = Repeat(Bytes(b"ab"), 1, 2, b"c")
    constraint = Constraint(Grammar(Seq((pair, Repeat(Bytes(b"c"), 0, 1)))), VOCABULARY)
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(4, VOCABULARY.size))
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    states = reachable(constraint.tokens, constraint.start(), 4, 100)
    assert states is not None
    graph = GapGraph(constraint.tokens, states, 4, slack)
    posterior = Posterior(graph, log_probs, np.full(4, -1))
    weights = Enumerated(constraint, 4, slack, log_probs).weights
    total = log_sum(list(weights.values()))
    draws = 2_000
    counts = dict.fromkeys(weights, 0)
    for _ in range(draws):
        counts[tuple(posterior.sample(rng).tolist())] += 1
    expected = {tokens: draws * np.exp(weight - total) for tokens, weight in weights.items()}
    rare = [tokens for tokens in weights if expected[tokens] < 5]
    cells = [(counts[t], expected[t]) for t in weights if t not in rare]
    cells.append((sum(counts[t] for t in rare), sum(expected[t] for t in rare) + 1e-9))
    statistic = sum((seen - due) ** 2 / due for seen, due in cells if seen or due > 1e-6)
    assert len(cells) > 2
    assert statistic < chi_square_quantile(len(cells) - 1)


def chi_square_quantile(freedom: int) -> float:
    """The 99.9 % quantile, after Wilson and Hilferty."""
    spread = 2 / (9 * freedom)
    return freedom * (1 - spread + 3.09 * spread**0.5) ** 3


BRACKETS = Grammar(
    Ref("brackets"), {"brackets": Repeat(Seq((Bytes(b"("), Ref("brackets"), Bytes(b")"))))}
)
BRACKET_VOCABULARY = Vocabulary([b"(", b")", b"()", b"((", b"))", b")(", None, None])
BRACKET_FILL = 6


def balanced(data: bytes) -> bool:
    depths = np.cumsum([1 if byte == ord("(") else -1 for byte in data])
    return not len(depths) or (bool((depths >= 0).all()) and depths[-1] == 0)


def beam(
    constraint: Constraint, log_probs: Floats, committed: Ints, witness: Ints, width: int
) -> Posterior:
    slack = Slack(BRACKET_FILL)
    start = constraint.start()
    rows = ArrayLogProbs(log_probs)
    states = beam_states(constraint.tokens, start, rows, committed, witness, slack, width)
    return Posterior(GapGraph(constraint.tokens, states, len(witness), slack), rows, committed)


@pytest.mark.parametrize("seed", range(40))
def test_beam_is_sound_and_exact_when_wide(seed: int) -> None:
    rng = np.random.default_rng(seed)
    constraint = Constraint(BRACKETS, BRACKET_VOCABULARY)
    length = int(rng.integers(1, 14))
    logits = rng.normal(size=(length, 8)) * rng.choice([1.0, 20.0])
    logits[:, int(rng.integers(6))] += 30.0
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    states = reachable(constraint.tokens, constraint.start(), length, 10_000)
    assert states is not None
    graph = GapGraph(constraint.tokens, states, length, Slack(BRACKET_FILL))
    open_ = np.full(length, -1)
    exact = Posterior(graph, log_probs, open_)
    witness = Posterior(graph, rng.normal(size=log_probs.shape), open_).best()
    committed = np.where(rng.random(length) < 0.2, witness, -1)
    exact = Posterior(graph, log_probs, committed)
    wide = beam(constraint, log_probs, committed, witness, 10_000)
    assert wide.log_partition == pytest.approx(exact.log_partition)
    narrow = beam(constraint, log_probs, committed, witness, 2)
    assert narrow.log_partition <= exact.log_partition + 1e-9
    for filling in (narrow.best(), narrow.sample(rng), narrow.sample(rng, 0.1)):
        spelled = [BRACKET_VOCABULARY.tokens[t] for t in filling]
        assert balanced(b"".join(t or b"" for t in spelled))
        assert all(b is None for a, b in pairwise(spelled) if a is None)
        assert all(c in (-1, t) for c, t in zip(committed, filling, strict=True))


def test_beam_finds_more_than_the_witness() -> None:
    """A model that wants to nest as deep as it goes still closes what it opened."""
    constraint = Constraint(BRACKETS, BRACKET_VOCABULARY)
    length = 30
    log_probs = np.full((length, 8), -20.0)
    log_probs[:, 0] = -0.1
    witness = np.full(length, BRACKET_FILL)
    best = beam(constraint, log_probs, np.full(length, -1), witness, 8).best()
    assert (best != BRACKET_FILL).sum() > length / 2


def test_a_gap_without_words_to_read() -> None:
    constraint = Constraint(Grammar(Bytes(b"")), VOCABULARY)
    graph = GapGraph(constraint.tokens, [constraint.start()], 2, Slack(FILL))
    posterior = Posterior(graph, np.zeros((2, VOCABULARY.size)), np.full(2, -1))
    assert posterior.best().tolist() == [FILL, FILL]
    bare = GapGraph(constraint.tokens, [constraint.start()], 2)
    assert not Posterior(bare, np.zeros((2, VOCABULARY.size)), np.full(2, -1)).feasible
