"""Caches: what each computes when, and with which keys and values, by its published definition.

`Oracle` is attention to kept and new columns through transformers' own `DynamicCache`, which only
knows how to append: no scattering, no matching of sequences.
"""

import numpy as np
import pytest
import torch
from transformers import DynamicCache

import ctrlgen
from ctrlgen.denoisers import load
from ctrlgen.denoisers.caches import (
    DelayedCache,
    DualCache,
    FrozenCache,
    GreedyCache,
    IntervalCache,
    PrefixCache,
)
from ctrlgen.errors import ModelError
from tests.denoisers import fixtures, gemma
from tests.denoisers.test_checkpoints import wide
from tests.denoisers.test_families import BLOCKS, SHIFTED, ByteVocabulary

MASK, PROMPT, CANVAS = 62, 5, 12
EVERYTHING = set(range(PROMPT + CANVAS))
CAUSAL = sorted(BLOCKS)
BOTH_SIDES = ["llada", "dream", "llada_moe"]


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")

    def get(name, cache=None, **options):
        if not (root / name).exists():
            fixtures.write(name, root / name)
        found = load(
            root / name, block_length=BLOCKS.get(name), mask_token_id=MASK, cache=cache, **options
        )
        found.vocabulary = ByteVocabulary()
        return found

    return get


def watched(cached):
    """The positions of each forward pass of a denoiser."""
    passes = []

    def note(_, __, options):
        passes.append(set(options["position_ids"].unique().tolist()))

    cached.model.register_forward_pre_hook(note, with_kwargs=True)
    return passes


