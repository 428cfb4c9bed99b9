"""What all augmentations share."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from lit_gans.precision import full_precision, without_autocast
from lit_gans.randomness import Draw


class Augment(nn.Module):
    """What D sees instead of the images: a random, differentiable change of each image.

    The change of an image is a function of its own row of random numbers alone, on any device and in any batch.
    Gradients of any order flow through it, and nothing waits for the GPU.

    Attributes:
        numbers: How many random numbers an image needs.
    """

    numbers: ClassVar[int]

    def forward(self, images: Tensor, draw: Draw = torch.rand, kimg: float = 0.0) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to the same shape, in at least float32; values may leave [-1, 1].

        Args:
            images: Real or fake.
            draw: `draw(N, numbers)` gives numbers from U(0, 1); called once.
            kimg: Thousands of images seen, for schedules.
        """
        with without_autocast(images.device):
            images = full_precision(images)
            return self.change(images, draw(len(images), self.numbers).to(images), kimg)

    def change(self, images: Tensor, numbers: Tensor, kimg: float) -> Tensor:
        """The changed images, given numbers (N, `numbers`) from U(0, 1) of the same dtype."""
        raise NotImplementedError

    def observe(self, real_logits: Tensor) -> None:
        """Takes note of D's logits on augmented reals, of any shape."""

    def adapt(self, images: int) -> None:
        """Ends a batch, of that many images on all devices; buffers have been averaged over the devices before."""
