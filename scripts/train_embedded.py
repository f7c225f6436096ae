"""Train the embedded model: `python scripts/train_embedded.py --data DIR --out DIR --steps N`.

A small bidirectional Qwen3 (`is_causal=False`) with the masked-diffusion objective (LLaDA,
arXiv:2502.09992; plain mean of the cross-entropy on masked positions) on SNIPS, SGD, E2E and
synthetic records. Muon (arXiv:2502.16982) for matrices, AdamW for the rest.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
from embedded import corpora
from embedded import tokenizer as bpe
from embedded.exact import ExactLayout
from embedded.examples import Sequence, Stream
from embedded.layout import Layout, call_text
from embedded.muon import Muon

POOL = 512  # sequences sorted by length together, so that a batch wastes little on padding


def load_corpora(folder: Path) -> dict[str, list[corpora.Example]]:
    """The training cuts of the three corpora."""
    return {
        "snips": corpora.load_snips(folder, test=False),
        "sgd": corpora.load_sgd(folder, test=False),
        "e2e": corpora.load_e2e(folder, test=False),
    }


def train_tokenizer(data: dict[str, list[corpora.Example]]) -> PreTrainedTokenizerFast:
    """BPE on prompts and answers of the training cuts."""
    texts = (
        text
        for examples in data.values()
        for example in examples
        for text in [*(t for _, t in example.turns), call_text(example)]
    )
    return bpe.train(texts)


def build_model(tok: PreTrainedTokenizerFast, hidden: int, layers: int) -> Qwen3ForCausalLM:
    """A bidirectional Qwen3 whose embeddings start out compositional."""
    config = Qwen3Config(
        vocab_size=len(tok),
        hidden_size=hidden,
        num_hidden_layers=layers,
        intermediate_size=hidden * 5 // 2,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        head_dim=32,
        max_position_embeddings=1024,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        use_cache=False,
        pad_token_id=tok.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
        dtype="float32",
    )
    config.is_causal = False
    config.mask_token_id = tok.mask_token_id
    config.fill_token_id = tok.convert_tokens_to_ids(bpe.SPECIALS["fill"])
    model = Qwen3ForCausalLM(config)
    _compose_embeddings(model, tok)
    return model


def _compose_embeddings(model: Qwen3ForCausalLM, tok: PreTrainedTokenizerFast) -> None:
    """Tokens that differ by a leading space or by case start with nearly the same vector.

    Copying ` city` out of a sentence into `"city"` is then an identity from the first step on.
    """
    weight = model.get_input_embeddings().weight.data
    tokens = tok.convert_ids_to_tokens(list(range(len(tok))))
    base: dict[str, torch.Tensor] = {}
    flags = torch.randn(3, weight.shape[1]) * 0.015
    for i, token in enumerate(tokens):
        bare = token.removeprefix(bpe.SPACE) or token
        root = base.setdefault(bare.lower(), torch.randn(weight.shape[1]) * 0.04)
        spaced, title, upper = token != bare, bare[:1].isupper(), bare.isupper() and len(bare) > 1
        weight[i] = root + spaced * flags[0] + title * flags[1] + upper * flags[2]


def batches(stream: Stream, tokens: int) -> Iterator[list[Sequence]]:
    """Batches of similar length with at most `tokens` tokens, padding included."""
    source = iter(stream)
    while True:
        pool = sorted(itertools.islice(source, POOL), key=lambda s: len(s.ids))
        ready, batch = [], []
        for sequence in pool:
            if batch and (len(batch) + 1) * len(sequence.ids) > tokens:
                ready.append(batch)
                batch = []
            batch.append(sequence)
        ready.append(batch)
        stream.rng.shuffle(ready)
        yield from ready


def collate(batch: list[Sequence], pad: int) -> tuple[torch.Tensor, ...]:
    """Right-padded ids, targets, weights and attention mask, each (batch, length)."""
    width = max(len(s.ids) for s in batch)
    fill = lambda rows, value: torch.tensor([r + [value] * (width - len(r)) for r in rows])  # noqa: E731
    ids = fill([s.ids for s in batch], pad)
    return (
        ids,
        fill([s.targets for s in batch], pad),
        fill([s.weights for s in batch], 0.0),
        ids != pad,
    )


def bf16_is_fast(device: torch.device) -> bool:
    """Whether bfloat16 beats float32 on a matrix product; older processors only emulate it."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.randn(1024, 512, device=device).to(dtype)
        started = time.perf_counter()
        for _ in range(3):
            (matrix @ matrix.mT).sum().item()
        seconds[dtype] = time.perf_counter() - started
    return device.type == "cuda" or seconds[torch.bfloat16] < seconds[torch.float32]