def canvas(seed=0, prompt=PROMPT, length=CANVAS):
    """A random prompt and a canvas of masks behind it."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 60, prompt).tolist() + [MASK] * length


def decode(denoiser, reveals, ids=None, asked=None):
    """Write tokens at the given positions, one entry a step; yields ids and rows of each step."""
    ids = canvas() if ids is None else ids
    asked = list(range(PROMPT, len(ids))) if asked is None else asked
    rng = np.random.default_rng(7)
    for reveal in [*reveals, []]:
        (rows,) = denoiser([list(ids)], [asked])
        yield list(ids), dict(zip(asked, rows, strict=True))
        for position in reveal:
            ids[position] = int(rng.integers(0, 60))


class Oracle:
    """Logits when `chosen` positions are computed and the others keep their keys and values."""

    def __init__(self, model):
        self.model, self.kept = model, None

    @torch.inference_mode()
    def __call__(self, ids, chosen):
        chosen, old = sorted(chosen), DynamicCache()
        rest = [p for p in range(len(ids)) if p not in chosen]
        for layer, (keys, values) in enumerate(self.kept or ()):
            old.update(keys[:, :, rest], values[:, :, rest], layer)
        out = self.model(
            input_ids=torch.tensor([ids])[:, chosen],
            position_ids=torch.tensor([chosen]),
            past_key_values=old,
            attention_mask=torch.ones(1, 1, len(chosen), len(ids), dtype=torch.bool),
        )
        order = np.argsort(rest + chosen)
        self.kept = [(layer.keys[:, :, order], layer.values[:, :, order]) for layer in old.layers]
        return dict(zip(chosen, out.logits[0].double().numpy(), strict=True))


def one_by_one(positions=range(PROMPT, PROMPT + CANVAS)):
    return [[p] for p in positions]


def block(start, length=4):
    return set(range(start, start + length))


def by_definition(name):
    """What is computed in each step of decoding 12 masks left to right, blocks of 4."""
    out = []
    for step in range(CANVAS + 1):
        done, start = PROMPT + step, PROMPT + step - step % 4
        entered, over = step % 4 == 0, step == CANVAS
        just = {done - 1} if step else set()
        if name == "prefix":
            chosen = EVERYTHING if entered else set(range(start, 17))
        elif name == "dual":
            chosen = EVERYTHING if entered else block(start)
        elif name == "frozen":
            chosen = set(range(start, 17)) | just if step else EVERYTHING
        elif name == "delayed":
            chosen = EVERYTHING if step < 2 or step % 8 == 0 else set(range(done, 17)) | just
        else:  # greedy: decoded now and before, and the window of 2 to the right
            near = {p for p in range(done, done + 2) if p < 17}
            chosen = EVERYTHING if step < 2 or step % 3 == 0 else just | {done - 2} | near
        out.append(EVERYTHING if over and name in ("prefix", "dual") else chosen)
    return out


POLICIES = {
    "prefix": PrefixCache(block_length=4),
    "dual": DualCache(block_length=4),
    "frozen": FrozenCache(block_length=4),
    "delayed": DelayedCache(),
    "greedy": GreedyCache(window=4, refresh=3),
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("family", BOTH_SIDES)
def test_steps_are_those_of_the_definition(denoiser, family, name):
    """Which positions, and the logits that follow from the keys and values of all others."""
    cached, plain = denoiser(family, POLICIES[name]), denoiser(family)
    passes, oracle, shift = watched(cached), Oracle(plain.model), family in SHIFTED
    steps, drift = by_definition(name), []
    for (ids, rows), chosen in zip(decode(cached, one_by_one()), steps, strict=True):
        fresh = {p for p in chosen if p >= PROMPT and ids[p] == MASK}
        chosen = chosen | {p - 1 for p in fresh if shift}  # a prediction comes from there
        if MASK in ids:
            assert passes[-1] == chosen
            expected = oracle(ids, chosen)
            for p in fresh:
                np.testing.assert_allclose(rows[p], expected[p - shift], atol=2e-5)
            direct = plain.logits([ids])[0].double().numpy()
            gap = max((np.abs(rows[p] - direct[p]).max() for p in fresh), default=0.0)
            drift.append((chosen == EVERYTHING, gap))
    assert all(gap < 2e-5 for exact, gap in drift if exact)
    partial = [gap for exact, gap in drift if not exact]
    assert min(partial) > 1e-3, "nothing was cached"
    assert np.median(partial) < 10, "logits of these weights are about that far apart at random"


@pytest.mark.parametrize("name", ["dual", "greedy"])
def test_what_is_not_computed_is_remembered(denoiser, name):
    steps = list(decode(denoiser("llada", POLICIES[name]), one_by_one(range(PROMPT, PROMPT + 3))))
    before, after = steps[1][1] if name == "greedy" else steps[0][1], steps[2][1]
    np.testing.assert_array_equal(before[16], after[16])
    assert np.abs(before[PROMPT + 2] - after[PROMPT + 2]).max() > 1e-3


# --- block-causal models: exact --------------------------------------------------------------


@pytest.mark.parametrize("family", CAUSAL)
def test_blocks_are_exact_whatever_changes(denoiser, family):
    cached, plain, rng = denoiser(family, "block"), denoiser(family), np.random.default_rng(0)
    passes, ids = watched(cached), canvas(length=19)
    for _ in range(12):
        asked = sorted(rng.choice(np.arange(PROMPT, len(ids)), 6, replace=False).tolist())
        for ours, theirs in zip(cached([ids], [asked]), plain([ids], [asked]), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=5e-6)
        where = int(rng.integers(PROMPT, len(ids)))
        kind = rng.integers(3)
        if kind == 0:
            ids[where] = int(rng.integers(0, 60))
        elif kind == 1:
            ids[where:where] = [MASK] * int(rng.integers(1, 6))
        elif len(ids) > PROMPT + 8:
            del ids[where : where + int(rng.integers(1, 4))]
    assert min(map(len, passes)) < max(map(len, passes))


@pytest.mark.parametrize("family", CAUSAL)
def test_finished_blocks_are_never_computed_again(denoiser, family):
    cached, length = denoiser(family, "block"), BLOCKS[family]
    passes, ids, answer = watched(cached), canvas(prompt=8, length=16), list(range(8, 24))
    for step, _ in enumerate(decode(cached, one_by_one(answer), ids, answer)):
        written = 8 + step - 1
        assert min(passes[-1]) == (written - written % length if step else 0)


# --- resizing --------------------------------------------------------------------------------


def test_a_slot_that_grows_moves_only_what_is_behind_it(denoiser):
    """'prompt M M , x M M' becomes 'prompt t M M M , x M M'."""
    cached, plain = denoiser("llada", DelayedCache(refresh=100)), denoiser("llada")
    passes, oracle = watched(cached), Oracle(plain.model)
    ids = [*canvas(length=2), 30, 31, MASK, MASK]
    for _ in range(2):
        cached([ids], [[5, 6, 9, 10]])
        oracle(ids, range(len(ids)))
    grown = [*ids[:5], 40, MASK, MASK, MASK, 30, 31, MASK, MASK]
    asked = [5, 6, 7, 8, 11, 12]
    (rows,) = cached([grown], [asked])
    assert passes[-1] == set(range(5, 13)), "the prompt is kept, what has moved is not"
    oracle.kept = [
        tuple(torch.nn.functional.pad(t, (0, 0, 0, 2)) for t in layer) for layer in oracle.kept
    ]
    expected = oracle(grown, range(5, 13))
    np.testing.assert_allclose(rows[1:], [expected[p] for p in asked[1:]], atol=2e-5)
    cached([[*grown[:6], 41, *grown[7:]]], [asked])
    assert passes[-1] == {5, 6, 7, 8, 11, 12} - {5}, "commas have not changed since"


def test_text_that_appears_at_the_end_is_all_that_is_new(denoiser):
    cached = denoiser("llada", DualCache(block_length=4))
    passes, ids = watched(cached), canvas(length=6)
    cached([ids], [list(range(5, 11))])
    longer = [*ids[:9], 3, 4, 50, MASK, MASK]
    cached([longer], [[5, 6, 7, 8, 12, 13]])
    assert passes[-1] == block(5) | {9, 10, 11, 12, 13}


def test_a_slot_that_shrinks_moves_what_is_behind_it(denoiser):
    cached = denoiser("llada", FrozenCache(block_length=2))
    passes, ids = watched(cached), [*canvas(length=6), 30, 31, MASK]
    asked = [*range(5, 11), 13]
    cached([ids], [asked])
    cached([[*ids[:5], 1, 2, 3, 30, 31, MASK]], [[10]])
    assert passes[-1] == {5, 6, 7, 8, 9, 10}


def test_a_mask_that_returns_is_computed_and_nothing_moves(denoiser):
    cached = denoiser("llada", DelayedCache(refresh=100))
    passes = watched(cached)
    list(decode(cached, [[7], [8], [9]], asked=list(range(5, 17))))
    ids = canvas()
    ids[7] = 1  # 8 and 9 are masks again, 7 holds another token
    cached([ids], [list(range(5, 17))])
    assert passes[-1] == EVERYTHING - set(range(PROMPT))


def test_another_prompt_is_another_sequence(denoiser):
    cached = denoiser("llada", "dual")
    passes, asked = watched(cached), list(range(5, 17))
    cached([canvas(0)], [asked])
    other = canvas(0)
    other[4] += 1
    (rows,) = cached([other], [asked])
    assert passes[-1] == EVERYTHING
    np.testing.assert_allclose(rows, denoiser("llada")([other], [asked])[0], atol=2e-5)


# --- batches ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", [*POLICIES, "interval", "block"])
def test_a_batch_is_as_one_by_one(denoiser, name, attention):
    """Rows of different lengths, one of which grows, one ends early and one begins late."""
    family = "sdar" if name == "block" else "llada"
    policy, rng = POLICIES.get(name, name), np.random.default_rng(0)
    lengths = {"a": 9, "b": 14, "c": 10, "d": 11}
    sequences = {key: canvas(i, 4 + i, n) for i, (key, n) in enumerate(lengths.items())}
    together = denoiser(family, policy, attn_implementation=attention)
    alone = {key: denoiser(family, policy, attn_implementation=attention) for key in lengths}
    for step in range(8):
        active = [k for k in lengths if not (k == "a" and step > 4) and not (k == "d" and step < 3)]
        ids = [list(sequences[k]) for k in active]
        asked = [[p for p, token in enumerate(s) if token == MASK] for s in ids]
        for key, s, w, rows in zip(active, ids, asked, together(ids, asked), strict=True):
            np.testing.assert_allclose(rows, alone[key]([s], [w])[0], atol=5e-5)
            sequences[key][w[int(rng.integers(len(w)))]] = int(rng.integers(0, 60))
        if step == 2:
            sequences["b"][10:10] = [MASK] * 4
            sequences["b"][9] = 3


# --- adaptive refresh ------------------------------------------------------------------------


def test_refreshing_all_the_time_is_exact(denoiser):
    cached = denoiser("llada", IntervalCache(prompt_interval=1, response_interval=1))
    plain = denoiser("llada")
    for ids, rows in decode(cached, one_by_one()):
        expected = plain.logits([ids])[0, PROMPT:].double().numpy()
        np.testing.assert_allclose(list(rows.values()), expected, atol=2e-5)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_layers_choose_by_the_cosine_of_values(denoiser, share):
    rule = IntervalCache(prompt_interval=4, response_interval=3, share=share)
    cached, plain = denoiser("llada", rule), denoiser("llada")
    expected = dllm_cache(plain.model, 4, 3, share)
    drift = []
    for step, (ids, rows) in enumerate(decode(cached, one_by_one())):
        theirs = expected(ids, step)
        np.testing.assert_allclose(list(rows.values()), theirs[PROMPT:], atol=5e-5)
        drift.append(np.abs(theirs - plain.logits([ids])[0].double().numpy())[PROMPT:].max())
    both = 4 if share == 1.0 else 12  # steps from one refresh of prompt and response to the next
    exact = [step % both == 0 for step in range(len(drift))]
    assert all((gap < 5e-5) == is_exact for gap, is_exact in zip(drift, exact, strict=True))


def dllm_cache(model, prompt_interval, response_interval, share):
    """The published algorithm on a Llama, one feature at a time, one sequence."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv

    memory = [{} for _ in model.model.layers]

    @torch.inference_mode()
    def forward(ids, step):
        hidden = model.model.embed_tokens(torch.tensor([ids]))
        cos, sin = model.model.rotary_emb(hidden, torch.arange(len(ids))[None])
        for number, layer in enumerate(model.model.layers):
            known, chosen = memory[number], list(range(len(ids)))
            attention = layer.self_attn

            def heads(x):
                return x.unflatten(-1, (-1, fixtures.HEAD)).transpose(1, 2)

            normed = layer.input_layernorm(hidden)
            if number:
                prompt = list(range(PROMPT)) if step % prompt_interval == 0 else []
                response = list(range(PROMPT, len(ids)))
                if step % response_interval:
                    values = attention.v_proj(normed[:, PROMPT:])
                    stored = known["v"][:, PROMPT:]
                    cosine = torch.nn.functional.cosine_similarity(values, stored, dim=-1)[0]
                    lowest = cosine.argsort()[: int(len(response) * share)]
                    known["v"][:, PROMPT:] = values
                    response = (lowest + PROMPT).tolist()
                chosen = prompt + response
            for name in "kv":
                new = getattr(attention, f"{name}_proj")(normed[:, chosen])
                known.setdefault(name, new.clone())[:, chosen] = new
            query, key = apply_rotary_pos_emb(
                heads(attention.q_proj(normed)), heads(known["k"]), cos, sin
            )
            value = repeat_kv(heads(known["v"]), attention.num_key_value_groups)
            key = repeat_kv(key, attention.num_key_value_groups)
            seen = torch.nn.functional.scaled_dot_product_attention(query, key, value)
            out = attention.o_proj(seen.transpose(1, 2).flatten(2))
            known.setdefault("attention", out.clone())[:, chosen] = out[:, chosen]
            hidden = hidden + known["attention"]
            out = layer.mlp(layer.post_attention_layernorm(hidden))
            known.setdefault("mlp", out.clone())[:, chosen] = out[:, chosen]
            hidden = hidden + known["mlp"]
        return model.lm_head(model.model.norm(hidden))[0].double().numpy()

    return forward


