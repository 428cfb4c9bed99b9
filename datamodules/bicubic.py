"""Smaller images, as the literature on super-resolution makes them."""

from functools import lru_cache

import numpy as np


def matlab_bicubic(image: np.ndarray, scale: int) -> np.ndarray:
    """An image, uint8 (..., H, W), at `1 / scale` of its height and width, as MATLAB's `imresize` makes it.

    Keys' cubic kernel with a = -0.5, stretched by `scale` against aliasing; the image goes on beyond its border as in a
    mirror (PIL, whose kernel is the same, cuts the kernel off there instead, and rounds to bytes between rows and
    columns). Computed in double precision and rounded once, halves up, as of an image that was read by `im2double`; of
    bytes MATLAB rounds in between too, which moves some values by one.
    """
    rows, columns = (weights(length, scale) for length in image.shape[-2:])
    small = rows @ image.astype(np.float64) @ columns.T
    return np.floor(small + 0.5).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=16)
def weights(length: int, scale: int) -> np.ndarray:
    """How much of each of `length` pixels is in each of `length // scale`; each of the latter has a row."""
    short = length // scale
    centres = (np.arange(short) + 0.5) * scale - 0.5
    reach = 2 * scale
    taps = np.floor(centres).astype(int)[:, None] + np.arange(1 - reach, reach + 1)
    values = cubic((centres[:, None] - taps) / scale)
    values /= values.sum(1, keepdims=True)
    mirrored = taps % (2 * length)
    mirrored = np.minimum(mirrored, 2 * length - 1 - mirrored)
    matrix = np.zeros((short, length))
    np.add.at(matrix, (np.arange(short)[:, None], mirrored), values)
    return matrix


def cubic(x: np.ndarray) -> np.ndarray:
    """The kernel of Keys, 1981, "Cubic convolution interpolation for digital image processing", with a = -0.5."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
