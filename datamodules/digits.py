"""Small handwritten digits that come with scikit-learn."""

from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from datamodules.base import ImageData


class Digits(ImageData):
    """1,797 grey digits of 8 x 8 pixels, installed with scikit-learn: no download, trains in seconds.

    297 of them, the same for every seed and with all classes in proportion, are the test split.

    Args:
        image_size: height and width in pixels.
        **common: see `ImageData`; `root` is not used.
    """

    name = "digits"
    channels = 1
    num_classes = 10

    def __init__(self, *, image_size: int = 8, **common: Any) -> None:
        super().__init__(image_size=image_size, **common)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Images with 0..16 stretched to 0..255, and labels 0..9."""
        digits = load_digits()
        parts = train_test_split(range(len(digits.target)), test_size=297, stratify=digits.target, random_state=0)
        chosen = torch.tensor(parts[split == "test"])
        images = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)
        return images[chosen].unsqueeze(1), torch.from_numpy(digits.target)[chosen]
