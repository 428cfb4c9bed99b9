"""What several networks share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lit_gans.errors import UserError

ImageShape = tuple[int, int, int]
"""Channels, height and width of an image."""


class Generator(nn.Module):
    """Latents (N, latent_dim), standard normal, and labels (N,) to images (N, C, H, W) in [-1, 1].

    Attributes:
        image_shape: (C, H, W) of the images made.
        num_classes: Labels go from 0 to `num_classes - 1`; 0 for a network without labels.
        latent_dim: Length of the latent vector.
    """

    image_shape: ImageShape
    num_classes: int
    latent_dim: int


class Discriminator(nn.Module):
    """Images (N, C, H, W) and labels (N,) to logits (N,); never ends in a sigmoid.

    Attributes:
        image_shape: (C, H, W) of the images judged.
        num_classes: Labels go from 0 to `num_classes - 1`; 0 for a network without labels.
    """

    image_shape: ImageShape
    num_classes: int


GeneratorFactory = Callable[[ImageShape, int], Generator]
"""Builds a generator for images of a shape, and a number of classes (0: without labels)."""

DiscriminatorFactory = Callable[[ImageShape, int], Discriminator]
"""Builds a discriminator from the same."""


class LabelEmbedding(nn.Module):
    """A learned vector for each class, concatenated to the features of its sample (cGAN, arXiv:1411.1784, section 3).

    Args:
        num_classes: Labels go from 0 to `num_classes - 1`; with 0 classes features pass unchanged.
        dim: Length of the vector.
    """

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.dim = dim if num_classes else 0
        self.embedding = nn.Embedding(num_classes, dim) if num_classes else None

    def forward(self, features: Tensor, label: Tensor | None) -> Tensor:
        """(N, F) and labels (N,) to (N, F + dim).

        Raises:
            UserError: the network was built with classes, and no label is given.
        """
        if self.embedding is None:
            return features
        if label is None:
            raise UserError("this network was trained with labels: give one for each image")
        return torch.cat([features, self.embedding(label)], dim=1)


def halvings(image_shape: ImageShape) -> tuple[int, int]:
    """How often a square image can be halved before it is smaller than 8 pixels, and the size it has then (4 to 7).

    64, 32, 16 and 8 pixels end at 4; 28 and 56 at 7; 48 at 6.

    Raises:
        UserError: the image is not square, or its size is not 4, 5, 6 or 7 times a power of two.
    """
    _, height, width = image_shape
    size, times = height, 0
    while size % 2 == 0 and size >= 8:
        size, times = size // 2, times + 1
    if height != width or not 4 <= size < 8 or times == 0:
        raise UserError(
            f"a convolutional network halves its images down to 4 to 7 pixels, which {height}x{width} does not allow: "
            f"use 28, 32, 64 or another size that is 4, 5, 6 or 7 times a power of two (--data.image_size)"
        )
    return times, size
