"""DiffusionGemma in our loop and in its own: valid whatever the weights say."""

import itertools
from typing import Literal

import jsonschema
import numpy as np
import pytest
import torch
from pydantic import BaseModel, Field, TypeAdapter
from transformers import LogitsProcessorList

import ctrlgen
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.denoisers import DiffusionGemmaDenoiser, load
from ctrlgen.denoisers.device_logits import DeviceLogits
from ctrlgen.errors import CanvasTooSmallError, ModelError, NonFiniteLogitsError
from ctrlgen.generator import Model
from ctrlgen.integrations import transformers as integration
from ctrlgen.integrations.transformers import DiffusionLogitsProcessor
from tests.denoisers import gemma

pytestmark = pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")


class Person(BaseModel):
    name: str = Field(max_length=6)
    kind: Literal["cat", "dog"] | None = None


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "integer"}, "c": {"items": {"$ref": "#/$defs/node"}}},
            "required": ["v"],
            "additionalProperties": False,
        }
    },
}
TYPES = [Person, bool, list[int], list[Person], Literal["one", "two", "three"], TREE]


@pytest.fixture(scope="module")
def model():
    return gemma.model()


@pytest.fixture(scope="module")
def tokenizer():
    return gemma.tokenizer()


@pytest.fixture(scope="module")
def denoiser(model, tokenizer):
    return DiffusionGemmaDenoiser(model, tokenizer)


def check(output_type, text):
    """Raise if `text` is no JSON of the type."""
    if isinstance(output_type, dict):
        jsonschema.validate(TypeAdapter(dict).validate_json(text), output_type)
    else:
        TypeAdapter(output_type).validate_json(text, strict=True)


# --- in our loop -----------------------------------------------------------------------------


def canvas(denoiser, ids):
    prompt = denoiser.prompt([{"role": "user", "content": "hello"}], [])
    return prompt, prompt + ids, list(range(len(prompt), len(prompt) + len(ids)))


def test_logits_are_those_of_the_stock_forward(model, denoiser):
    ids = [2] * 5 + [40, 41] + [2] * 3
    prompt, sequence, asked = canvas(denoiser, ids)
    (rows,) = denoiser([sequence], [asked])
    given = {
        "input_ids": torch.tensor([prompt]),
        "decoder_input_ids": denoiser.noised(ids)[None],
    }
    with torch.inference_mode():
        first = model(**given).logits
        second = model(**given, self_conditioning_logits=first).logits[0, :10]
    np.testing.assert_allclose(rows, second[:, : rows.shape[1]].double().numpy(), atol=1e-4)
    again = denoiser([sequence], [asked])[0]  # from the cached prompt
    np.testing.assert_allclose(again, rows, atol=1e-4)


def test_known_tokens_stand_in_the_noise_and_the_rest_is_noise(denoiser):
    ids = [2, 40, 2, 41, 2, 2, 2, 2]
    noised = denoiser.noised(ids)
    assert len(noised) == gemma.CANVAS
    assert noised[[1, 3]].tolist() == [40, 41]
    assert len(set(noised.tolist())) > 20
    assert torch.equal(noised, denoiser.noised(ids))
    assert not torch.equal(noised, denoiser.noised([*ids[:-1], 50]))


@pytest.mark.parametrize("output_type", TYPES, ids=str)
def test_our_loop_is_valid(denoiser, output_type):
    generator = ctrlgen.Generator(Model(denoiser), output_type, max_new_tokens=gemma.CANVAS)
    for steps in (1, 3):
        check(output_type, generator.generate("hello", steps=steps, seed=steps).text)


def test_a_batch_is_as_one_by_one(denoiser):
    generator = ctrlgen.Generator(Model(denoiser), list[int], steps=3, max_new_tokens=24)
    prompts = ["a", "two words", "and a few more words"]
    assert generator.batch(prompts) == [generator(p) for p in prompts]


def test_it_loads_as_all_others_do(model, tokenizer, denoiser, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, DiffusionGemmaDenoiser)
    _, sequence, asked = canvas(loaded, [2] * 6)
    denoiser.prompt([{"role": "user", "content": "hello"}], [])
    (ours,), (theirs,) = loaded([sequence], [asked]), denoiser([sequence], [asked])
    np.testing.assert_allclose(ours, theirs, atol=5e-4)


def test_a_model_at_hand_is_known_for_what_it_is(model, tokenizer):
    wrapped = ctrlgen.from_transformers(model, tokenizer, lengths="slack", shift=False)
    assert isinstance(wrapped.denoiser, DiffusionGemmaDenoiser)
    for option in ({"cache": "dual"}, {"lengths": "open"}, {"block_length": 4}, {"shift": True}):
        with pytest.raises(ModelError, match=f"leave {next(iter(option))}= out"):
            ctrlgen.from_transformers(model, tokenizer, **option)


# --- in its own loop -------------------------------------------------------------------------


