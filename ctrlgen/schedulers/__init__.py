"""Schedulers: which positions commit in this step, and which open again. One algorithm per file."""

from ctrlgen.schedulers.base import Committed, Proposal, Scheduler
from ctrlgen.schedulers.constrained_marginals import ConstrainedMarginals
from ctrlgen.schedulers.entropy_bound import EntropyBound
from ctrlgen.schedulers.factor import Factor
from ctrlgen.schedulers.info_gain import InfoGain
from ctrlgen.schedulers.klass import Klass
from ctrlgen.schedulers.low_confidence import LowConfidence
from ctrlgen.schedulers.prophet import Prophet
from ctrlgen.schedulers.rcr import RunningConfidence
from ctrlgen.schedulers.remdm import RemaskLoop
from ctrlgen.schedulers.saber import Saber
from ctrlgen.schedulers.threshold import Threshold
from ctrlgen.schedulers.token_editing import TokenEditing
from ctrlgen.schedulers.tracelock import TraceLock
from ctrlgen.schedulers.wino import Wino

__all__ = [
    "Committed",
    "ConstrainedMarginals",
    "EntropyBound",
    "Factor",
    "InfoGain",
    "Klass",
    "LowConfidence",
    "Prophet",
    "Proposal",
    "RemaskLoop",
    "RunningConfidence",
    "Saber",
    "Scheduler",
    "Threshold",
    "TokenEditing",
    "TraceLock",
    "Wino",
]
