"""Rows through Ray Data (extra `scale`): one denoiser an actor, answers in order.

Ray starts an actor anew that dies and repeats the task that it had. What is written is written by
the caller alone, in order, so that each row is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ctrlgen.batch.files import Row
from ctrlgen.batch.work import Worker
from ctrlgen.generator import Generator

Build = Callable[[], Generator]


class _Actor:
    """A worker in a process of its own; its denoiser is loaded there."""

    def __init__(self, build: Build) -> None:
        self.worker = Worker(build())

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        return {"answer": self.worker.answer(list(block["row"]))}


def answers(
    rows: Iterable[Row], build: Build, *, workers: int, batch: int, address: str | None = None,
    cpus: float = 1.0, gpus: float = 0.0,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """An answer for each row, in order.

    Args:
        rows: What to answer; held in the memory of this process.
        build: Makes the generator, in each worker.
        workers: How many actors.
        batch: Rows that are denoised together.
        address: Of a running cluster; None starts one on this machine.
        cpus: Cores of each worker.
        gpus: Devices, or shares of one, of each worker.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    if not ray.is_initialized():
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    held = [{"row": row} for row in rows]
    if not held:
        return
    blocks = max(1, -(-len(held) // batch))
    data = ray.data.from_items(held, override_num_blocks=blocks).map_batches(
        _Actor,
        fn_constructor_args=(build,),
        batch_size=batch,
        compute=ActorPoolStrategy(size=workers),
        num_cpus=cpus,
        num_gpus=gpus,
    )
    for row in data.iter_rows():
        yield row["answer"]
