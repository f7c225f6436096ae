"""Schedulers: which open positions commit in this step. One algorithm per file."""

from ctrlgen.schedulers.base import Proposal, Scheduler
from ctrlgen.schedulers.entropy_bound import EntropyBound
from ctrlgen.schedulers.low_confidence import LowConfidence
from ctrlgen.schedulers.threshold import Threshold

__all__ = ["EntropyBound", "LowConfidence", "Proposal", "Scheduler", "Threshold"]
