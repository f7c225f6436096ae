"""Logits that stay on a device: whole generations are as with arrays, on any device of torch."""

import json

import numpy as np
import pytest
import torch

import ctrlgen
from ctrlgen.denoisers import device_logits
from ctrlgen.denoisers.device_logits import DeviceLogits
from ctrlgen.errors import NonFiniteLogitsError
from ctrlgen.schedulers import Wino
from ctrlgen.testing import ADVERSARIES, RandomDenoiser, ScriptedDenoiser

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": ["integer", "null"]},
        "tags": {"type": "array", "items": {"enum": ["ab", "the", "er"]}, "maxItems": 2},
    },
    "required": ["name", "tags"],
    "additionalProperties": False,
}


class Kept(ScriptedDenoiser):
    """Another denoiser's logits, in float32: as arrays or on a device."""

    def __init__(self, inner: ScriptedDenoiser, device: bool) -> None:
        self.__dict__.update(inner.__dict__)
        self.inner, self.device = inner, device

    def __call__(self, sequences, positions):
        rows = [r.astype(np.float32) for r in self.inner(sequences, positions)]
        return [DeviceLogits(torch.from_numpy(r)) for r in rows] if self.device else rows


def answers(inner: ScriptedDenoiser, **options):
    models = [ctrlgen.Model(Kept(inner, device)) for device in (False, True)]
    return [ctrlgen.Generator(m, SCHEMA).generate("x", seed=3, **options) for m in models]


class Noting(Wino):
    """Notes what it is told in the first step."""

    def __init__(self) -> None:
        object.__setattr__(self, "told", [])

    def select(self, proposal):
        if not self.told:
            tokens, logs = proposal.measure_top(8)
            tokens = np.where(logs > -np.inf, tokens, -1)  # what is impossible stands in any order
            order = np.argsort(tokens, axis=1)
            top = [np.take_along_axis(t, order, axis=1) for t in (tokens, np.exp(logs))]
            self.told.append((proposal.confidence, proposal.entropy, proposal.tokens, *top))
        return super().select(proposal)

    def revise(self, committed):
        self.told.append((committed.current,))
        return super().revise(committed)


@pytest.mark.parametrize("seed", range(5))
def test_schedulers_are_told_the_same(seed, monkeypatch):
    """For two steps: random logits make much of a rounding error that turns a choice."""
    monkeypatch.setattr(device_logits, "AT_ONCE", 1000)  # in more than one piece
    told = []
    for device in (False, True):
        model, scheduler = ctrlgen.Model(Kept(RandomDenoiser(seed), device)), Noting()
        generator = ctrlgen.Generator(model, SCHEMA, scheduler=scheduler, max_new_tokens=60)
        generator.generate("x", steps=8)
        told.append(scheduler.told[:3])
    assert len(told[0]) == 3
    for ours, theirs in zip(*told, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ADVERSARIES)
def test_adversaries(name):
    with np.errstate(over="ignore"):
        for result in answers(ScriptedDenoiser(ADVERSARIES[name]), max_new_tokens=60):
            assert set(json.loads(result.text)) <= set(SCHEMA["properties"])


def test_draws_are_valid():
    for result in answers(RandomDenoiser(1), temperature=0.7, max_new_tokens=60):
        assert json.loads(result.text)["tags"] is not None


def test_controllers_get_arrays():
    seen = []

    def bias(canvas, logits):
        seen.append((type(logits), logits.dtype))
        return logits + 1.0

    for result in answers(RandomDenoiser(2), controllers=[bias], max_new_tokens=60):
        assert json.loads(result.text)["name"] is not None
    assert set(seen) == {(np.ndarray, np.dtype(np.float64))}


def test_rows_as_an_array():
    rows = torch.randn(4, 6, dtype=torch.bfloat16)
    kept = DeviceLogits(rows)
    np.testing.assert_array_equal(np.asarray(kept[1:3]), rows[1:3].float().numpy())
    assert np.asarray(kept, dtype=np.float64).dtype == np.float64
    assert (len(kept), kept.shape) == (4, (4, 6))


def test_no_number_is_an_error():
    broken = ScriptedDenoiser(lambda rng, shape: np.full(shape, np.nan))
    for device in (False, True):
        generator = ctrlgen.Generator(ctrlgen.Model(Kept(broken, device)), SCHEMA)
        with pytest.raises(NonFiniteLogitsError):
            generator.generate("x")
