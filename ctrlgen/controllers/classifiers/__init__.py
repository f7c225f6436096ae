"""Classifiers of unfinished text, for guidance."""

from ctrlgen.controllers.classifiers.base import Classifier
from ctrlgen.controllers.classifiers.sequence import SequenceClassifier
from ctrlgen.controllers.classifiers.text import TextClassifier

__all__ = ["Classifier", "SequenceClassifier", "TextClassifier"]
