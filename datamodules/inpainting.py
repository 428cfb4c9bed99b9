"""Images with holes."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from datamodules.cache import Shape
from datamodules.image_folder import ImageFolder
from datamodules.masks import MASKS, Mask, uniform
from datamodules.pairs import Pair, PairData, Pairs, check_channels
from datamodules.photographs import patches, photographs
from datamodules.sources import name_of
from datamodules.stream import as_floats
from lit_gans.errors import UserError, at_least


class Inpainting(PairData):
    """Images to be completed (context encoders, Pathak et al., 2016, arXiv:1604.07379).

    A source is its target with a hole, where it is 0, and has the mask as one channel more: 1 in the hole, -1 outside.
    In training each image has another hole each time; in evaluation it has the same one always. Images and splits are
    those of `ImageFolder`; without `root`, they are patches of the two photographs that come with scikit-learn: the
    third quarter of their columns is for test, the rest for training.

    Args:
        root: a folder or zip archive of images.
        image_size: height and width in pixels.
        channels: of a target: 3 for colour, 1 for grey.
        mask: the shape of holes: a "rectangle", or "strokes" of a brush.
        hole: least and largest share of an image that is a hole; drawn evenly.
        on_corrupt: a file that can't be decoded is an error that names it ("raise"), or is left out with a warning.
        **common: see `PairData`.

    Raises:
        UserError: `hole` is not two numbers between 0 and 1; see also `ImageFolder`.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        image_size: int = 64,
        channels: int = 3,
        mask: Literal["rectangle", "strokes"] = "rectangle",
        hole: tuple[float, float] = (0.1, 0.3),
        on_corrupt: Literal["raise", "skip"] = "raise",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        at_least(2, image_size=image_size)
        check_channels(root is None, channels=channels)
        self.root, self.image_size, self.channels = root, image_size, channels
        if not 0 < hole[0] <= hole[1] < 1:
            raise UserError(f"data.hole must be two numbers between 0 and 1, the smaller one first, not {[*hole]}")
        self.mask, self.hole, self.on_corrupt = mask, hole, on_corrupt
        self.name = "photographs" if root is None else name_of(root)

    @property
    def image_shape(self) -> Shape:
        """(channels, height, width) of a target."""
        return self.channels, self.image_size, self.image_size

    @property
    def source_shape(self) -> Shape:
        """(channels, height, width) of a source, which has the mask besides."""
        return self.channels + 1, self.image_size, self.image_size

    def targets(self, split: str) -> Tensor:
        """The whole images."""
        if self.root is None:
            return patches(photographs().values(), split, self.image_size)
        folder = ImageFolder(
            root=self.root,
            image_size=self.image_size,
            channels=self.channels,
            on_corrupt=self.on_corrupt,
            num_workers=self.num_workers,
        )
        return folder.split(split)[0]

    def load_pairs(self, split: str) -> "Holes":
        """The images with holes, and whole."""
        return Holes(self.split(split)[0], MASKS[self.mask], self.hole)


class Holes(Pairs):
    """Images with random holes, and whole.

    Args:
        images: uint8, (N, C, H, W), square.
        mask: draws a hole of a size.
        hole: least and largest share of the area.
    """

    def __init__(self, images: Tensor, mask: Mask, hole: tuple[float, float]) -> None:
        self.images, self.mask, self.hole = images.numpy(), mask, hole

    def __len__(self) -> int:
        return len(self.images)

    def pair(self, number: int, generator: torch.Generator) -> Pair:
        """An image with a hole and the mask, and the image."""
        target = as_floats(self.images[number])
        inside = self.mask(target.shape[-1], uniform(*self.hole, generator), generator)
        mask = np.where(inside, np.float32(1), np.float32(-1))
        return np.concatenate([np.where(inside, np.float32(0), target), mask[None]]), target
