"""The change of images under which consistency is asked for."""

import torch
from torch import Tensor

from lit_gans.augment.base import Augment
from lit_gans.augment.diffaugment import integers


class FlipShift(Augment):
    """Mirrored in half of the cases, and moved by whole pixels, up to `ratio` of the side (CR, arXiv:1910.12027).

    Beyond the borders the image is reflected.

    Args:
        ratio: Largest shift as a share of the image's side, each way; at most 1.
    """

    numbers = 3

    def __init__(self, *, ratio: float = 0.125) -> None:
        super().__init__()
        self.ratio = ratio

    def change(self, images: Tensor, numbers: Tensor, kimg: float) -> Tensor:
        """The changed images (N, C, H, W), given numbers (N, 3)."""
        flip, down, right = numbers.unbind(1)
        rows, columns = (self.places(shift, size) for shift, size in zip((down, right), images.shape[2:], strict=True))
        columns = torch.where(flip[:, None] < 0.5, columns.flip(1), columns)
        return images.take_along_dim(rows[:, None, :, None], 2).take_along_dim(columns[:, None, None, :], 3)

    def places(self, numbers: Tensor, size: int) -> Tensor:
        """For each of `size` pixels the one that comes to lie there, (N, size)."""
        most = int(self.ratio * size)
        source = torch.arange(size, device=numbers.device) - (integers(numbers, 2 * most + 1) - most)[:, None]
        return (size - 1) - ((size - 1) - source.abs()).abs()
