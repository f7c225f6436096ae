"""Rows reduced to atoms, against sums over the members of each: on an array and on a device."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctrlgen.constraints.array_log_probs import ArrayLogProbs
from ctrlgen.constraints.atoms import Atoms, atoms_of
from ctrlgen.constraints.log_probs import UNLIKELY, LogProbs, reduce
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.denoisers.device_logits import DeviceLogits
from ctrlgen.errors import NonFiniteLogitsError

SIZE = 40
NEVER = 7
"""A token that is no answer."""


def kept(kind: str, logits: np.ndarray) -> LogProbs:
    """The same logits in every way they are kept."""
    if kind == "device":
        return DeviceLogits(torch.tensor(logits, dtype=torch.float32)).log_probs(NEVER)
    return ArrayLogProbs(logits.astype(kind), NEVER)


KINDS = ("float64", "float32", "device")
TOLERANCE = {"float64": 1e-8, "float32": 3e-6, "device": 3e-6}


def oracle(logits: np.ndarray) -> np.ndarray:
    """Log-softmax as it is defined here, row by row."""
    logits = logits.copy()
    logits[:, NEVER] = -np.inf
    logits -= logits.max(axis=1, keepdims=True)
    logits = np.where(logits > -np.inf, np.maximum(logits, -UNLIKELY), -np.inf)
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Atoms, list[set[int]], np.ndarray]:
    vocabulary = Vocabulary([bytes([i + 65]) for i in range(SIZE)])
    sets = draw(st.lists(st.sets(st.integers(0, SIZE - 2)), max_size=4))
    ids = [vocabulary.token_sets.intern(np.array(sorted(s), dtype=np.int32)) for s in sets if s]
    atoms = atoms_of(vocabulary, tuple(sorted(set(ids))), SIZE - 1)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # What is a float32 is the same number in all three.
    scale = draw(st.sampled_from([0.0, 1.0, 30.0, 400.0, 3000.0, 1e30]))
    rows = (rng.normal(size=(5, SIZE)) * scale).astype(np.float32).astype(np.float64)
    rows[rng.random((5, SIZE)) < draw(st.sampled_from([0.0, 0.2, 0.9]))] = -np.inf
    rows[rng.random((5, SIZE)) < 0.05] = float(np.finfo(np.float32).min)
    rows[:, SIZE - 1] = 0.0
    return atoms, sets, rows


@pytest.mark.parametrize("kind", KINDS)
@given(case=cases())
def test_reductions_equal_sums_over_members(
    kind: str, case: tuple[Atoms, list[set[int]], np.ndarray]
) -> None:
    atoms, _, logits = case
    rows, expected = kept(kind, logits), oracle(logits)
    positions = np.arange(1, 5)
    (found,) = reduce([(rows, atoms, positions)])
    inner = rows.entropies(atoms, positions)
    near = {"rel": TOLERANCE[kind], "abs": TOLERANCE[kind]}
    for i, row in enumerate(expected[1:]):
        for atom in range(atoms.count):
            inside = row[atoms.members(atom)]
            # Sums of what is clamped may differ by which of it is.
            mass = np.logaddexp.reduce(inside)
            if inside.max() > -UNLIKELY:
                assert found.total[i, atom] == pytest.approx(mass, **near)
            assert found.best[i, atom] == pytest.approx(inside.max(), **near)
            if inside.max() == -np.inf:
                continue
            token = int(found.tokens[i, atom])
            likeliest = rows.likeliest(i + 1, atoms.members(atom))
            for chosen in (likeliest, token if token >= 0 else likeliest):
                assert row[chosen] == inside.max()
            if inside.max() > -UNLIKELY:
                share = np.exp(inside - mass)
                logs = np.where(share > 0, inside - mass, 0.0)
                entropy = -(share * logs).sum()
                assert inner[i, atom] == pytest.approx(entropy, abs=10 * TOLERANCE[kind])


@given(cases())
def test_atoms_are_a_partition_that_cuts_no_set(
    case: tuple[Atoms, list[set[int]], np.ndarray],
) -> None:
    atoms, sets, _ = case
    assert sorted(atoms.order.tolist()) == np.flatnonzero(atoms.of_token >= 0).tolist()
    for tokens in sets:
        touched = {int(atoms.of_token[t]) for t in tokens}
        assert {int(t) for a in touched for t in atoms.members(a)} == tokens
    blocks = atoms.blocks
    inside = (
        atoms.members(blocks.largest)
        if blocks.largest < atoms.count
        else (np.flatnonzero(atoms.of_token < 0))
    )
    assert sorted([*blocks.gathered.tolist(), *inside.tolist()]) == list(range(SIZE))


@pytest.mark.parametrize("kind", KINDS)
@given(case=cases(), seed=st.integers(0, 99))
def test_single_tokens_rows_and_the_top(
    kind: str, case: tuple[Atoms, list[set[int]], np.ndarray], seed: int
) -> None:
    atoms, _, logits = case
    rows, expected = kept(kind, logits), oracle(logits)
    near = {"rtol": TOLERANCE[kind], "atol": TOLERANCE[kind]}
    np.testing.assert_allclose(np.asarray(rows), expected, **near)
    tokens = np.random.default_rng(seed).integers(SIZE, size=(3, 2))
    at = np.array([0, 3])
    np.testing.assert_allclose(rows[1:].at(at, tokens), expected[at + 1, tokens], **near)
    shifted = expected[2] - expected[2].max()
    np.testing.assert_allclose(rows.shifted(2), shifted, **near)
    warmer = np.array([1, 2])
    logits = np.zeros_like(expected)
    logits[warmer] = (expected - expected.max(axis=1, keepdims=True))[warmer] / 0.7
    np.testing.assert_allclose(np.asarray(rows.tempered(0.7, warmer)), oracle(logits), **near)
    weights = np.random.default_rng(seed).normal(size=(2, atoms.count)) * 5
    found, values = rows.top(atoms, warmer, weights, 4)
    padded = np.append(weights, np.full((2, 1), -np.inf), axis=1)
    sums = expected[warmer] + padded[:, atoms.of_token]
    np.testing.assert_allclose(values, -np.sort(-sums, axis=1)[:, :4], **near)
    np.testing.assert_allclose(np.take_along_axis(sums, found, axis=1), values, **near)


@pytest.mark.parametrize("kind", KINDS)
@given(case=cases())
def test_entropies_inside_atoms(kind: str, case: tuple[Atoms, list[set[int]], np.ndarray]) -> None:
    atoms, _, logits = case
    rows, logs = kept(kind, logits), oracle(logits)
    expected = np.zeros((len(logs), atoms.count))
    for atom in range(atoms.count):
        inside = logs[:, atoms.members(atom)]
        total = np.logaddexp.reduce(inside, axis=1, keepdims=True, initial=-np.inf)
        inside = inside - np.where(total > -np.inf, total, 0.0)
        expected[:, atom] = -(np.exp(inside) * np.maximum(inside, -1e9)).sum(axis=1)
    found = rows.entropies(atoms, np.arange(len(logs)))
    np.testing.assert_allclose(found, expected, atol=10 * TOLERANCE[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_reduced_together_are_as_one_by_one(kind: str) -> None:
    vocabulary = Vocabulary([bytes([i + 65]) for i in range(SIZE)])
    sets = [vocabulary.token_sets.intern(np.arange(i, 3 * i, dtype=np.int32)) for i in (3, 9)]
    partitions = [atoms_of(vocabulary, (s,), SIZE - 1) for s in sets]
    logits = np.random.default_rng(0).normal(size=(9, SIZE))
    rows, other = kept(kind, logits), kept(kind, 2 * logits)
    parts = [
        (rows[:2], partitions[0], np.array([1])),
        (rows[2:6], partitions[1], np.array([0, 3])),
        (other, partitions[0], np.array([4])),
        (rows[6:9], partitions[0], np.array([0, 2])),
        (rows[8:], partitions[1], np.zeros(0, dtype=np.int64)),
    ]
    for part, together in zip(parts, reduce(parts), strict=True):
        (alone,) = reduce([part])
        for ours, theirs in zip(together, alone, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("token", [0, 5, SIZE - 1])
def test_what_is_no_number_is_refused(kind: str, value: float, token: int) -> None:
    vocabulary = Vocabulary([bytes([i + 65]) for i in range(SIZE)])
    some = vocabulary.token_sets.intern(np.arange(4, dtype=np.int32))
    logits = np.zeros((3, SIZE))
    logits[1, token] = value
    atoms = atoms_of(vocabulary, (some,), SIZE - 1)
    rows = kept(kind, logits)
    reduce([(rows, atoms, np.array([0, 2]))])  # elsewhere it may be anything
    with pytest.raises(NonFiniteLogitsError):
        reduce([(rows, atoms, np.arange(3))])
    nothing = kept(kind, np.where(np.arange(SIZE) == NEVER, 0.0, -np.inf)[None])
    with pytest.raises(NonFiniteLogitsError):
        reduce([(nothing, atoms, np.arange(1))])