def loss_of(
    model: Qwen3ForCausalLM, batch: list[Sequence], pad: int, bf16: bool = False
) -> torch.Tensor:
    """Weighted mean cross-entropy on the masked positions; only those reach the output head."""
    ids, targets, weights, attention = (t.to(model.device) for t in collate(batch, pad))
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        hidden = model.model(input_ids=ids, attention_mask=attention.long()).last_hidden_state
        chosen = weights > 0
        logits = model.lm_head(hidden[chosen])
    losses = torch.nn.functional.cross_entropy(logits.float(), targets[chosen], reduction="none")
    return (losses * weights[chosen]).sum() / weights[chosen].sum()


def optimizers(
    model: Qwen3ForCausalLM, lr: float, bf16: bool = False
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    matrices = [
        p
        for n, p in model.named_parameters()
        if p.ndim == 2 and "embed" not in n and "lm_head" not in n
    ]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        Muon(matrices, lr=lr, dtype=torch.bfloat16 if bf16 else torch.float32),
        torch.optim.AdamW(rest, lr=lr / 10, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def schedule(step: int, steps: int) -> float:
    """Warm-up over 100 steps, constant, then linear to zero over the last 45 %."""
    return min(1.0, (step + 1) / 100, max(0.0, (steps - step) / (0.45 * steps)))


def save(model: Qwen3ForCausalLM, tok: PreTrainedTokenizerFast, out: Path) -> None:
    """Weights in bfloat16, config and tokenizer in Hugging Face format."""
    tok.chat_template = bpe.CHAT_TEMPLATE
    tok.save_pretrained(out)
    state = {
        n: p.to(torch.bfloat16) for n, p in model.state_dict().items() if n != "lm_head.weight"
    }
    model.save_pretrained(out, state_dict=state)


def main(
    data: Annotated[Path, typer.Option(help="Folder with the three corpora.")],
    out: Annotated[Path, typer.Option(help="Where the checkpoint goes.")],
    steps: int = 6000,
    tokens: Annotated[int, typer.Option(help="Tokens per batch.")] = 8192,
    lr: float = 0.02,
    hidden: int = 256,
    layers: int = 6,
    seed: int = 0,
    copy_steps: Annotated[
        int, typer.Option(help="Steps of the copy stage, before the full one.")
    ] = 1500,
    save_every: int = 500,
    fuse: Annotated[bool, typer.Option(help="Compile the model; needs a C++ compiler.")] = True,
    resume: Annotated[Path | None, typer.Option(help="Go on from this checkpoint.")] = None,
    slack: Annotated[
        bool, typer.Option(help="--no-slack: the twin without slack, for benchmarks.")
    ] = True,
) -> None:
    """Train the embedded model and save it in Hugging Face format."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    corpus = load_corpora(data)
    tok = PreTrainedTokenizerFast.from_pretrained(resume) if resume else train_tokenizer(corpus)
    model = (
        Qwen3ForCausalLM.from_pretrained(resume, dtype="float32")
        if resume
        else build_model(tok, hidden, layers)
    )
    model.config.is_causal = False
    model.config.lengths = "slack" if slack else "open"
    # On a CPU the fused attention's backward pass is slower than plain products; compiled, by half.
    model.config._attn_implementation = "sdpa" if torch.cuda.is_available() else "eager"
    model.to("cuda" if torch.cuda.is_available() else "cpu").train()
    bf16 = bf16_is_fast(model.device)
    opts = optimizers(model, lr, bf16)
    if fuse:  # faster by a quarter, after a minute or two of compiling
        model.model.compile(dynamic=True)
    layout = Layout(tok) if slack else ExactLayout(tok)
    copying, full = (
        batches(Stream(corpus, layout, seed, stage), tokens)
        for stage in ("copy", "full" if slack else "exact")
    )
    console = Console()
    console.print(
        f"{model.num_parameters():,} parameters, {len(tok)} tokens, "
        f"{sum(map(len, corpus.values()))} examples, {'bfloat16' if bf16 else 'float32'}"
    )
    out.mkdir(parents=True, exist_ok=True)
    started, seen, running = time.monotonic(), 0, math.nan
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
        (out / "log.jsonl").open("a") as log,
    ):
        task = bar.add_task("training", total=steps)
        for step in range(steps):
            batch = next(copying if step < copy_steps else full)
            for opt in opts:
                for group in opt.param_groups:
                    group.setdefault("peak", group["lr"])
                    group["lr"] = group["peak"] * schedule(step, steps)
            loss = loss_of(model, batch, tok.pad_token_id, bf16)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for opt in opts:
                opt.step()
                opt.zero_grad(set_to_none=True)
            seen += sum(len(s.ids) for s in batch)
            running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
            bar.update(task, advance=1, description=f"loss {running:.3f}")
            if step % 50 == 49:
                row = {
                    "step": step + 1,
                    "loss": round(running, 4),
                    "tokens": seen,
                    "seconds": round(time.monotonic() - started),
                }
                print(json.dumps(row), file=log, flush=True)
            if (step + 1) % save_every == 0 or step + 1 == steps:
                save(model, tok, out)


if __name__ == "__main__":
    typer.run(main)
