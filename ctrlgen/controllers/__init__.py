"""Controllers: what steers a denoising step before anything is committed."""

from ctrlgen.controllers.base import Controller
from ctrlgen.controllers.classifier_guidance import ClassifierGuidance
from ctrlgen.controllers.classifiers import Classifier, SequenceClassifier, TextClassifier
from ctrlgen.controllers.constraint import ConstraintController
from ctrlgen.controllers.fields import Region, regions

__all__ = [
    "Classifier",
    "ClassifierGuidance",
    "ConstraintController",
    "Controller",
    "Region",
    "SequenceClassifier",
    "TextClassifier",
    "regions",
]
