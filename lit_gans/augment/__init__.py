"""What D sees instead of the images: random, differentiable changes, one file per paper."""

from lit_gans.augment.ada import ADA
from lit_gans.augment.base import Augment
from lit_gans.augment.diffaugment import DiffAugment
from lit_gans.augment.flipshift import FlipShift

__all__ = ["ADA", "Augment", "DiffAugment", "FlipShift"]
