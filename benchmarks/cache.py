"""What the caches save and what they change, on random weights of LLaDA's shape.

    python benchmarks/cache.py [--plot FILE]
    python benchmarks/cache.py --hidden 4096 --layers 32 --device cuda --dtype bfloat16

LLaDA-8B has a hidden size of 4,096 and 32 layers; its proportions (heads, inner size, vocabulary)
are kept. A canvas is decoded block by block without a cache, the most confident positions first;
then each cache sees the same canvases. Of each:

- forward FLOPs of all steps (`torch.utils.flop_counter`, with eager attention), and the positions
  that were computed in partial steps; where layers choose, what their FLOPs amount to;
- seconds of all steps (of processor time, where there is no other device), and the median over
  partial steps of time / ideal (the time of a full pass times that share of positions) and of
  time / bare (the time of an uncached pass over just so many positions: few rows use a processor's
  or an accelerator's arithmetic badly, which is no cache's doing);
- in partial steps: how often the most probable token is the uncached one, and the mean difference
  of its log-probability.

Random weights say nothing about the quality of answers: agreement here is agreement of two runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Annotated

import numpy as np
import plots
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from ctrlgen.constraints.atoms import Floats
from ctrlgen.denoisers import TransformersDenoiser
from ctrlgen.denoisers.caches import DualCache, FrozenCache, Policy, PrefixCache

CACHES = ("prefix", "dual", "frozen", "delayed", "greedy", "interval", "block")
PARTS = ("FLOPs", "seconds")
Canvas = tuple[list[int], list[int]]
"""Token ids, and the positions whose logits are asked for."""


@dataclass
class Costs:
    """Of one way to run all steps, one entry a step."""

    seconds: list[float] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)
    rows: list[Floats] = field(default_factory=list)
    flops: list[int] = field(default_factory=list)


def llada(hidden: int, layers: int, dtype: str, device: str) -> LlamaForCausalLM:
    """Random weights in LLaDA-8B's proportions, loud enough for positions to matter."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden, num_hidden_layers=layers, intermediate_size=3 * hidden,
        num_attention_heads=max(hidden // 128, 4), vocab_size=126464 * hidden // 4096,
        max_position_embeddings=4096, rope_theta=500000.0, tie_word_embeddings=False,
        pad_token_id=0,
    )  # fmt: skip
    with torch.device(device):
        model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    for name, weight in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    return model


def denoiser_of(
    model: LlamaForCausalLM, cache: Policy | str | None, blocks: int | None
) -> TransformersDenoiser:
    """The model with a cache; only a block cache makes its attention block-causal."""
    size = model.config.vocab_size
    out = TransformersDenoiser(model, mask_token_id=size - 1, block_length=blocks, cache=cache)
    out.vocabulary = SimpleNamespace(size=size)
    return out


def decoded(denoiser: TransformersDenoiser, prompt: int, canvas: int, block: int, each: int):
    """The canvases of an uncached decoding of `each` tokens a step, and what it chose."""
    mask = denoiser.mask_token_id
    rng, out = np.random.default_rng(0), list[Canvas]()
    ids = [*rng.integers(1, mask, prompt).tolist(), *[mask] * canvas]
    for start in range(prompt, prompt + canvas, block):
        while asked := [p for p in range(start, start + block) if ids[p] == mask]:
            out.append((list(ids), asked))
            (rows,) = denoiser([ids], [asked])
            rows[:, mask] = -np.inf
            peak = rows.max(1)
            sure = -np.log(np.exp(rows - peak[:, None]).sum(1))
            for i in np.argsort(-sure)[:each].tolist():
                ids[asked[i]] = int(rows[i].argmax())
    return out


def run(denoiser: TransformersDenoiser, canvases: list[Canvas]) -> Costs:
    """Time all steps, and remember what they say."""
    out = Costs()
    clock = time.process_time if denoiser.model.device.type == "cpu" else time.perf_counter
    hook = denoiser.model.register_forward_pre_hook(
        lambda _, __, options: out.computed.append(options["input_ids"].shape[1]), with_kwargs=True
    )
    for ids, asked in canvases:
        started = clock()
        (rows,) = denoiser([ids], [asked])  # rows are numpy's: the device is done
        out.seconds.append(clock() - started)
        out.rows.append(rows)
    hook.remove()
    return out


def flops(denoiser: TransformersDenoiser, canvases: list[Canvas]) -> list[int]:
    """Operations of each step; the counter does not know every fused attention."""
    out = []
    denoiser.model.set_attn_implementation("eager")
    for ids, asked in canvases:
        with FlopCounterMode(display=False) as counter:
            denoiser([ids], [asked])
        out.append(counter.get_total_flops())
    denoiser.model.set_attn_implementation("sdpa")
    return out


