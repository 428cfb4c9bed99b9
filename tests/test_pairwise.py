"""PSNR, SSIM and their kin: closed forms, and implementations by NumPy and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from torchmetrics.functional.image import structural_similarity_index_measure

from lit_gans.errors import UserError
from lit_gans.metrics.pairwise import SCALES, SMALLEST, compare
from tests.pairs import levels


def images(*values, channels=3, size=16):
    """One image of each constant value."""
    return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, channels, size, size)


def textures(count, channels=3, size=48, *, seed=0):
    """Smooth noise, and the same with noise of its own in each image."""
    generator = torch.Generator().manual_seed(seed)
    real = torch.nn.functional.avg_pool2d(torch.rand(count, channels, size, size, generator=generator), 5, 1, 2) * 4 - 2
    strength = 0.3 * torch.rand(count, 1, 1, 1, generator=generator)
    return levels(real + strength * torch.randn(real.shape, generator=generator)), levels(real)


def numpy_psnr(fake, real):
    return 10 * math.log10(255**2 / np.mean((fake - real) ** 2))


def scipy_ssim(fake, real):
    """Of one plane: filtered with mirrored edges, of which nothing is left after cropping."""

    def mean(plane):
        return gaussian_filter(plane, 1.5, truncate=3.5)

    one, other = mean(fake), mean(real)
    variance, variance_real = mean(fake**2) - one**2, mean(real**2) - other**2
    covariance = mean(fake * real) - one * other
    top = (2 * one * other + 6.5025) * (2 * covariance + 58.5225)
    ratio = top / ((one**2 + other**2 + 6.5025) * (variance + variance_real + 58.5225))
    return ratio[5:-5, 5:-5].mean()


def scipy_ms_ssim(fake, real):
    """Of one plane, by convolution with the window itself."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(line, line) / line.sum() ** 2
    result = 1
    for scale, weight in enumerate(SCALES):
        one, other, squares, squares_real, product = (
            convolve2d(plane, window, "valid") for plane in (fake, real, fake**2, real**2, fake * real)
        )
        term = (2 * (product - one * other) + 58.5225) / (squares - one**2 + squares_real - other**2 + 58.5225)
        if scale == 4:
            term = term * (2 * one * other + 6.5025) / (one**2 + other**2 + 6.5025)
        result *= max(term.mean(), 0) ** weight
        height, width = (side // 2 * 2 for side in fake.shape)
        fake, real = (
            plane[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for plane in (fake, real)
        )
    return result


def numpy_luma(image):
    """Of levels (3, H, W), by the matrix in the standard."""
    red, green, blue = image / 255
    return 16 + 65.481 * red + 128.553 * green + 24.966 * blue


def test_constant_images():
    found = compare(images(10, 255, 7), images(13, 0, 7))
    assert found["psnr"].tolist() == pytest.approx([20 * math.log10(255 / 3), 0, math.inf], abs=1e-5)
    assert found["l1"].tolist() == pytest.approx([3 / 255, 1, 0])
    expected = [(2 * a * b + 6.5025) / (a * a + b * b + 6.5025) for a, b in ((10, 13), (255, 0), (7, 7))]
    assert found["ssim"].tolist() == pytest.approx(expected)
    assert found["psnr"].dtype == torch.float64


def test_luma_goes_from_16_to_235():
    colours = [(255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    expected = [219, 65.481, 128.553, 24.966]  # above the 16 of black
    fake = torch.tensor(colours, dtype=torch.uint8)[:, :, None, None].expand(4, 3, 16, 16)
    found = compare(fake, torch.zeros_like(fake))["psnr_y"]
    assert found.tolist() == pytest.approx([20 * math.log10(255 / value) for value in expected])


def test_grey_images_are_their_own_luma():
    fake, real = textures(2, channels=1)
    found = compare(fake, real)
    assert torch.equal(found["psnr"], found["psnr_y"])
    assert torch.equal(found["ssim"], found["ssim_y"])


@pytest.mark.parametrize("channels", [1, 3])
def test_as_numpy_and_scipy_have_it(channels):
    fake, real = textures(3, channels)
    found = compare(fake, real, shave=4)
    for k, pair in enumerate(zip(fake.double().numpy(), real.double().numpy(), strict=True)):
        inner = [(numpy_luma(image) if channels == 3 else image[0])[4:-4, 4:-4] for image in pair]
        expected = {
            "psnr": numpy_psnr(*pair),
            "psnr_y": numpy_psnr(*inner),
            "ssim": np.mean([scipy_ssim(*planes) for planes in zip(*pair, strict=True)]),
            "ssim_y": scipy_ssim(*inner),
            "l1": np.abs(pair[0] - pair[1]).mean() / 255,
        }
        assert {name: found[name][k].item() for name in expected} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [(176, 203), (192, 192)])
def test_multi_scale_as_scipy_has_it(size):
    fake, real = (one[..., : size[0], : size[1]] for one in textures(1, channels=2, size=210))
    planes = zip(fake[0].double().numpy(), real[0].double().numpy(), strict=True)
    assert compare(fake, real)["ms_ssim"].item() == pytest.approx(np.mean([scipy_ms_ssim(*pair) for pair in planes]))


def test_as_torchmetrics_has_it_but_for_its_edges():
    fake, real = textures(2)
    mean, everywhere = structural_similarity_index_measure(
        fake.double(), real.double(), data_range=255.0, reduction="none", return_full_image=True
    )
    found = compare(fake, real)["ssim"]
    torch.testing.assert_close(found, everywhere[..., 5:-5, 5:-5].mean((1, 2, 3)), rtol=0, atol=1e-9)
    assert (found - mean).abs().min() > 1e-4


def test_shaving_forgets_the_border():
    real = images(100, size=20)
    fake = real.clone()
    fake[..., :2], fake[..., -2:, :] = 0, 0
    found = compare(fake, real, shave=2)
    assert found["psnr_y"].item() == math.inf
    assert found["ssim_y"].item() == pytest.approx(1)
    assert found["psnr"].item() < 20
    assert compare(fake, real, shave=1)["psnr_y"].item() < 40


@pytest.mark.parametrize(("name", "channels"), [("ssim", 1), ("ssim_y", 3), ("ms_ssim", 1)])
def test_smallest_images(name, channels):
    least, fewer = (
        compare(*textures(1, channels, size=side))[name].item() for side in (SMALLEST[name], SMALLEST[name] - 1)
    )
    assert least < 1
    assert math.isnan(fewer)


def test_values_do_not_depend_on_the_batch():
    fake, real = textures(4)
    whole, parts = compare(fake, real), [compare(*pair) for pair in zip(fake.split(1), real.split(1), strict=True)]
    assert all(torch.equal(whole[name], torch.cat([part[name] for part in parts])) for name in ("psnr", "ssim", "l1"))


def test_what_cannot_be_compared():
    with pytest.raises(UserError, match="outputs are of 3 x 16 x 16, their targets of 1 x 16 x 16"):
        compare(images(1), images(1, channels=1))
    with pytest.raises(UserError, match="border of 8"):
        compare(images(1), images(1), shave=8)
