"""Grounding: a string that is nearly a phrase of the prompt becomes that phrase.

A model that predicts positions independently tears phrases apart: `Cross Curbells` for `Cross
Currents`. Every phrase of the prompt is scored as a filling of the slot, by the same
log-probabilities as the most probable filling, and takes its place if it comes close enough. Only
strings, and the texts of regular expressions, are grounded, never whether there is one; what the
grammar refuses is not proposed.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np

from ctrlgen.canvas import Canvas, Scaffold
from ctrlgen.canvas.parts import OPEN, Gap
from ctrlgen.constraints.atoms import NEVER, Ints
from ctrlgen.constraints.posterior import Posterior
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.controllers.constraint import take
from ctrlgen.controllers.proposer import Posteriors, propose_each

WORDS = re.compile(r"\w+|[^\w\s]")
WORDS_OF_A_PHRASE = 12
TRIES = 30
"""So many of the likeliest phrases are tried against the grammar."""
PROMPTS = 64
"""Prompts whose phrases are kept, by scaffold."""
DOUBT = 0.5
"""What is left of the confidence of a text that stands in another slot too."""
LONGEST_PROMPT = 4_000
"""Words of a prompt beyond which only its end is searched."""


_Key = tuple[tuple[int, ...], int, bool]
_PHRASES: WeakKeyDictionary[Scaffold, OrderedDict[_Key, Phrases]]
_PHRASES = WeakKeyDictionary()


@dataclass(frozen=True)
class Grounded:
    """A proposer that prefers phrases of the prompt.

    Args:
        bonus: How many nats less likely than the best filling a phrase may be.
        words: Most words of a phrase.
    """

    bonus: float = 4.0
    words: int = WORDS_OF_A_PHRASE

    def __call__(
        self, canvas: Canvas, posteriors: Posteriors, temperature: float, rng: np.random.Generator
    ) -> None:
        """The most probable filling, or the phrase in its place; draws are left as they are."""
        propose_each(canvas, posteriors, temperature, rng)
        if temperature > 0:
            return
        vocabulary = canvas.scaffold.constraint.vocabulary
        strings = [(gap, p) for gap, p in posteriors if _is_string(gap, vocabulary)]
        texts = [(gap, p) for gap, p in posteriors if gap.kind == "text"]
        for gap, posterior in strings + texts:
            phrases = phrases_in(canvas, self.words, quoted=gap.kind != "text")
            found = self._phrase(gap, posterior, phrases)
            if found is not None:
                take(gap, posterior, found)
        _doubt_twins([gap for gap, _ in strings])

    def _phrase(self, gap: Gap, posterior: Posterior, phrases: Phrases) -> Ints | None:
        """The likeliest phrase that comes close enough and is valid."""
        rows, at = posterior.log_probs, np.arange(gap.length)
        open_ = gap.committed == OPEN
        fillings = phrases.fillings(gap)
        scores = np.where(open_, rows.at(at, fillings), 0.0).sum(axis=1)
        scores[((fillings != gap.committed) & ~open_).any(axis=1)] = NEVER
        least = rows.at(at[open_], gap.witness[open_]).sum() - self.bonus
        for i in np.argsort(-scores, kind="stable")[:TRIES]:
            if scores[i] < least or scores[i] == NEVER:
                return None
            if Posterior(posterior.graph, rows, fillings[i]).feasible:
                chosen: Ints = fillings[i]
                return chosen
        return None


def phrases_in(canvas: Canvas, words: int = WORDS_OF_A_PHRASE, *, quoted: bool = True) -> Phrases:
    """The phrases of the prompt of a canvas, as they were found before if they were.

    Args:
        canvas: The canvas.
        words: Most words of a phrase.
        quoted: Whether they are JSON strings.
    """
    scaffold = canvas.scaffold
    known = _PHRASES.setdefault(scaffold, OrderedDict())
    key = (tuple(canvas.prompt), words, quoted)
    if key not in known:
        vocabulary = scaffold.constraint.vocabulary
        known[key] = phrases_of(key[0], vocabulary, scaffold.encode, words, quoted)
        if len(known) > PROMPTS:
            known.popitem(last=False)
    return known[key]


def _doubt_twins(gaps: list[Gap]) -> None:
    """Lower the confidence of a text that stands in several slots at once, but for the surest.

    Slots are predicted independently: each may be unsure whether the phrase belongs there, and none
    knows of the others. Those that wait for the next pass see where it went.
    """
    holders: dict[tuple[int, ...], list[Gap]] = {}
    for gap in gaps:
        if gap.untouched:
            text = tuple(t for t in gap.witness.tolist() if t != gap.slack.fill_token_id)
            holders.setdefault(text, []).append(gap)
    for twins in holders.values():
        for gap in sorted(twins, key=lambda g: -float(g.confidence.min()))[1:]:
            gap.confidence = gap.confidence * DOUBT


def _is_string(gap: Gap, vocabulary: Vocabulary) -> bool:
    """Whether the witness of a slot is a JSON string."""
    if gap.kind in ("fork", "text") or not gap.length:
        return False
    return (vocabulary.tokens[gap.witness[0]] or b"").startswith(b'"')


@dataclass(frozen=True, eq=False)
class Phrases:
    """Phrases of a prompt, as JSON strings or as they are.

    Args:
        tokens: Their tokens, -1 behind the end; (phrases, longest).
        lengths: Tokens of each, (phrases,).
        laid: Fillings made so far, by length and fill token.
    """

    tokens: Ints
    lengths: Ints
    laid: dict[tuple[int, int], Ints] = field(default_factory=dict, init=False)

    def fillings(self, gap: Gap) -> Ints:
        """Those that fit a gap, with fill behind them; (some, length)."""
        key = (gap.length, gap.slack.fill_token_id)
        if key not in self.laid:
            self.laid[key] = self._lay(*key)
        return self.laid[key]

    def of_length(self, length: int) -> Ints:
        """Those of just so many tokens, (some, length)."""
        fit = self.tokens[self.lengths == length]
        return fit[:, :length] if len(fit) else np.zeros((0, length), dtype=np.int64)

    def _lay(self, length: int, fill: int) -> Ints:
        fit = self.tokens[self.lengths <= length][:, :length]
        missing = length - fit.shape[1]
        out = np.pad(fit, ((0, 0), (0, max(0, missing))), constant_values=-1)
        return np.where(out < 0, fill, out)


def phrases_of(
    prompt: tuple[int, ...], vocabulary: Vocabulary, encode: Callable[[str], list[int]], words: int,
    quoted: bool = True,
) -> Phrases:  # fmt: skip
    """All phrases of up to `words` words, each once, in JSON's quotes if wanted."""
    spelled = dict.fromkeys(_spans(prompt, vocabulary, words))
    tokens = [encode(json.dumps(p, ensure_ascii=False) if quoted else p) for p in spelled]
    longest = max(map(len, tokens), default=0)
    table = np.full((len(tokens), longest), -1, dtype=np.int64)
    for row, each in zip(table, tokens, strict=True):
        row[: len(each)] = each
    return Phrases(table, np.array([len(each) for each in tokens], dtype=np.int64))


def _spans(prompt: tuple[int, ...], vocabulary: Vocabulary, words: int) -> Iterator[str]:
    """Stretches from the start of one word to the end of another, within a turn."""
    turns: list[bytes] = [b""]
    for token in prompt:
        piece = vocabulary.tokens[token]
        if piece is None:
            turns.append(b"")
        else:
            turns[-1] += piece
    left = LONGEST_PROMPT
    for turn in reversed(turns):
        text = turn.decode(errors="replace")
        found = list(WORDS.finditer(text))[-left:] if left > 0 else []
        left -= len(found)
        for i, first in enumerate(found):
            for last in found[i : i + words]:
                yield text[first.start() : last.end()]