def generate(model, processor, batch, seed, steps):
    """Texts of one stock `generate` call."""
    torch.manual_seed(seed)
    prompt = torch.full((batch, 5), 50) + torch.arange(batch)[:, None]
    out = model.generate(
        input_ids=prompt,
        logits_processor=LogitsProcessorList([processor]),
        max_denoising_steps=steps, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    assert out.sequences.shape[1] == 5 + gemma.CANVAS  # it stops behind the answer
    return [processor.text(row[5:]) for row in out.sequences]


@pytest.mark.parametrize("output_type", TYPES, ids=str)
@pytest.mark.parametrize("steps", [1, 4])
def test_stock_generate_is_valid(model, tokenizer, output_type, steps):
    processor = DiffusionLogitsProcessor(output_type, tokenizer, canvas_length=gemma.CANVAS)
    for text in generate(model, processor, batch=3, seed=steps, steps=steps):
        check(output_type, text)


@pytest.mark.slow
def test_stock_generate_is_valid_thousands_of_times(tokenizer):
    """2,016 answers: six types, three scales of weights, up to six steps."""
    for scale, output_type in itertools.product((0.1, 0.25, 0.6), TYPES):
        model = gemma.model(scale)
        processor = DiffusionLogitsProcessor(output_type, tokenizer, canvas_length=gemma.CANVAS)
        for seed in range(7):
            for text in generate(model, processor, 16, seed, steps=1 + seed % 6):
                check(output_type, text)


@pytest.mark.slow
def test_our_loop_is_valid_many_times(tokenizer):
    for scale, output_type in itertools.product((0.1, 0.6), TYPES):
        denoiser = DiffusionGemmaDenoiser(gemma.model(scale), tokenizer)
        generator = ctrlgen.Generator(Model(denoiser), output_type, max_new_tokens=gemma.CANVAS)
        for seed in range(20):
            result = generator.generate(f"hello {seed}", steps=1 + seed % 4, temperature=seed % 2)
            check(output_type, result.text)


def test_the_object_comes_out_typed(model, tokenizer):
    processor = DiffusionLogitsProcessor(Person, tokenizer, canvas_length=gemma.CANVAS)
    torch.manual_seed(0)
    out = model.generate(
        input_ids=torch.tensor([[50, 51]]), logits_processor=LogitsProcessorList([processor]),
        max_denoising_steps=2, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    assert isinstance(processor.parse(out.sequences[0, 2:]), Person)


@pytest.mark.parametrize("kind", ["constant", "spikes", "impossible", "half"])
def test_the_witness_is_on_top_of_any_logits(tokenizer, kind):
    processor = DiffusionLogitsProcessor(list[Person], tokenizer, canvas_length=gemma.CANVAS)
    rng = np.random.default_rng(0)
    for _ in range(10):
        scores = np.zeros((2, gemma.CANVAS, 272))
        if kind == "spikes":
            np.put_along_axis(scores, rng.integers(272, size=(2, gemma.CANVAS, 1)), 1e30, axis=2)
        if kind == "impossible":
            scores[rng.random(scores.shape) < 0.98] = -np.inf
            scores[..., 3] = 0.0
        dtype = torch.bfloat16 if kind == "half" else torch.float32
        if kind == "half":
            scores = rng.normal(scale=5, size=scores.shape)
        out = processor(torch.zeros(2, 1), torch.tensor(scores, dtype=dtype))
        assert out.shape == scores.shape
        for row in out.argmax(-1):
            check(list[Person], processor.text(row))


@pytest.mark.parametrize("output_type", [Person, TREE], ids=["by sums", "by beam"])
def test_logits_that_stay_on_a_device_become_the_same(tokenizer, monkeypatch, output_type):
    """Torch's processor device stands in for an accelerator."""
    scores = torch.from_numpy(np.random.default_rng(0).normal(scale=3, size=(2, 64, 272)))
    found = []
    for kept in (integration.kept, DeviceLogits):
        monkeypatch.setattr(integration, "kept", kept)
        processor = DiffusionLogitsProcessor(output_type, tokenizer, canvas_length=64)
        found.append(processor(torch.zeros(2, 1), scores.float()))
    arrays, device = found
    assert torch.equal(arrays.argmax(-1), device.argmax(-1))
    torch.testing.assert_close(device, arrays, atol=1e-3, rtol=1e-4)


def test_marginals_are_those_of_the_posterior(tokenizer):
    """Beneath the witness stands log p(token | the whole canvas is valid)."""
    scores = torch.from_numpy(np.random.default_rng(1).normal(scale=3, size=(1, 32, 272)))
    processor = DiffusionLogitsProcessor(Person, tokenizer, canvas_length=32)
    out = processor(torch.zeros(1, 1), scores.float())[0]
    size = processor.constraint.vocabulary.size
    posterior = Posterior(processor._graph, scores[0, :-1, :size].numpy(), np.full(31, -1))
    expected = posterior.log_marginals
    expected[range(31), posterior.best()] = expected.max(axis=1) + 1e-2
    np.testing.assert_allclose(out[:-1, :size].numpy(), expected, atol=1e-3, rtol=1e-4)


def test_a_canvas_that_is_too_small_is_refused_first(tokenizer):
    with pytest.raises(CanvasTooSmallError):
        DiffusionLogitsProcessor(Literal["a long answer"], tokenizer, canvas_length=8)


def test_nan_is_an_error(tokenizer):
    processor = DiffusionLogitsProcessor(bool, tokenizer, canvas_length=16)
    with pytest.raises(NonFiniteLogitsError):
        processor(torch.zeros(1, 1), torch.full((1, 16, 272), torch.nan))
