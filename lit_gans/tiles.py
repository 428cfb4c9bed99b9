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
    least: int = 1,
    tile: int | None = None,
    overlap: int | None = None,
    canvas: Tensor | None = None,
) -> Tensor:
    """The network's output for images of any size.

    Images whose sides the network does not take are continued by their last row and column, and the output is cut. In
    the middle half of their overlap one tile fades into the next. Tiles give what the whole image would if the network
    sees no further than a quarter of the overlap; one that normalises over the image does so over each tile. They begin
    at multiples of `multiple`, that its strides fall on the same pixels, unless it is so large that it is above the
    overlap: such a network sees further anyway.

    Beside images and output, memory holds one tile at a time; of images in bytes it alone becomes floats.

    Args:
        network: From (N, C, h, w) to (N, channels, scale * h, scale * w), in [-1, 1].
        images: (N, C, H, W), float in [-1, 1] or uint8.
        channels: Of the output.
        scale: How much larger the output is.
        multiple: What divides the sides of the network's inputs.
        least: Their smallest side.
        tile: Side of the tiles in pixels of the input; None for the whole image at once.
        overlap: Of neighbouring tiles, in pixels of the input; None for an eighth of a tile.
        canvas: Where the output is put, (N, channels, scale * H, scale * W), float in [-1, 1] or uint8; by default a
            new one like the images.

    Raises:
        UserError: tiles do not go beyond their overlap, or are smaller than what the network takes.
    """
    height, width = images.shape[2:]
    overlap = (tile or 0) // 8 if overlap is None else overlap
    at_least(0, overlap=overlap)
    if tile is not None:
        at_least(max(multiple, least), tile=tile)
    if tile is not None and tile <= 2 * overlap:
        raise UserError(f"tiles of {tile} pixels must be larger than twice their overlap of {overlap}")
    if canvas is None:
        canvas = images.new_empty(len(images), channels, scale * height, scale * width)
    if not len(images):  # of which some layers make nonsense
        return canvas
    grid = multiple if multiple <= overlap else 1
    columns = list(spans(width, tile, overlap, grid))
    ends = [*(left for left, _ in columns[1:]), width]
    for top, bottom in spans(height, tile, overlap, grid):
        edge = None  # of the tile before, where this one begins
        for (left, right), end in zip(columns, ends, strict=True):
            piece = continued(floats(images[:, :, top:bottom, left:right]), multiple, least)
            made = network(piece)[:, :, : scale * (bottom - top), : scale * (right - left)]
            if edge is not None:
                inside = edge.shape[3]
                faded = edge.lerp(made[..., :inside], fade(inside, left, inside).to(made))
                made = torch.cat([faded, made[..., inside:]], dim=3)
            ready = scale * (end - left)
            edge = made[..., ready : ready + scale * overlap]
            place = canvas[:, :, scale * top : scale * bottom, scale * left : scale * end]
            put(place, made[..., :ready], fade(made.shape[2], top, scale * overlap)[:, None])
    return canvas


def floats(images: Tensor) -> Tensor:
    """Bytes to float32 in [-1, 1]; floats are what they were."""
    return images / 127.5 - 1 if images.dtype == torch.uint8 else images


def continued(images: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Images (N, C, H, W) with their last row and column repeated until their sides are multiples, and large enough."""
    grown = [-max(side, least) // multiple * -multiple - side for side in images.shape[2:]]
    return pad(images, (0, grown[1], 0, grown[0]), mode="replicate")


def put(place: Tensor, made: Tensor, weight: Tensor) -> None:
    """Fades a tile, in [-1, 1], into what is at its place; where its weight is one, that may be anything."""
    weight, in_floats = weight.to(made), place.is_floating_point()
    levels = made if in_floats else (made.clamp(-1, 1) + 1) * 127.5
    before = torch.where(weight < 1, place.to(levels), 0)
    mixed = before + weight * (levels - before)
    place.copy_(mixed if in_floats else mixed.round())


def spans(length: int, tile: int | None, overlap: int, grid: int) -> Iterator[tuple[int, int]]:
    """Where tiles along a side begin, at multiples of `grid`, and end; the last may be up to `grid - 1` shorter."""
    if tile is None or length <= tile:
        yield 0, length
        return
    step = (tile - overlap) // grid * grid
    for start in range(0, length - tile + step, step):
        start = min(start, -(-(length - tile) // grid) * grid)
        yield start, min(start + tile, length)


def fade(length: int, start: int, overlap: int) -> Tensor:
    """Weights (length,) of a tile over those before it: one, but for a ramp in the overlap with a tile before it."""
    if not start or not overlap:
        return torch.ones(length)
    return ((torch.arange(length) + 0.5 - overlap / 4) / (overlap / 2)).clamp(0, 1)
