r"""Stacks that another stack makes superfluous, because they differ in counters only.

`(.{1,63}\.){1,127}` may read a dot as part of a label or as its end, so after n dots there are n
times n ways to go on. Nearly all of them accept less than another one does, and are left out: the
antichains of De Wulf et al. (doi:10.1007/11817963_5), with intervals of counters as the order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import inf

from ctrlgen.constraints.stacks import END, Stacks
from ctrlgen.constraints.terms import Loop

Shape = tuple[int | tuple[int], ...]
Bounds = tuple[tuple[int, float], ...]

_DEEPEST = 12  # terms that are compared; what lies below has to be the same


def largest(stacks: Stacks, found: Iterable[int]) -> frozenset[int]:
    """`found` without the stacks whose every word another one of `found` has too.

    Args:
        stacks: The stacks of an automaton.
        found: Some of them.
    """
    by_top: dict[int, list[int]] = defaultdict(list)
    for stack in sorted(found):
        by_top[_first(stacks, stack)].append(stack)
    kept: list[int] = []
    for alike in by_top.values():
        kept += alike if len(alike) == 1 else _largest_alike(stacks, alike)
    return frozenset(kept)


def _largest_alike(stacks: Stacks, found: list[int]) -> list[int]:
    by_shape: dict[Shape, list[tuple[Bounds, int]]] = defaultdict(list)
    for stack in found:
        shape, bounds = _split(stacks, stack)
        by_shape[shape].append((bounds, stack))
    return [stack for alike in by_shape.values() for stack in _maximal(alike)]


def _first(stacks: Stacks, stack: int) -> int:
    """The top term without its bounds: what tells most stacks apart."""
    term = stacks.top[stack]
    loop = stacks.terms.shapes[term]
    return loop.item if isinstance(loop, Loop) else ~term


def _split(stacks: Stacks, stack: int) -> tuple[Shape, Bounds]:
    """A stack without the bounds of its loops, and these bounds."""
    shape: list[int | tuple[int]] = []
    bounds: list[tuple[int, float]] = []
    shapes = stacks.terms.shapes
    for _ in range(_DEEPEST):
        if stack == END:
            break
        term = stacks.top[stack]
        loop = shapes[term]
        if isinstance(loop, Loop):
            shape.append((loop.item,))
            bounds.append((loop.least, inf if loop.most is None else loop.most))
        else:
            shape.append(term)
        stack = stacks.rest[stack]
    return (*shape, stack), tuple(bounds)


def _maximal(alike: list[tuple[Bounds, int]]) -> list[int]:
    """The stacks whose intervals lie in those of no other; the first of equal ones."""
    kept: list[tuple[Bounds, int]] = []
    # Whoever contains another has a wider sum of intervals, so comes first.
    for bounds, stack in sorted(alike, key=lambda each: _width(each[0])):
        if not any(_contains(wider, bounds) for wider, _ in kept):
            kept.append((bounds, stack))
    return [stack for _, stack in kept]


def _width(bounds: Bounds) -> float:
    """Smaller for wider intervals."""
    return sum(least - min(most, 1 << 40) for least, most in bounds)


def _contains(wider: Bounds, bounds: Bounds) -> bool:
    return all(
        low <= least and most <= high
        for (low, high), (least, most) in zip(wider, bounds, strict=True)
    )
