"""Controllers: what steers a denoising step before anything is committed."""

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
    "regions",
]
