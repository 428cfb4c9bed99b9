"""Targets whose colours stand for classes: which colours, and of which class pixels are."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_gans.errors import UserError
from lit_gans.pictures import image_channels, levels

FLAT, SHARE, APART = 16, 3e-5, 32
"""What makes a colour that of a class: where it is, all of 3 x 3 pixels differ by no more levels; its share of such
pixels; and its distance to those of other classes. Compression and resizing add thousands of colours, of edges."""

NEAR, COVERED, MOST = 8, 0.7, 64
"""What makes images those of labels: this share of such pixels is so near to colours of classes, which are not more.

Of labels in JPEG files 0.86 and more were as near, of photographs 0.56 and less.
"""


def palette(targets: Iterable[Tensor], add_up: Callable[[Tensor], Tensor] = lambda counts: counts) -> Tensor:
    """The colours (K, 3) of classes in label images, uint8, the most frequent first.

    Args:
        targets: Batches (N, C, H, W), float in [-1, 1].
        add_up: Sums over all processes.

    Raises:
        UserError: there are fewer than two colours, so many that they are none of classes, or mostly others.
    """
    counts = torch.zeros(1 << 24, dtype=torch.long)  # of each colour
    for images in targets:
        if len(images) and min(images.shape[-2:]) >= 3:
            red, green, blue = flat_pixels(image_channels(levels(images), 3)).T
            counts += torch.bincount(red << 16 | green << 8 | blue, minlength=len(counts))
    counts = add_up(counts).cpu()
    codes = counts.nonzero().flatten()
    codes = codes[counts[codes].argsort(descending=True, stable=True)]
    shares = counts[codes] / counts.sum()
    colours = torch.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1).float()
    found = colours[:1]
    for colour in colours[shares >= SHARE]:
        if (found - colour).norm(dim=1).min() >= APART:
            found = torch.cat([found, colour[None]])
    near = shares[torch.cdist(colours, found).min(1).values <= NEAR].sum() if len(found) else 0.0
    if not 2 <= len(found) <= MOST or near < COVERED:
        raise UserError(
            f"the targets are no label images: {near:.0%} of their flat pixels are near to {len(found)} colours; leave "
            "--pairs.miou out"
        )
    return found.to(torch.uint8)


def flat_pixels(images: Tensor) -> Tensor:
    """The pixels (P, C), int64, of images (N, C, H, W), uint8, that look like all their neighbours."""
    values = images.float()
    span = F.max_pool2d(values, 3, 1) + F.max_pool2d(-values, 3, 1)
    return images[..., 1:-1, 1:-1].permute(0, 2, 3, 1)[span.amax(1) <= FLAT].long()


def classes(images: Tensor, colours: Tensor) -> Tensor:
    """Numbers (N, H, W) of the colours (K, 3) that are nearest to the pixels of images (N, C, H, W), both uint8."""
    pixels = image_channels(images, 3).permute(0, 2, 3, 1).float()
    return torch.stack([torch.cdist(image, colours.float().to(image)).argmin(-1) for image in pixels])
