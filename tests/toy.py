"""Eight Gaussians on a ring, as images of one pixel with two channels; how far a model is from them."""

import math

import torch
from torch import Tensor

from datamodules import ImageData
from lit_gans.networks import MLPDiscriminator, MLPGenerator


class Gaussians(ImageData):
    """Points around eight places; the place is the label."""

    name, channels, num_classes = "gaussians", 2, 8

    def __init__(self, *, batch_size: int = 128, **common) -> None:
        super().__init__(image_size=1, batch_size=batch_size, **common)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        count = 8192 if split == "train" else 2048
        generator = torch.Generator().manual_seed(count)
        labels = torch.arange(count) % 8
        angles = labels * (math.pi / 4)
        points = 0.7 * torch.stack([angles.cos(), angles.sin()], 1) + 0.05 * torch.randn(count, 2, generator=generator)
        return points.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)[:, :, None, None], labels


def toy_generator(image_shape, num_classes=0, attention=0, spectral=False):
    return MLPGenerator(
        image_shape, num_classes, latent_dim=8, widths=(64, 64), slope=0.0, embedding_dim=8, spectral=spectral
    )


def toy_discriminator(image_shape, num_classes=0, attention=0, wide=False, spectral=False):
    return MLPDiscriminator(image_shape, num_classes, widths=(64, 64), embedding_dim=8, spectral=spectral)


def energy_distance(one: Tensor, other: Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| of two sets of points (N, D); 0 for equal distributions."""
    return (2 * torch.cdist(one, other).mean() - torch.cdist(one, one).mean() - torch.cdist(other, other).mean()).item()


def distance(model, data: ImageData) -> float:
    """From the averaged generator's images to those of the test split; with labels, the mean over classes."""
    images, labels = data.split("test")
    points = images.flatten(1).float() / 127.5 - 1
    generator = torch.Generator().manual_seed(0)
    if not model.num_classes:
        return energy_distance(model.sample(len(points), generator=generator).flatten(1), points)
    fakes = model.sample(len(points), labels, generator).flatten(1)
    distances = [energy_distance(fakes[labels == label], points[labels == label]) for label in range(data.num_classes)]
    return sum(distances) / len(distances)
