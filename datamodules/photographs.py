"""Patches of two photographs that come with scikit-learn, and digits: data to try translation on without a download."""

from collections.abc import Iterable
from functools import cache
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_images
from torch import Tensor

from datamodules.digits import Digits
from lit_gans.errors import UserError
from lit_gans.randomness import keyed_generator

Motif = Literal["china", "flower"]
MOTIFS: tuple[Motif, ...] = ("china", "flower")
TEST = (320, 480)  # the columns of 640 that are for test: they show a part of the temple, of the flower, and behind


@cache
def photographs() -> dict[Motif, Tensor]:
    """A temple and a flower, uint8, (3, 427, 640)."""
    images = load_sample_images().images
    return {name: torch.tensor(image).permute(2, 0, 1).contiguous() for name, image in zip(MOTIFS, images, strict=True)}


@cache
def label_maps(colours: int = 12, radius: int = 3) -> dict[Motif, Tensor]:
    """The photographs in few flat colours, the same ones in both: uint8, (3, 427, 640).

    Args:
        colours: how many.
        radius: a pixel gets the colour that is the most frequent one among those at most so many pixels away.
    """
    both = Image.fromarray(np.concatenate(load_sample_images().images))
    flat = both.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    smooth = flat.filter(ImageFilter.ModeFilter(2 * radius + 1))
    maps = torch.tensor(np.asarray(smooth.convert("RGB"))).permute(2, 0, 1)
    return dict(zip(MOTIFS, maps.chunk(2, dim=1), strict=True))


def parts(photograph: Tensor, split: str) -> list[Tensor]:
    """Of a photograph (C, H, 640) the third quarter of its columns for "test", what is on both sides for "train"."""
    left, test, right = photograph.tensor_split(TEST, dim=2)
    return [test] if split == "test" else [left, right]


def patches(pictures: Iterable[Tensor], split: str, size: int) -> Tensor:
    """Squares (N, C, size, size) of the parts of photographs, in a fixed mixed order; side by side for "test".

    For "train" each overlaps the next by half.

    Raises:
        UserError: the squares are larger than a part.
    """
    if size > (most := TEST[1] - TEST[0]):
        raise UserError(f"the photographs of scikit-learn give patches of at most {most} pixels, not {size}")
    step = max(size // 2, 1) if split == "train" else size
    grids = [
        part.unfold(1, size, step).unfold(2, size, step).permute(1, 2, 0, 3, 4)
        for picture in pictures
        for part in parts(picture, split)
    ]
    squares = torch.cat([grid.flatten(0, 1) for grid in grids])
    return squares[torch.randperm(len(squares), generator=keyed_generator("mixed", split))]


def digits(split: str, side: str, size: int) -> Tensor:
    """Digits of scikit-learn, enlarged: uint8, (N, 3, size, size), of each class about as many.

    Those of "A" are light on black. Those of "B", which are others, are on patches of both photographs, as in MNIST-M
    (Ganin et al., 2016, arXiv:1505.07818, section 5.2.4): the absolute difference of digit and patch.

    Raises:
        UserError: the squares are larger than a part of a photograph.
    """
    drawn = Digits(image_size=size).split(split)[0]["AB".index(side) :: 2].expand(-1, 3, -1, -1)
    if side == "A":
        return drawn.contiguous()
    behind = patches(photographs().values(), split, size)
    behind = behind[torch.arange(len(drawn)) % len(behind)]
    return torch.maximum(drawn, behind) - torch.minimum(drawn, behind)