# --- generation and refusals -----------------------------------------------------------------


@pytest.mark.parametrize("name", [*POLICIES, "interval"])
def test_answers_are_valid_with_any_cache(name, tmp_path, monkeypatch):
    gemma.tokenizer().save_pretrained(wide("llada", tmp_path, monkeypatch))
    model = ctrlgen.load(tmp_path, cache=name)
    generator = ctrlgen.Generator(model, dict[str, list[int]], max_new_tokens=40, steps=8)
    for answer in generator.batch(["a", "a longer prompt"]):
        assert all(type(item) is int for items in answer.values() for item in items)


@pytest.mark.parametrize("family", ["sdar", "fast_dllm_v2", "llada2"])
def test_answers_of_block_causal_models_do_not_change(family, tmp_path, monkeypatch):
    gemma.tokenizer().save_pretrained(wide(family, tmp_path, monkeypatch))
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "null"}}},
    }
    prompts = ["a", "a longer prompt"]
    plain = ctrlgen.Generator(ctrlgen.load(tmp_path), schema, max_new_tokens=60)
    cached = ctrlgen.Generator(ctrlgen.load(tmp_path, cache="block"), schema, max_new_tokens=60)
    for ours, theirs in zip(
        cached.generate_batch(prompts), plain.generate_batch(prompts), strict=True
    ):
        assert (ours.text, ours.usage) == (theirs.text, theirs.usage)


def test_wrong_caches_are_refused(denoiser, tmp_path):
    with pytest.raises(ModelError, match="there is no cache 'duo'"):
        denoiser("llada", "duo")
    with pytest.raises(ModelError, match="block-causal"):
        denoiser("llada", "block")
    with pytest.raises(ModelError, match="does not know the layers"):
        denoiser("mdlm", "interval")
    gemma.model().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="its own cache"):
        load(tmp_path, tokenizer=gemma.tokenizer(), cache="dual")
