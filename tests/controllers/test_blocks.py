"""Block controllers on synthetic proposals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ctrlgen.controllers.blocks import (
    AdaBlock,
    Block,
    DeferredWindow,
    FixedBlocks,
    SchemaWalls,
    WholeCanvas,
)
from ctrlgen.errors import OptionError
from ctrlgen.schedulers import Proposal

BLOCKS: list[Block] = [
    WholeCanvas(), FixedBlocks(3), AdaBlock(length=3), DeferredWindow(2, 5), SchemaWalls(2),
]  # fmt: skip


def proposal(
    offsets: list[int], confidence: list[float] | None = None, pieces: list[bytes] | None = None,
    gaps: list[int] | None = None, memory: dict | None = None,
) -> Proposal:  # fmt: skip
    count = len(offsets)
    return Proposal(
        np.full(count, 0.5) if confidence is None else np.array(confidence),
        lambda: np.ones(count),
        keys=np.array(offsets),
        offsets=np.array(offsets),
        gaps=np.zeros(count, dtype=int) if gaps is None else np.array(gaps),
        pieces=tuple(pieces or [b"x"] * count),
        memory={} if memory is None else memory,
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_every_position_has_its_turn(block: Block) -> None:
    rng, memory = np.random.default_rng(0), {}
    left = sorted(rng.choice(60, size=25, replace=False).tolist())
    steps = 0
    while left:
        asked = proposal(left, rng.random(len(left)).tolist(), memory=memory)
        window = block.window(asked)
        assert window.any()
        inside = np.flatnonzero(window)
        left.pop(int(rng.choice(inside)))
        steps += 1
    assert steps == 25


def test_fixed_blocks_finish_one_before_the_next() -> None:
    assert FixedBlocks(4).window(proposal([5, 6, 8, 9])).tolist() == [True, True, False, False]


def test_a_sure_delimiter_ends_a_block() -> None:
    block = AdaBlock(delimiters=(b",",), sure=0.3, length=4, reach=1.0)
    pieces = [b"a", b"b,", b"c", b",", b"d", b"e"]
    found = block.window(proposal(list(range(6)), [0.9, 0.4, 0.9, 0.5, 0.9, 0.9], pieces))
    assert found.tolist() == [True] * 4 + [False] * 2  # the surest delimiter, not the first
    unsure = block.window(proposal(list(range(6)), [0.9, 0.1, 0.9, 0.2, 0.9, 0.9], pieces))
    assert unsure.tolist() == [True] * 4 + [False] * 2
    block = AdaBlock(delimiters=(b",",), sure=0.3, length=4, reach=0.34)
    near = block.window(proposal(list(range(6)), [0.9, 0.4, 0.9, 0.5, 0.9, 0.9], pieces))
    assert near.tolist() == [True] * 2 + [False] * 4


def test_a_block_stays_until_it_is_done() -> None:
    block, memory = AdaBlock(length=3), {}
    assert block.window(proposal([2, 4, 6, 8], memory=memory)).tolist() == [True] * 3 + [False]
    assert block.window(proposal([4, 8, 9], memory=memory)).tolist() == [True, False, False]
    assert block.window(proposal([8, 9], memory=memory)).all()
    assert memory["blocks"] == 2


def test_the_window_slides_with_what_commits() -> None:
    block = DeferredWindow(open=3, span=10)
    assert block.window(proposal([0, 1, 2, 3])).tolist() == [True, True, True, False]
    assert block.window(proposal([1, 2, 3, 4])).tolist() == [True, True, True, False]
    assert block.window(proposal([0, 9, 10, 11])).tolist() == [True, True, False, False]


def test_walls_of_the_schema() -> None:
    asked = proposal([0, 1, 5, 6, 9], gaps=[2, 2, 4, 4, 7])
    assert SchemaWalls(1).window(asked).tolist() == [True, True, False, False, False]
    assert SchemaWalls(2).window(asked).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("block", "number"),
    [
        (FixedBlocks, {"length": 0}), (SchemaWalls, {"slots": 0}), (DeferredWindow, {"open": 0}),
        (DeferredWindow, {"span": 0}), (AdaBlock, {"length": 0}), (FixedBlocks, {"length": 2.5}),
    ],
)  # fmt: skip
def test_a_window_without_a_place_is_refused(block: type, number: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(number))} must be a whole number"):
        block(**number)
