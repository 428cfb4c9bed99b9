"""Callbacks that observe a run: checkpoints, sample grids, galleries, cost, curves."""

from lit_gans.callbacks.checkpoint import Checkpoint
from lit_gans.callbacks.cost import Cost
from lit_gans.callbacks.gallery import Gallery
from lit_gans.callbacks.monitor import Curves
from lit_gans.callbacks.progress import Progress
from lit_gans.callbacks.samples import SampleGrid

__all__ = ["Checkpoint", "Cost", "Curves", "Gallery", "Progress", "SampleGrid"]
