"""Controllers: what steers a denoising step before anything is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrlgen.lazy import exports

if TYPE_CHECKING:
    from ctrlgen.controllers.adaptive_masking import AdaptiveMasking
    from ctrlgen.controllers.autoregressive_check import AutoregressiveCheck
    from ctrlgen.controllers.base import BatchController, Controller
    from ctrlgen.controllers.causal import CausalReader
    from ctrlgen.controllers.classifier_free import ClassifierFree
    from ctrlgen.controllers.classifier_guidance import ClassifierGuidance
    from ctrlgen.controllers.classifiers import Classifier, SequenceClassifier, TextClassifier
    from ctrlgen.controllers.constraint import ConstraintController
    from ctrlgen.controllers.energy_resampling import EnergyResampling
    from ctrlgen.controllers.fields import Region, regions
    from ctrlgen.controllers.proposer import Proposer
    from ctrlgen.controllers.trace_credit import TraceCredit

# Where each name lives. They are imported when first used, so that the constraint, which every
# run needs, does not wait for the torch that some controllers need.
_HOME = {
    "AdaptiveMasking": "adaptive_masking",
    "AutoregressiveCheck": "autoregressive_check",
    "BatchController": "base",
    "CausalReader": "causal",
    "Classifier": "classifiers",
    "ClassifierFree": "classifier_free",
    "ClassifierGuidance": "classifier_guidance",
    "ConstraintController": "constraint",
    "Controller": "base",
    "EnergyResampling": "energy_resampling",
    "Proposer": "proposer",
    "Region": "fields",
    "SequenceClassifier": "classifiers",
    "TextClassifier": "classifiers",
    "TraceCredit": "trace_credit",
    "regions": "fields",
}

__all__ = [
    "AdaptiveMasking",
    "AutoregressiveCheck",
    "BatchController",
    "CausalReader",
    "Classifier",
    "ClassifierFree",
    "ClassifierGuidance",
    "ConstraintController",
    "Controller",
    "EnergyResampling",
    "Proposer",
    "Region",
    "SequenceClassifier",
    "TextClassifier",
    "TraceCredit",
    "regions",
]

__getattr__, __dir__ = exports(__name__, _HOME)
