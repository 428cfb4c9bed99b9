"""The worst and the best outputs of a validation, with their targets and values, as one picture."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2.functional import resize, to_pil_image

from lit_gans.metrics.score import Collected
from lit_gans.pictures import centred, levels, side_by_side

TILE = 192
"""Height and width of an image in the picture, in pixels."""

LINE = 20
"""Height of the line of text under the images, in pixels."""


class Tiles(NamedTuple):
    """Sources, outputs and targets side by side.

    Attributes:
        tile: (N, 3, TILE, 3 TILE), uint8.
        place: (N,), places in the sequence of all processes' images.
    """

    tile: Tensor
    place: Tensor


class Extremes(Collected):
    """The images of smallest and of largest value over all processes.

    Args:
        count: Number of each.
    """

    def __init__(self, count: int) -> None:
        super().__init__("tile")
        self.count = count
        self.kept: list[tuple[float, int]] = []
        self.tiles: dict[int, Tensor] = {}

    def reset(self) -> None:
        """Forgets them."""
        super().reset()
        self.kept, self.tiles = [], {}

    def offer(self, values: Sequence[float], start: int, *images: Tensor) -> None:
        """Takes those of source, output and target, (N, C, H, W) each, whose values are among the extreme so far.

        Args:
            values: Of the outputs.
            start: Place of the first.
            images: The batches.
        """
        for number, value in enumerate(values):
            rank = (value, start + number)
            if len(self.kept) < 2 * self.count or not self.kept[self.count - 1] < rank < self.kept[-self.count]:
                self.tiles[rank[1]] = tile(*(batch[number : number + 1] for batch in images))
                self.kept = sorted([*self.kept, rank])
                for _, place in self.kept[self.count : -self.count]:
                    del self.tiles[place]
                del self.kept[self.count : -self.count]

    def compute(self) -> tuple[Tensor, Tensor]:
        """Places (N,) and tiles (N, 3, TILE, 3 TILE) of the extremes of each process."""
        return self.collected("place"), self.collected("tile")

    def gather(self) -> dict[int, Tensor]:
        """The tiles by place, of all processes, which must all call this."""
        nothing = torch.empty(0, 3, TILE, 3 * TILE, dtype=torch.uint8)
        tiles = torch.cat([nothing, *(each[None] for each in self.tiles.values())])
        self.update(Tiles(tiles, torch.tensor(list(self.tiles), dtype=torch.long)))
        places, tiles = self.compute()
        return dict(zip(places.view(-1).tolist(), tiles.cpu(), strict=True))  # one place comes as a number


def tile(source: Tensor, fake: Tensor, real: Tensor) -> Tensor:
    """One source, output and target (1, C, H, W) side by side (3, TILE, 3 TILE), uint8, enlarged without blur."""
    return torch.cat([levels(_boxed(part))[0] for part in side_by_side(source, fake, real)], dim=-1)


def draw(worst: Sequence[int], best: Sequence[int], tiles: Mapping[int, Tensor], captions: Mapping[int, str]) -> Image:
    """A column of the worst, a column of the best, each with its caption below.

    Args:
        worst: Places, the worst first.
        best: As many, the best first.
        tiles: By place.
        captions: By place.
    """
    width, height, gap = 3 * TILE, TILE + LINE, 8
    picture = Image.new("RGB", (2 * width + 3 * gap, LINE + len(worst) * (height + gap) + gap), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for column, (title, places) in enumerate({"worst": worst, "best": best}.items()):
        left = gap + column * (width + gap)
        pen.text((left, 4), f"{title}: source, output, target", "black", font)
        for row, place in enumerate(places):
            top = LINE + gap + row * (height + gap)
            picture.paste(to_pil_image(tiles[place]), (left, top))
            pen.text((left, top + TILE + 2), captions[place], "black", font)
    return picture


def _boxed(images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    scale = TILE / max(height, width)
    if scale >= 2:
        images = images.repeat_interleave(int(scale), dim=2).repeat_interleave(int(scale), dim=3)
    elif scale < 1:
        size = [max(round(side * scale), 1) for side in (height, width)]
        images = resize(images, size, antialias=True).clamp(-1, 1)
    return centred(images, TILE, TILE)
