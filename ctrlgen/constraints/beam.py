"""The part of a recursive grammar's automaton that is worth looking at, for given logits.

Nesting makes the states of a whole-grammar gap too many to enumerate. A forward beam keeps the most
probable states per position, and always those on the previous witness: the posterior over what is
kept then has a sound filling, whatever the logits say.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from ctrlgen.constraints.atoms import NEVER, Ints
from ctrlgen.constraints.gap import Slack
from ctrlgen.constraints.lifting import TokenAutomaton
from ctrlgen.constraints.log_probs import LogProbs, Reals

WIDTH = 24


def beam_states(
    tokens: TokenAutomaton,
    start: int,
    log_probs: LogProbs,
    committed: Ints,
    witness: Ints,
    slack: Slack,
    width: int = WIDTH,
) -> list[int]:
    """States within the beam over all positions, start first, the witness' own included.

    Args:
        tokens: The lifted automaton.
        start: State at the left edge.
        log_probs: Of the model, (length, vocab).
        committed: Token per position, -1 where open.
        witness: A valid filling that agrees with `committed`.
        slack: The gap's fill.
        width: States kept per position.
    """
    path = _witness_path(tokens, start, witness, slack)
    kept = dict.fromkeys([start, *path])
    layer = {start: 0.0}
    for i in range(len(committed)):
        if committed[i] == slack.fill_token_id:
            break
        scores: dict[int, float] = {}
        row = log_probs.shifted(i) if committed[i] < 0 else None
        for state, score in layer.items():
            for dest, gain in _moves(tokens, state, row, int(committed[i])):
                if _fewest(tokens, dest) <= len(committed) - i - 1:
                    scores[dest] = max(scores.get(dest, NEVER), score + gain)
        layer = dict(heapq.nlargest(width, scores.items(), key=lambda pair: pair[1]))
        if i < len(path):
            layer.setdefault(path[i], scores.get(path[i], NEVER))
        kept.update(dict.fromkeys(layer))
    return list(kept)


def _witness_path(tokens: TokenAutomaton, start: int, witness: Ints, slack: Slack) -> list[int]:
    path, state = [], start
    for token in witness.tolist():
        if token == slack.fill_token_id:
            break
        after = tokens.next(state, token)
        assert after is not None, "a witness is a word of its gap"
        path.append(after)
        state = after
    return path


def _moves(
    tokens: TokenAutomaton, state: int, row: Reals | None, committed: int
) -> list[tuple[int, float]]:
    """Destinations of a state with the logit of the best token that leads there."""
    if row is None:
        after = tokens.next(state, committed)
        return [] if after is None else [(after, 0.0)]
    lifted = tokens.lift(state)
    sets = [tokens.vocabulary.token_sets[s] for s in lifted.sets.tolist()]
    if not sets:
        return []
    starts = np.cumsum([0, *map(len, sets[:-1])])
    best = np.maximum.reduceat(row[np.concatenate(sets)], starts)
    return list(zip(lifted.destinations.tolist(), best.tolist(), strict=True))


def _fewest(tokens: TokenAutomaton, state: int) -> int:
    """A lower bound of the tokens that finish from `state`."""
    return math.ceil(tokens.automaton.min_bytes(state) / tokens.vocabulary.max_token_bytes)
