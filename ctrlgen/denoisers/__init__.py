"""Denoisers: who predicts. The embedded model, and diffusion language models of transformers."""

from ctrlgen.denoisers.base import Denoiser
from ctrlgen.denoisers.checkpoints import load, wrapped
from ctrlgen.denoisers.diffusion_gemma import DiffusionGemmaDenoiser
from ctrlgen.denoisers.transformers import TransformersDenoiser

__all__ = ["Denoiser", "DiffusionGemmaDenoiser", "TransformersDenoiser", "load", "wrapped"]