def bare(denoiser: TransformersDenoiser, canvas: Canvas, count: int) -> float:
    """Seconds of an uncached pass over so many positions, as many asked as in the canvas."""
    ids, asked = canvas
    short = ids[:count], [min(i, count - 1) for i in range(len(asked))]
    return float(np.median(run(denoiser, [short] * 3).seconds))


def row(
    name: str, costs: Costs, full: Costs, plain: TransformersDenoiser, canvases: list[Canvas]
) -> list[str]:
    """A line of the table."""
    work = np.array(costs.flops) / np.array(full.flops)
    share = np.array(costs.computed) / max(full.computed)
    part = np.flatnonzero(work < 0.99)
    if (share == 1).all():  # all are fed, and layers choose
        share = work
    out = [
        name,
        f"{100 * sum(costs.flops) / sum(full.flops):.0f} %",
        f"{sum(costs.seconds):.1f}",
        f"{sum(full.seconds) / sum(costs.seconds):.2f}",
    ]
    if not len(part):
        return [*out, "", "", "", "", ""]
    slow = np.array(costs.seconds) / (share * np.median(full.seconds))
    same, gap = [], []
    for i in part:
        ours, theirs = _log_softmax(costs.rows[i]), _log_softmax(full.rows[i])
        best = theirs.argmax(1)[:, None]
        same.append((ours.argmax(1)[:, None] == best).mean())
        gap.append(np.abs(np.take_along_axis(ours - theirs, best, 1)).mean())
    counts = np.round(share * max(full.computed)).astype(int)
    alone = {n: bare(plain, canvases[0], n) for n in {int(counts[i]) for i in part}}
    over = np.median([costs.seconds[i] / alone[int(counts[i])] for i in part])
    shares = f"{100 * share[part].mean():.0f} %"
    agreement = f"{100 * np.mean(same):.0f} %", f"{np.mean(gap):.3f}"
    return [*out, shares, f"{np.median(slow[part]):.2f}", f"{over:.2f}", *agreement]


def _log_softmax(rows: Floats) -> Floats:
    shifted = rows - rows.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def main(
    hidden: Annotated[int, typer.Option(help="LLaDA-8B has 4096.")] = 512,
    layers: Annotated[int, typer.Option(help="LLaDA-8B has 32.")] = 8,
    prompt: int = 128,
    canvas: int = 128,
    block: int = 32,
    each: Annotated[int, typer.Option(help="Tokens committed in a step.")] = 4,
    dtype: str = "float32",
    device: str = "cpu",
    threads: Annotated[int, typer.Option(help="Of the processor.")] = 1,
    out: plots.PlotFile = None,
) -> None:
    """Print a table with a row a cache."""
    torch.set_num_threads(threads)
    model = llada(hidden, layers, dtype, device)
    sizes = f"{model.num_parameters() / 1e6:.0f} M parameters, {dtype}, {device}"
    table = Table(
        "cache", "FLOPs", "seconds", "speed-up", "partial", "time / ideal", "time / bare",
        "same token", "Δ log-prob",
        title=f"{sizes}, prompt {prompt}, canvas {canvas}, {each} tokens a step",
    )  # fmt: skip
    parts = dict[str, tuple[float, float]]()
    by_block = {c.__name__: c(block) for c in (PrefixCache, DualCache, FrozenCache)}
    for blocks, names in ((None, CACHES[:-1]), (block, CACHES[-1:])):
        plain = denoiser_of(model, None, blocks)
        canvases = decoded(plain, prompt, canvas, block, each)
        full = run(plain, canvases)
        full.flops = flops(plain, canvases)
        nothing = "none" if blocks is None else "none, block-causal"
        table.add_row(*row(nothing, full, full, plain, canvases))
        parts[nothing] = 100.0, 100.0
        for name in names:
            cache = by_block.get(f"{name.title()}Cache", name)
            costs = run(denoiser_of(model, cache, blocks), canvases)
            costs.flops = flops(denoiser_of(model, cache, blocks), canvases)
            table.add_row(*row(name, costs, full, plain, canvases))
            parts[name] = (
                100 * sum(costs.flops) / sum(full.flops),
                100 * sum(costs.seconds) / sum(full.seconds),
            )
    Console().print(table)
    if out is not None:
        lines = {name: [part[i] for part in parts.values()] for i, name in enumerate(PARTS)}
        plots.draw([plots.Bars("caches", "% of no cache", [*parts], lines)], out)


if __name__ == "__main__":
    typer.run(main)
