"""Random holes in images: bool, (size, size), True inside, of a share of the area that is asked for."""

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw

Mask = Callable[[int, float, torch.Generator], np.ndarray]
BRUSH = (0.08, 0.16)  # widths of strokes, as shares of the side
LENGTH = 0.4  # of the longest line of a stroke, likewise
LINES = 6  # of the longest stroke


def rectangle(size: int, share: float, generator: torch.Generator) -> np.ndarray:
    """A rectangle anywhere inside, its height from a half to twice its width as far as the image allows."""
    most = min(1, -math.log2(share))
    height = math.sqrt(share * 2 ** uniform(-most, most, generator))
    sides = [min(max(round(side * size), 1), size) for side in (height, share / height)]
    top, left = (int(torch.randint(size - side + 1, (), generator=generator)) for side in sides)
    hole = np.zeros((size, size), dtype=bool)
    hole[top : top + sides[0], left : left + sides[1]] = True
    return hole


def strokes(size: int, share: float, generator: torch.Generator) -> np.ndarray:
    """Strokes of a brush that turn this way and that, the last one cut short; after Yu et al., arXiv:1806.03589."""
    picture = Image.new("L", (size, size))
    pen = ImageDraw.Draw(picture)
    lines = 0
    while (hole := np.asarray(picture) > 0).mean() < share:
        if lines == 0:
            lines = 1 + int(uniform(0, LINES, generator))
            x, y, angle = (uniform(0, most, generator) for most in (size, size, 2 * math.pi))
            radius = max(uniform(*BRUSH, generator) * size / 2, 0.5)
        angle += uniform(math.pi / 4, 3 * math.pi / 4, generator) * (-1) ** lines
        length, start = uniform(0, LENGTH, generator) * size, (x, y)
        x, y = (min(max(place + length * turn(angle), 0), size - 1) for place, turn in ((x, math.cos), (y, math.sin)))
        pen.line((*start, x, y), fill=255, width=max(round(2 * radius), 1))
        for across, down in (start, (x, y)):
            pen.ellipse((across - radius, down - radius, across + radius, down + radius), fill=255)
        lines -= 1
    return hole


def uniform(least: float, most: float, generator: torch.Generator) -> float:
    """A number between two."""
    return least + (most - least) * torch.rand((), generator=generator).item()


MASKS: dict[str, Mask] = {"rectangle": rectangle, "strokes": strokes}
