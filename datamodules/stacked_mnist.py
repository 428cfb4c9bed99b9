"""Colour images of three digits, of which a GAN can miss many."""

import torch
from torch import Tensor

from datamodules.torchvision_sets import MNIST
from lit_gans.randomness import keyed_generator


class StackedMNIST(MNIST):
    """MNIST with three digits as the channels of each image: 1,000 classes, to count how many of them a GAN draws.

    Metz et al., 2017, arXiv:1611.02163, and VEEGAN, Srivastava et al., 2017, arXiv:1705.07761. Their triples are drawn
    at random; here image i has the i-th digits of three permutations of the split, the same for every seed. So each
    digit occurs once in each channel, and there are 60,000 images for training and 10,000 for test. The label is
    100 * first + 10 * second + third digit. Files are those of `MNIST`.

    Args:
        **common: see `MNIST`.
    """

    name = "stacked_mnist"
    channels = 3
    num_classes = 1000

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Three digits of the split in each image, already of the size wanted, and their labels 0..999."""
        digits, labels = MNIST(image_size=self.image_size, root=self.root, download=self.download).split(split)
        generators = [keyed_generator("stacked", split, channel) for channel in range(3)]
        triples = torch.stack([torch.randperm(len(digits), generator=generator) for generator in generators], dim=1)
        return digits[:, 0][triples], (labels[triples] * torch.tensor([100, 10, 1])).sum(1)
