"""Search beyond the grammar: what a validator, a check or a score says of answers."""

from ctrlgen.search.again import checked, draw_again
from ctrlgen.search.beam import beam
from ctrlgen.search.population import Judge, Population, Verdict, judge_of
from ctrlgen.search.smc import smc

__all__ = [
    "Judge", "Population", "Verdict", "beam", "checked", "draw_again", "judge_of", "smc",
]  # fmt: skip
