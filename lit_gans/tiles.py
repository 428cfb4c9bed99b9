"""Networks from images to images on pictures of any size, in memory that a tile bounds and not the picture."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from lit_gans.errors import UserError, at_least


def in_tiles(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    channels: int,
    scale: int = 1,
    multiple: int = 1,
    tile: int | None = None,
    overlap: int = 64,
    canvas: Tensor | None = None,
) -> Tensor:
    """The network's output for images of any size.

    Images whose sides `multiple` does not divide are continued by their last row and column, and the output is cut.
    In the middle half of their overlap one tile fades into the next. Tiles give what the whole image would if the
    network sees no further than a quarter of the overlap; one that normalises over the image does so over each tile.

    Args:
        network: From (N, C, h, w) to (N, channels, scale * h, scale * w), in [-1, 1].
        images: (N, C, H, W), in [-1, 1].
        channels: Of the output.
        scale: How much larger the output is.
        multiple: What the network's inputs must be divisible by.
        tile: Side of the tiles in pixels of the input; None for the whole image at once.
        overlap: Of neighbouring tiles, in pixels of the input.
        canvas: Where the output is put, (N, channels, scale * H, scale * W), float in [-1, 1] or uint8; by default a
            new one like the images.

    Raises:
        UserError: tiles do not go beyond their overlap.
    """
    height, width = images.shape[2:]
    at_least(0, overlap=overlap)
    if tile is not None and tile <= 2 * overlap:
        raise UserError(f"tiles of {tile} pixels must be larger than twice their overlap of {overlap}")
    if canvas is None:
        canvas = images.new_empty(len(images), channels, scale * height, scale * width)
    if not len(images):  # of which some layers make nonsense
        return canvas
    for top, bottom in spans(height, tile, overlap):
        strip = images.new_empty(len(images), channels, scale * (bottom - top), scale * width)
        for left, right in spans(width, tile, overlap):
            piece = images[:, :, top:bottom, left:right]
            grown = [-side % multiple for side in piece.shape[2:]]
            made = network(pad(piece, (0, grown[1], 0, grown[0]), mode="replicate"))
            made = made[:, :, : strip.shape[2], : scale * (right - left)]
            put(strip[..., scale * left : scale * right], made, fade(made.shape[3], left, overlap * scale))
        rows = fade(strip.shape[2], top, overlap * scale)
        put(canvas[:, :, scale * top : scale * bottom], strip, rows[:, None])
    return canvas


def put(place: Tensor, made: Tensor, weight: Tensor) -> None:
    """Fades a tile, in [-1, 1], into what is at its place; where its weight is one, that may be anything."""
    weight, floats = weight.to(made), place.is_floating_point()
    levels = made if floats else (made.clamp(-1, 1) + 1) * 127.5
    before = torch.where(weight < 1, place.to(levels), 0)
    mixed = before + weight * (levels - before)
    place.copy_(mixed if floats else mixed.round())


def spans(length: int, tile: int | None, overlap: int) -> Iterator[tuple[int, int]]:
    """Where tiles along a side begin and end; all but a single one are of the same length."""
    if tile is None or length <= tile:
        yield 0, length
        return
    step = tile - overlap
    for start in range(0, length - overlap, step):
        end = min(start + tile, length)
        yield end - tile, end


def fade(length: int, start: int, overlap: int) -> Tensor:
    """Weights (length,) of a tile over those before it: one, but for a ramp in the overlap with a tile before it."""
    if not start or not overlap:
        return torch.ones(length)
    return ((torch.arange(length) + 0.5 - overlap / 4) / (overlap / 2)).clamp(0, 1)
