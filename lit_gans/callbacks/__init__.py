"""Callbacks that observe a run: checkpoints, sample grids, throughput, curves."""

from lit_gans.callbacks.checkpoint import Checkpoint
from lit_gans.callbacks.monitor import Curves, Throughput
from lit_gans.callbacks.progress import Progress
from lit_gans.callbacks.samples import SampleGrid

__all__ = ["Checkpoint", "Curves", "Progress", "SampleGrid", "Throughput"]
