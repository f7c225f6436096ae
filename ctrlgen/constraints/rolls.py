"""How the members of a `Roll` follow each other, and the shortest way to its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from math import inf
from operator import lt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctrlgen.constraints.terms import Roll, Roster

_STEPWISE = 64  # members that are searched one by one instead of taken greedily


def separated(roll: Roll) -> Roll:
    """After a separator."""
    return replace(roll, begun=False, due=True)


def open_items(roster: Roster, roll: Roll) -> Iterator[int]:
    """The items that may come next, as far as the roll alone says."""
    last = len(roster.items)
    if roster.ordered:  # a required item is not skipped
        missing = roster.required & ~roll.gone
        last = (missing & -missing).bit_length() or last
    for index in range(last):
        if not roll.gone >> index & 1 and _has_room(roster, roll.counts, index):
            yield index


def taken(roster: Roster, roll: Roll, index: int) -> Roll:
    """After a member of kind `index`."""
    gone = roll.gone
    if roster.ordered:
        once = roster.once >> index & 1
        gone |= (1 << index + 1) - 1 if once else roster.once
    elif roster.once >> index & 1:
        gone |= 1 << index
    return type(roll)(roll.roster, gone, _raised(roster, roll.counts, index), begun=True)


def _has_room(roster: Roster, counts: tuple[int, ...], index: int) -> bool:
    for counter in roster.raises[index]:
        most = roster.most[counter]
        if most is not None and counts[counter] >= most:
            return False
    return True


def _raised(roster: Roster, counts: tuple[int, ...], index: int) -> tuple[int, ...]:
    if not roster.raises[index]:
        return counts
    raised = list(counts)
    for counter in roster.raises[index]:
        most = roster.most[counter]
        # Without an upper bound only what is still missing matters.
        cap = roster.least[counter] if most is None else most
        raised[counter] = min(raised[counter] + 1, cap)
    return tuple(raised)


def shortest(roster: Roster, roll: Roll, minimum: Sequence[float]) -> float:
    """The fewest bytes of what is left of `roll`; `inf` when it cannot end."""
    gone, counts, total, members = roll.gone, roll.counts, 0.0, 0
    missing = roster.required & ~gone
    while missing:
        index = (missing & -missing).bit_length() - 1
        missing &= missing - 1
        if not _has_room(roster, counts, index):
            return inf
        total += minimum[roster.items[index]]
        gone |= 1 << index
        counts = _raised(roster, counts, index)
        members += 1
    if total == inf:
        return inf
    separator = minimum[roster.separator]
    must = roll.due and not members
    further = 0.0
    if must or any(map(lt, counts, roster.least)):
        costs = tuple(minimum[item] + separator for item in roster.items)
        further = _cover(roster, gone, counts, costs, must)
    if further == inf:
        return inf
    total += members * separator + further
    empty = not members and not further
    return total if roll.begun or empty else total - separator


def _cover(
    roster: Roster, gone: int, counts: tuple[int, ...], costs: tuple[float, ...], must: bool
) -> float:
    """The cheapest further members that satisfy the counters; at least one if `must`."""
    short = [c for c, least in enumerate(roster.least) if counts[c] < least]
    if not short:
        return _cheapest(roster, gone, counts, costs) if must else 0.0
    # Counters that fewer items raise come first; the number of all members is the last one.
    common = max(range(len(roster.least)), key=lambda c: sum(c in r for r in roster.raises))
    narrow = [c for c in short if c != common or not _raised_by_all(roster, common)]
    if narrow:
        return _search(roster, gone, counts, costs, narrow[0])
    need = roster.least[common] - counts[common]
    if need <= _STEPWISE and _capped(roster, common):
        return _search(roster, gone, counts, costs, common)
    return _fill(roster, gone, counts, costs, need)


def _raised_by_all(roster: Roster, counter: int) -> bool:
    return all(counter in raises for raises in roster.raises)


def _capped(roster: Roster, common: int) -> bool:
    """Whether other counters limit which members may fill up."""
    return any(most is not None and c != common for c, most in enumerate(roster.most))


def _cheapest(
    roster: Roster, gone: int, counts: tuple[int, ...], costs: tuple[float, ...]
) -> float:
    return min(
        (
            cost
            for index, cost in enumerate(costs)
            if not gone >> index & 1 and _has_room(roster, counts, index)
        ),
        default=inf,
    )


@lru_cache(maxsize=8192)
def _search(
    roster: Roster, gone: int, counts: tuple[int, ...], costs: tuple[float, ...], counter: int
) -> float:
    """The best choice of a member that raises `counter`, and of what follows."""
    best = inf
    for index, raises in enumerate(roster.raises):
        if counter in raises and not gone >> index & 1 and _has_room(roster, counts, index):
            after = gone | (roster.once & 1 << index)
            raised = _raised(roster, counts, index)
            if costs[index] < best:
                best = min(best, costs[index] + _cover(roster, after, raised, costs, False))
    return best


def _fill(
    roster: Roster, gone: int, counts: tuple[int, ...], costs: tuple[float, ...], need: int
) -> float:
    """`need` more members, the cheapest ones first."""
    total = 0.0
    usable = [i for i in range(len(costs)) if not gone >> i & 1]
    for index in sorted(usable, key=costs.__getitem__):
        while need and _has_room(roster, counts, index):
            if costs[index] == inf:
                return inf
            once = roster.once >> index & 1
            free = not once and all(roster.most[c] is None for c in roster.raises[index])
            copies = need if free else 1
            total += copies * costs[index]
            need -= copies
            counts = _raised(roster, counts, index) if not free else counts
            if once:
                break
    return inf if need else total
