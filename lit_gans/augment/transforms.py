"""The changes that ADA is made of, each given its strength for every image."""

import math

import torch
from torch import Tensor

SYM6 = (
    *(0.015404109327, 0.003490712084, -0.117990111148, -0.048311742586, 0.491055941927, 0.787641141030),
    *(0.337929421728, -0.072637522786, -0.021060292512, 0.044724901770, 0.001767711864, -0.007800708325),
)
"""Low-pass filter of the least asymmetric wavelet with six vanishing moments (Daubechies, 1992, table 6.3)."""


def low_pass() -> Tensor:
    """SYM6 with sum one, (13,).

    A zero in front makes the heaviest tap the middle one, which is where the published code takes it to be.
    """
    taps = torch.tensor((0.0, *SYM6))
    return taps / taps.sum()


def halving(size: int, taps: Tensor) -> Tensor:
    """The matrix (size, 2 * size + 11) that filters a row and leaves out every other element: 2i + 6 becomes i."""
    columns = torch.arange(2 * size + 11, device=taps.device)
    tap = columns - 2 * torch.arange(size, device=taps.device)[:, None]
    return torch.where((tap >= 0) & (tap < len(taps)), taps[tap.clamp(0, len(taps) - 1)], 0.0)


def doubling(size: int, taps: Tensor) -> Tensor:
    """The matrix (4 * size - 4, size) that mirrors a row at its ends, doubles its resolution and filters it.

    The result is one period of the endless reflection; pixel i of the row becomes element 2i.
    """
    reach = torch.arange(-3, 2 * size + 1, device=taps.device)  # a period, and half the filter on each side
    mirrored = ((reach + size - 1) % (2 * size - 2) - (size - 1)).abs()
    pixels = torch.eye(size, dtype=taps.dtype, device=taps.device)
    return 2 * halving(len(reach), taps)[:, 12 : 4 * size + 8].T @ pixels[mirrored]


def bilinear(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Reads images (N, C, H, W), which repeat endlessly, at columns x and rows y (N, H', W'): (N, C, H', W').

    Not `grid_sample`: that cannot wrap around, and on GPUs its backward pass has no deterministic form.
    """
    channels, height, width = images.shape[1:]
    left, top = x.floor(), y.floor()
    share_x, share_y = (x - left).unsqueeze(1), (y - top).unsqueeze(1)
    left, top = left.long(), top.long()

    def corner(right: int, down: int) -> Tensor:
        place = (top + down) % height * width + (left + right) % width
        pixels = images.flatten(2).gather(2, place.flatten(1).unsqueeze(1).expand(-1, channels, -1))
        return pixels.unflatten(2, place.shape[1:])

    upper = torch.lerp(corner(0, 0), corner(1, 0), share_x)
    lower = torch.lerp(corner(0, 1), corner(1, 1), share_x)
    return torch.lerp(upper, lower, share_y)


def rotation(angle: Tensor) -> Tensor:
    """Rotation matrices (N, 2, 2) from angles (N,)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], 1).unflatten(1, (2, 2))


def flipped(images: Tensor, flip: Tensor) -> Tensor:
    """Swaps left and right of the images where `flip` (N,) is 1."""
    return torch.where(flip[:, None, None, None] == 1, images.flip(3), images)


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Turns square images by `turns` (N,) right angles."""
    turns = turns[:, None, None, None]
    images = torch.where(turns >= 2, images.flip(2, 3), images)
    return torch.where(turns % 2 == 1, images.rot90(1, (2, 3)), images)


def warp(images: Tensor, matrix: Tensor, shift: Tensor, taps: Tensor) -> Tensor:
    """An affine map of each image, mirrored at its borders and filtered against aliasing.

    Resolution is doubled, the result read at the mapped places, filtered and halved again. Where pixels fall on pixels
    this leaves them as they are, because the filter is orthogonal.

    Args:
        images: (N, C, H, W).
        matrix: (N, 2, 2).
        shift: (N, 2); the pixel at p of the result comes from `matrix @ p + shift`, p = (x, y) from the centre.
        taps: The filter, as `low_pass` gives it.
    """
    height, width = images.shape[2:]
    fine = doubling(height, taps) @ images @ doubling(width, taps).T
    columns = torch.arange(-width - 5, width + 6, dtype=images.dtype, device=images.device)  # in half pixels
    rows = torch.arange(-height - 5, height + 6, dtype=images.dtype, device=images.device)
    from_x, from_y = matrix[..., None, None].unbind(2)
    place = from_x * columns + from_y * rows[:, None] + 2 * shift[..., None, None]
    x, y = place.unbind(1)
    fine = bilinear(fine, x + width - 1, y + height - 1)
    return halving(height, taps) @ fine @ halving(width, taps).T


def recolour(
    images: Tensor, brightness: Tensor, contrast: Tensor, flip: Tensor, hue: Tensor, saturation: Tensor
) -> Tensor:
    """Changes colours; each strength is (N,), and grey images have neither hue nor saturation.

    A colour is its mean and the rest, perpendicular to the grey axis. The published code's product of matrices acts on
    these two separately: it is this formula.

    Args:
        images: (N, 3, H, W) or (N, 1, H, W).
        brightness: Is added.
        contrast: Factor of all.
        flip: Mirrors the mean about zero where it is 1.
        hue: Angle by which colours turn about the grey axis.
        saturation: Factor of the distance from it.
    """
    strengths = torch.stack([brightness, contrast, 1 - 2 * flip, saturation * hue.cos(), saturation * hue.sin()], 1)
    brightness, contrast, sign, along, across = strengths[..., None, None, None].unbind(1)
    images = images + brightness
    mean = images.mean(1, keepdim=True)
    rest = images - mean
    turned = (rest.roll(1, 1) - rest.roll(-1, 1)) / math.sqrt(3)  # by a right angle
    return contrast * (sign * mean + along * rest + across * turned)


def cut_out(images: Tensor, size: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Makes a rectangle zero; its sides and centre (N,) are shares of the image's."""

    def inside(length: int, centre: Tensor) -> Tensor:
        places = (torch.arange(length, dtype=images.dtype, device=images.device) + 0.5) / length
        return (places - centre[:, None]).abs() < size[:, None] / 2

    height, width = images.shape[2:]
    return images.masked_fill(inside(height, y)[:, None, :, None] & inside(width, x)[:, None, None, :], 0)
