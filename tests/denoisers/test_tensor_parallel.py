"""Tensor parallelism: two processes of the processor with gloo compute what one does."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from ctrlgen.denoisers import load
from tests.denoisers import gemma
from tests.denoisers.tensor_parallel import CACHE, computed
from tests.denoisers.test_checkpoints import wide

FAMILIES = ["llada", "dream", "sdar", "fast_dllm_v2", "llada_moe", "sdar_moe"]


def run_two(*arguments: str) -> None:
    """Two processes that know of each other, as torchrun starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = os.environ | {
        "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.denoisers.tensor_parallel", *arguments],
            env=common | {"RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said[0][-3000:]


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path, monkeypatch):
    folders = [wide(name, tmp_path / name, monkeypatch) for name in FAMILIES]
    run_two(*map(str, folders))
    for folder in folders:
        options = {"dtype": "float32", "tokenizer": gemma.tokenizer()}
        expected = computed(load(folder, **options), load(folder, cache=CACHE, **options))
        found = torch.load(folder / "out.pt", weights_only=True)
        torch.testing.assert_close(found["logits"], expected["logits"], atol=1e-4, rtol=0)
        for ours, theirs in zip(found["cached"], expected["cached"], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
        assert found["answer"] == expected["answer"], folder.name
