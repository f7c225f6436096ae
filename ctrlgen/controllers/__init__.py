"""Controllers: what steers a denoising step before anything is committed."""

from ctrlgen.controllers.base import Controller
from ctrlgen.controllers.constraint import ConstraintController

__all__ = ["ConstraintController", "Controller"]
