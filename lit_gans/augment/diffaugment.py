"""DiffAugment, Zhao et al., 2020, arXiv:2006.10738."""

import torch
from torch import Tensor

from lit_gans.augment.base import Augment


def integers(numbers: Tensor, count: int) -> Tensor:
    """Numbers from U(0, 1) to whole ones, from 0 to `count - 1`."""
    return (numbers * count).long()


def shifted(images: Tensor, steps: Tensor) -> Tensor:
    """Moves each image by its own number of pixels (N,) along the width; zeros follow."""
    width = images.shape[3]
    source = torch.arange(width, device=images.device) - steps[:, None, None, None]
    return images.take_along_dim(source.clamp(0, width - 1), 3).masked_fill((source < 0) | (source >= width), 0)


def span(numbers: Tensor, size: int) -> Tensor:
    """Which of `size` pixels a cut of half of them covers (N, size); centred anywhere, so that it may reach out."""
    cut = size // 2
    start = integers(numbers, size + 1 - cut % 2) - cut // 2
    distance = torch.arange(size, device=numbers.device) - start[:, None]
    return (distance >= 0) & (distance < cut)


class DiffAugment(Augment):
    """Every image is changed in all the ways that are on (section 3.2; ranges and order of the published code).

    Grey images have no saturation to change.

    Args:
        color: Brightness plus -0.5 to 0.5, then saturation times 0 to 2, then contrast times 0.5 to 1.5, about the mean
            of the image.
        translation: By whole pixels, up to an eighth of the side, each way; zeros come in.
        cutout: A rectangle of half the sides becomes zero.
    """

    numbers = 7

    def __init__(self, *, color: bool = True, translation: bool = True, cutout: bool = True) -> None:
        super().__init__()
        self.color, self.translation, self.cutout = color, translation, cutout

    def change(self, images: Tensor, numbers: Tensor, kimg: float) -> Tensor:
        """The changed images (N, C, H, W), given numbers (N, 7)."""
        brightness, saturation, contrast = numbers[:, :3, None, None, None].unbind(1)
        down, right, row, column = numbers[:, 3:].unbind(1)
        height, width = images.shape[2:]
        if self.color:
            images = images + brightness - 0.5
            images = torch.lerp(images.mean(1, keepdim=True), images, 2 * saturation)
            images = torch.lerp(images.mean((1, 2, 3), keepdim=True), images, contrast + 0.5)
        if self.translation:
            far_right, far_down = (width + 4) // 8, (height + 4) // 8  # an eighth, rounded
            images = shifted(images, integers(right, 2 * far_right + 1) - far_right)
            images = shifted(images.mT, integers(down, 2 * far_down + 1) - far_down).mT
        if self.cutout:
            cut = span(row, height)[:, None, :, None] & span(column, width)[:, None, None, :]
            images = images.masked_fill(cut, 0)
        return images
