"""What ADA makes of pixels, against the published algorithm in numpy, and pictures and colours known beforehand."""

import math

import numpy as np
import pytest
import torch

from lit_gans.augment import ADA
from lit_gans.augment.transforms import SYM6, low_pass, rotation, warp
from tests.test_augment import MULTIPLIERS, NORMAL, constant, noise, only, seeded


def homogeneous(a, b, c, d, x=0.0, y=0.0):
    return np.array([[a, b, x], [c, d, y], [0, 0, 1.0]])


def turn(angle):
    return homogeneous(math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle))


def pixels_at(image, inverse):
    """An image (C, H, W) moved by a map that takes pixels to pixels; borders mirrored by folding the coordinates."""
    height, width = image.shape[1:]
    y, x = np.mgrid[:height, :width]
    place = np.stack([x - (width - 1) / 2, y - (height - 1) / 2, np.ones_like(x)])
    x, y, _ = np.einsum("ij,jhw->ihw", inverse, place)
    x, y = np.rint(x + (width - 1) / 2).astype(int), np.rint(y + (height - 1) / 2).astype(int)
    x, y = (np.abs((p + n - 1) % (2 * n - 2) - n + 1) for p, n in ((x, width), (y, height)))
    return image[:, y, x]


def published_margin(inverse, height, width):
    """Pixels (x, y) by which the published code pads, on each side: what the corners need, at most the image itself."""
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    corners = np.array([[x * centre[0], y * centre[1], 1] for x in (-1, 1) for y in (-1, 1)]) @ inverse.T
    return np.ceil(np.abs(corners[:, :2]).max(0) + 6 - centre).clip(0, [width - 1, height - 1]).astype(int)


def reference_warp(image, inverse, margin):
    """The published algorithm in numpy: pad, put zeros between, filter, read, filter, leave every other one out.

    Args:
        image: (C, H, W).
        inverse: From places in the result to places in the image, homogeneous, about the centre.
        margin: Pixels (x, y) added on each side.
    """
    channels, height, width = image.shape
    taps = np.array(SYM6) / np.sum(SYM6)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    padded = np.pad(image, [(0, 0), (margin[1],) * 2, (margin[0],) * 2], mode="reflect")
    fine = np.zeros((channels, *(2 * n for n in padded.shape[1:])))
    fine[:, ::2, ::2] = padded
    for axis in (1, 2):  # tap 5 is the middle one
        fine = np.apply_along_axis(lambda row: np.convolve(row, 2 * taps)[5:-6], axis, fine)
    out_y, out_x = np.mgrid[-height - 5 : height + 6, -width - 5 : width + 6] / 2
    x, y, _ = np.einsum("ij,jhw->ihw", inverse, np.stack([out_x, out_y, np.ones_like(out_x)]))
    x, y = 2 * (x + centre[0] + margin[0]), 2 * (y + centre[1] + margin[1])
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    read = 0
    for row, share_y in ((top, top + 1 - y), (top + 1, y - top)):
        for column, share_x in ((left, left + 1 - x), (left + 1, x - left)):
            there = (row >= 0) & (row < fine.shape[1]) & (column >= 0) & (column < fine.shape[2])
            pixels = fine[:, row.clip(0, fine.shape[1] - 1), column.clip(0, fine.shape[2] - 1)]
            read = read + pixels * there * share_y * share_x
    for axis in (1, 2):
        read = np.apply_along_axis(lambda row: np.correlate(row[1:], taps, "valid")[::2], axis, read)
    return read


