"""Callbacks that observe a run: checkpoints, sample grids, galleries, throughput, curves."""

from lit_gans.callbacks.checkpoint import Checkpoint
from lit_gans.callbacks.gallery import Gallery
from lit_gans.callbacks.monitor import Curves, Throughput
from lit_gans.callbacks.progress import Progress
from lit_gans.callbacks.samples import SampleGrid

__all__ = ["Checkpoint", "Curves", "Gallery", "Progress", "SampleGrid", "Throughput"]
