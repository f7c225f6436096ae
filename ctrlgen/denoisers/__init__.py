"""Denoisers: who predicts. The embedded model, and any masked diffusion model of transformers."""

from ctrlgen.denoisers.base import Denoiser
from ctrlgen.denoisers.transformers import TransformersDenoiser, load

__all__ = ["Denoiser", "TransformersDenoiser", "load"]
