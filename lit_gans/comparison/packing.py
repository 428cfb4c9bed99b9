"""Runs and their pictures made small enough for a page of hundreds of them."""

import math
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lit_gans.comparison.runs import Run

POINTS, NUMBERS = 300, 700_000
"""At most so many points of one curve, and values of all curves."""

COLUMNS = 60
"""At most so many logged names, those of most runs."""

TIMES, PICTURES = 12, 400
"""At most so many pictures of one variant, and about so many in all."""

PICTURE_BYTES = 5_000_000
"""Of all pictures together, before base64."""

SIDE = 448
"""Pixels of the longer side of a picture."""


def columns_of(runs: Sequence[Run], metric: str) -> list[str]:
    """Names that can be looked at: the metric first, then by name; the rarest are left out if there are too many."""
    found = Counter(name for run in runs for name in run.columns if name not in ("kimg", "step"))
    common = sorted(found, key=lambda name: (name != metric, -found[name], name))[:COLUMNS]
    return sorted(common, key=lambda name: (name != metric, name))


def points_of(runs: Sequence[Run], columns: Sequence[str]) -> int:
    """Points for each curve, so that all of them stay within `NUMBERS`."""
    curves = sum(name in run.columns for run in runs for name in columns)
    return max(20, min(POINTS, NUMBERS // max(1, curves)))


def packed(run: Run, columns: Sequence[str], points: int) -> dict[str, Any]:
    """The curves of a run over kimg.

    Returns:
        `xs`: lists of kimg; `series`: place in `columns` to the place in `xs` and the values.
    """
    xs: dict[tuple[float, ...], int] = {}
    series = {}
    for place, name in enumerate(columns):
        x, y = run.series(name)
        if len(y):
            kept = thinned(y, points)
            kimg = tuple(rounded(x[kept], 7))
            series[place] = [xs.setdefault(kimg, len(xs)), rounded(y[kept], 5)]
    return {"xs": list(xs), "series": series}


def thinned(values: np.ndarray, points: int) -> np.ndarray:
    """Places of at most `points` values, among them the first, the last, and the extremes of equal stretches."""
    count = len(values)
    if count <= points:
        return np.arange(count)
    stretches = points // 2 - 1
    width = -(-count // stretches)
    padded = np.concatenate([values, np.full(stretches * width - count, values[-1])]).reshape(stretches, width)
    starts = np.arange(stretches) * width
    kept = np.concatenate([[0], starts + padded.argmin(1), starts + padded.argmax(1), [count - 1]])
    return np.unique(np.minimum(kept, count - 1))


def rounded(values: np.ndarray, digits: int) -> list[float]:
    """To so many significant digits."""
    return [float(f"{value:.{digits}g}") for value in values.tolist()]


def chosen(pictures: Sequence[tuple[float, Path]], last: float, times: int) -> list[tuple[float, Path]]:
    """Pictures nearest to equally spaced times from 0 to `last` kimg."""
    kimg = np.array([at for at, _ in pictures])
    nearest = {int(np.abs(kimg - time).argmin()) for time in np.linspace(0, last, times)}
    return [pictures[place] for place in sorted(nearest)]


def thumbnail(path: Path, largest: int) -> str:
    """An image file as the `data:` URI of a small copy of at most about `largest` bytes.

    Raises:
        OSError: it is no image.
    """
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise OSError(str(error)) from error
    side = min(SIDE, 2 * math.sqrt(largest))  # about a quarter of a byte for each pixel
    while True:
        image.thumbnail((side, side))
        file = BytesIO()
        image.save(file, "WEBP", quality=75, method=2)
        if file.tell() <= largest or side < 64:
            return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
        side *= 0.95 * math.sqrt(largest / file.tell())
