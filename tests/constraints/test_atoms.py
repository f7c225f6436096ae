"""Rows reduced to atoms, against sums over the members of each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctrlgen.constraints.atoms import atoms_of
from ctrlgen.constraints.vocabulary import Vocabulary

SIZE = 40


@given(
    st.lists(st.sets(st.integers(0, SIZE - 2)), max_size=4),
    st.sampled_from([1.0, 30.0, 400.0, 3000.0]),
    st.integers(0, 2**32 - 1),
)
def test_reductions_equal_sums_over_members(sets: list[set[int]], scale: float, seed: int) -> None:
    vocabulary = Vocabulary([bytes([i + 65]) for i in range(SIZE)])
    ids = [vocabulary.token_sets.intern(np.array(sorted(s), dtype=np.int32)) for s in sets if s]
    atoms = atoms_of(vocabulary, tuple(sorted(set(ids))), SIZE - 1)
    rng = np.random.default_rng(seed)
    row = rng.normal(size=SIZE) * scale
    row[rng.random(SIZE) < 0.2] = -np.inf
    row[SIZE - 1] = 0.0
    row -= np.logaddexp.reduce(row)
    total, best = atoms.reduce(row)
    inner = atoms.entropies(row)
    for atom in range(atoms.count):
        inside = row[atoms.members(atom)]
        mass = np.logaddexp.reduce(inside)
        assert total[atom] == pytest.approx(mass, abs=1e-8)
        assert best[atom] == inside.max()
        assert row[atoms.best_token(atom, row)] == inside.max()
        if mass > -np.inf:
            share = np.exp(inside - mass)
            logs = np.where(share > 0, inside - mass, 0.0)
            assert inner[atom] == pytest.approx(-(share * logs).sum(), abs=1e-8)
    assert sorted(atoms.order.tolist()) == np.flatnonzero(atoms.of_token >= 0).tolist()
    for tokens in sets:
        touched = {int(atoms.of_token[t]) for t in tokens}
        assert {int(t) for a in touched for t in atoms.members(a)} == tokens