def reference_ada(image, numbers):
    """All changes at probability one, from an image (C, H, W) and its numbers, by products of homogeneous matrices."""
    channels, height, width = image.shape
    u = iter(numbers.tolist())

    def strengths(count):
        values = [next(u) for _ in range(count)]
        next(u)  # the coin
        return values

    def normals(count):
        return [NORMAL.icdf(torch.tensor(value, dtype=torch.float64)).item() for value in strengths(count)]

    flip, turns = int(2 * strengths(1)[0]), int(4 * strengths(1)[0])
    image = pixels_at(image, homogeneous(1 - 2 * flip, 0, 0, 1) @ turn(math.pi / 2 * turns))
    x, y = ((2 * value - 1) / 8 for value in strengths(2))
    inverse = homogeneous(1, 0, 0, 1, -round(x * width), -round(y * height))
    scale = 2 ** (0.2 * normals(1)[0])
    inverse = inverse @ homogeneous(1 / scale, 0, 0, 1 / scale) @ turn(math.pi * (2 * strengths(1)[0] - 1))
    aniso = 2 ** (0.2 * normals(1)[0])
    inverse = inverse @ homogeneous(1 / aniso, 0, 0, aniso) @ turn(math.pi * (2 * strengths(1)[0] - 1))
    x, y = normals(2)
    inverse = inverse @ homogeneous(1, 0, 0, 1, -x / 8 * width, -y / 8 * height)
    image = reference_warp(image, inverse, margin=(50, 50))

    axis, eye = np.full((3, 1), 3**-0.5), np.eye(3)
    matrix, offset = eye, np.full((3, 1), 0.2 * normals(1)[0])
    matrix = 2 ** (0.5 * normals(1)[0]) * matrix
    matrix = (eye - 2 * axis @ axis.T * int(2 * strengths(1)[0])) @ matrix
    hue = math.pi * (2 * strengths(1)[0] - 1)
    cross = 3**-0.5 * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    matrix = (math.cos(hue) * eye + math.sin(hue) * cross + (1 - math.cos(hue)) * axis @ axis.T) @ matrix
    saturation = 2 ** normals(1)[0]
    matrix = (axis @ axis.T + saturation * (eye - axis @ axis.T)) @ matrix
    image = np.broadcast_to(image, (3, height, width)).reshape(3, -1)
    image = (matrix @ (image + offset)).reshape(3, height, width)

    x, y = next(u), next(u)
    rows = np.abs((np.arange(height) + 0.5) / height - y) < 0.25
    columns = np.abs((np.arange(width) + 0.5) / width - x) < 0.25
    image[:, rows[:, None] & columns] = 0
    return image[:channels]


def test_the_filter_is_the_wavelet():
    """Orthogonal to its own even shifts, six vanishing moments, twelve taps: a Daubechies wavelet."""
    taps = np.array(SYM6)
    even = np.correlate(taps, taps, "full")[1::2]
    np.testing.assert_allclose(even, np.eye(11)[5], atol=1e-10)
    alternating = taps * (-1.0) ** np.arange(12)
    moments = [(alternating * np.linspace(-1, 1, 12) ** power).sum() for power in range(6)]
    np.testing.assert_allclose(moments, 0, atol=1e-10)
    assert taps.sum() == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("channels", [1, 3])
def test_ada_is_the_published_pipeline(channels):
    images, numbers = noise(6, channels, 12, 12), seeded(4)(6, 31)
    made = ADA(p=1.0, target=None, cutout=1.0)(images, lambda *shape: numbers)
    for image, row, result in zip(images.numpy(), numbers, made.numpy(), strict=True):
        np.testing.assert_allclose(result, reference_ada(image, row), atol=1e-5)


def test_margins_as_published():
    """The endless reflection is what the published code computes, as long as its margin reaches."""
    images, angles = noise(4, 2, 16, 20), torch.tensor([0.1, -0.3, 0.8, 1.5], dtype=torch.float64)
    matrix, shift = rotation(angles) * torch.tensor([0.8, 1.1], dtype=torch.float64), noise(4, 2, seed=1)
    made = warp(images, matrix, shift, low_pass().double())
    for image, linear, (x, y), result in zip(images.numpy(), matrix, shift, made.numpy(), strict=True):
        inverse = homogeneous(*linear.flatten(), x, y)
        margin = published_margin(inverse, 16, 20)
        assert (margin > 0).all()
        assert (margin < [19, 15]).all()
        np.testing.assert_allclose(result, reference_warp(image, inverse, margin), atol=1e-5)


@pytest.mark.parametrize("number", [0.05, 0.3, 0.7, 0.95])
def test_pixels_that_fall_on_pixels_are_copied(number):
    images = noise(2, 3, 24, 24, dtype=torch.float32)
    flipped = only("xflip")(images, constant(number))
    assert flipped.equal(images.flip(3) if number > 0.5 else images)
    turned = only("rotate90")(images, constant(number))
    assert turned.equal(torch.stack([image.rot90(int(4 * number), (1, 2)) for image in images]))
    images = images[:, :, :16]
    assert only("xflip")(images, constant(number)).equal(images.flip(3) if number > 0.5 else images)
    shifted = only("xint")(images, constant(number))
    inverse = homogeneous(1, 0, 0, 1, *(-round((2 * number - 1) / 8 * size) for size in (24, 16)))
    for image, result in zip(images.numpy(), shifted.numpy(), strict=True):
        np.testing.assert_allclose(result, pixels_at(image, inverse), atol=1e-5)


