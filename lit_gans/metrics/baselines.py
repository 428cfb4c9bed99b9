"""Outputs of image-to-image tasks without a model: what one has to be better than."""

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from lit_gans.pictures import image_channels, levels

BASELINES = {
    "bicubic": "the source, enlarged by cubic convolution with a = -0.5",
    "copy": "the source",
    "mean": "the mean of the first 10000 training targets",
}
"""Their names, and what they are."""


class Baselines:
    """Makes the baselines that can be had for sources and targets.

    Args:
        data: `reference_dataloader("train").images` are the training targets, uint8 (N, C, H, W); None if there are no
            such data.
    """

    def __init__(self, data: LightningDataModule | None) -> None:
        self.data = data
        self._mean: Tensor | None = None

    def __call__(self, source: Tensor, real: Tensor) -> dict[str, Tensor]:
        """8-bit images of the shape of `real`, by name.

        Args:
            source: (N, C, h, w), in [-1, 1].
            real: Targets (N, C, H, W), in [-1, 1].
        """
        picture, size, found = image_channels(source.float(), real.shape[1]), real.shape[-2:], {}
        if picture.shape == real.shape:
            found["copy"] = levels(picture)
        elif picture.shape[1] == real.shape[1] and picture.shape[-2] < size[0] and picture.shape[-1] < size[1]:
            found["bicubic"] = levels(resize(picture, list(size), InterpolationMode.BICUBIC, antialias=True))
        if picture.shape[-2:] == size and self.mean().shape == real.shape[1:]:
            found["mean"] = self.mean().to(real.device).expand(real.shape)
        return found

    def mean(self) -> Tensor:
        """The mean training target (C, H, W), uint8; empty where there are none of one size."""
        if self._mean is None:
            self._mean = torch.empty(0)
            loader = self.data.reference_dataloader("train") if hasattr(self.data, "reference_dataloader") else None
            images = getattr(loader, "images", None)
            if isinstance(images, Tensor) and len(images):
                parts = images[:10_000].split(256)
                total = sum(part.sum(0, dtype=torch.long) for part in parts)
                self._mean = (total.double() / sum(map(len, parts))).round().to(torch.uint8)
        return self._mean