def smooth(inverse, height=40, width=48):
    """A picture that the reflection continues without a break, so that it is known everywhere, seen through a map."""
    y, x = np.mgrid[:height, :width]
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x, y, _ = np.einsum("ij,jhw->ihw", inverse, np.stack([x - centre_x, y - centre_y, np.ones_like(x)]))
    phase_x, phase_y = math.pi * (x + centre_x) / (width - 1), math.pi * (y + centre_y) / (height - 1)
    picture = np.stack([np.cos(phase_x), np.cos(2 * phase_y), np.cos(phase_x) * np.cos(phase_y)])
    return torch.tensor(picture)[None]


@pytest.mark.parametrize("number", [0.02, 0.4, 0.9])
def test_maps_of_a_known_picture(number):
    normal, angle = NORMAL.icdf(torch.tensor(number)).item(), math.pi * (2 * number - 1)
    size, picture = 2 ** (0.2 * normal), smooth(np.eye(3))
    maps = {
        "scale": homogeneous(1 / size, 0, 0, 1 / size),
        "rotate": turn(2 * angle),  # before and after
        "aniso": homogeneous(1 / size, 0, 0, size),
        "xfrac": homogeneous(1, 0, 0, 1, -normal / 8 * 48, -normal / 8 * 40),
    }
    for name, inverse in maps.items():
        made = only(name)(picture, constant(number))
        torch.testing.assert_close(made, smooth(inverse), rtol=0, atol=0.02, msg=lambda text, name=name: name + text)


def test_the_reflection_has_no_end():
    """Five times smaller, the image fills a spot in the middle, and its mirror images all the rest."""
    made = only("scale", scale_std=1.0)(smooth(np.eye(3)), constant(0.01))
    inverse = 2 ** -NORMAL.icdf(torch.tensor(0.01)).item()
    torch.testing.assert_close(made, smooth(homogeneous(inverse, 0, 0, inverse)), rtol=0, atol=0.1)


def test_colours():
    images = noise(2, 3, 4, 4)
    mean = images.mean(1, keepdim=True)
    normal = NORMAL.icdf(torch.tensor(0.9)).item()
    expected = {
        "brightness": images + 0.2 * normal,
        "contrast": images * 2 ** (0.5 * normal),
        "lumaflip": images - 2 * mean,
        "saturation": mean + (images - mean) * 2**normal,
    }
    for name, images_expected in expected.items():
        torch.testing.assert_close(only(name)(images, constant(0.9)), images_expected, rtol=1e-6, atol=1e-6)
    opposite = only("hue")(images, constant(1 - 1e-7))  # half a turn
    torch.testing.assert_close(opposite, 2 * mean - images, rtol=1e-5, atol=1e-5)
    third = only("hue")(images, constant(2 / 3 + 1 / 6))  # red becomes green, green becomes blue
    torch.testing.assert_close(third, images.roll(1, 1), rtol=1e-5, atol=1e-5)
    grey = only("saturation", saturation_std=100.0)(images, constant(0.1))
    torch.testing.assert_close(grey, mean.expand_as(images))


def test_frequencies():
    """Of 2000 images at p times multiplier 0.5; half of the flips and one turn of four change nothing."""
    images = noise(1, 3, 8, 8, dtype=torch.float32).expand(2000, -1, -1, -1)
    shares = dict.fromkeys(MULTIPLIERS, 0.5) | {"xflip": 0.25, "lumaflip": 0.25, "rotate90": 0.375, "xint": 0.375}
    for seed, (name, share) in enumerate(shares.items()):
        made = only(p=0.8, **{name: 0.625})(images, seeded(seed))
        changed = ((made - images).abs().amax((1, 2, 3)) > 1e-4).float().mean().item()
        assert changed == pytest.approx(share, abs=0.04), name


def test_strengths():
    """Of 2000 images: the standard deviations of the published code."""
    images = torch.ones(2000, 3, 8, 8)
    added = only("brightness")(images, seeded(1))[:, 0, 0, 0] - 1
    factor = only("contrast")(images, seeded(2))[:, 0, 0, 0].log2()
    images[:, 1:] = 0
    rest = only("saturation")(images, seeded(3))[:, :, 0, 0]
    saturation = ((rest[:, 0] - rest[:, 1]).abs()).log2()
    for values, std in ((added, 0.2), (factor, 0.5), (saturation, 1.0)):
        assert abs(values.mean()) < 0.1 * std
        assert values.std().item() == pytest.approx(std, rel=0.06)
