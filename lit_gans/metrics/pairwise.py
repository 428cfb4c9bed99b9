"""How near each image is to its target, by pixels and by structure; both as 8-bit files hold them."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.image import peak_signal_noise_ratio

from lit_gans.errors import UserError

PAIRWISE = ("psnr", "psnr_y", "ssim", "ssim_y", "ms_ssim", "l1")
WINDOW, DEVIATION = 11, 1.5
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales of MS-SSIM, the finest first (Wang et al., 2003, section 3.2)."""

SMALLEST = {"ssim": WINDOW, "ssim_y": WINDOW, "ms_ssim": WINDOW * 2 ** (len(SCALES) - 1)}
"""Height and width in pixels below which a value is not defined; for `ssim_y` without the border."""

LUMA = "16 + (65.481 R + 128.553 G + 24.966 B) / 255, not rounded"
SIMILARITY = "Gaussian 11x11 of deviation 1.5, whole windows only, K1 0.01, K2 0.03, mean over channels"
SETTINGS: dict[str, dict[str, str | int]] = {
    "psnr": {"range": 255},
    "psnr_y": {"range": 255, "luma": LUMA},
    "ssim": {"range": 255, "window": SIMILARITY},
    "ssim_y": {"range": 255, "window": SIMILARITY, "luma": LUMA},
    "ms_ssim": {"range": 255, "window": SIMILARITY, "scales": " ".join(map(str, SCALES))},
    "l1": {"range": 1},
}
"""What else changes the values, for their protocols."""


def compare(fake: Tensor, real: Tensor, shave: int = 0) -> dict[str, Tensor]:
    """The values of `PAIRWISE`, each (N,) float64; NaN where images are too small for one.

    PSNR in dB is that of each image by itself, infinite of equal ones. L1 is the mean absolute difference, where black
    and white are 1 apart. SSIM follows Wang et al. (2004, section III): see `SIMILARITY`; MS-SSIM Wang et al. (2003),
    where means of 2 x 2 pixels lead from scale to scale and negative terms count as 0. In `_y` are those of the luma of
    BT.601, without a border, as super-resolution is measured (Ledig et al., 2017, arXiv:1609.04802, section 3.1); Y is
    16 to 235 as in MATLAB's rgb2ycbcr but not rounded, and the one channel of grey images as it is.

    Args:
        fake: (N, C, H, W), uint8.
        real: Targets, likewise.
        shave: Width of the border that is left out of the values in `_y`, in pixels.

    Raises:
        UserError: the shapes differ, or the border is the whole image.
    """
    if fake.shape != real.shape:
        shapes = (" x ".join(map(str, images.shape[1:])) for images in (fake, real))
        raise UserError("outputs are of {}, their targets of {}".format(*shapes))
    height, width = fake.shape[-2:]
    if 2 * shave >= min(height, width):
        raise UserError(f"nothing is left of {height} x {width} pixels without a border of {shave}: give less to shave")
    rows = []
    for pair in zip(fake.double().split(1), real.double().split(1), strict=True):  # one by one, to save memory
        inner = [luma(image)[..., shave : height - shave, shave : width - shave] for image in pair]
        similarity, multi_scale = structure(*pair)
        nearness = torch.sub(*pair).abs().mean() / 255
        row = [psnr(*pair), psnr(*inner), similarity, structure(*inner, SCALES[:1])[0], multi_scale, nearness]
        rows.append(torch.stack(row))
    return dict(zip(PAIRWISE, torch.stack(rows, 1), strict=True))


def luma(images: Tensor) -> Tensor:
    """Y of BT.601, 16 to 235, (N, 1, H, W), of colours (N, 3, H, W) in [0, 255]; others as they are."""
    if images.shape[1] != 3:
        return images
    weights = images.new_tensor([65.481, 128.553, 24.966]).view(3, 1, 1) / 255
    return (images * weights).sum(1, keepdim=True) + 16


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of images in [0, 255], as if they were one."""
    return peak_signal_noise_ratio(fake, real, data_range=255.0)


def structure(fake: Tensor, real: Tensor, scales: tuple[float, ...] = SCALES) -> tuple[Tensor, Tensor]:
    """SSIM and MS-SSIM of images (N, C, H, W) in [0, 255], means over images and channels; NaN where no window fits.

    torchmetrics' also counts windows over the edge, filled by mirroring, and takes four times as long.
    """
    first, product = fake.new_tensor(torch.nan), 1.0
    for number, weight in enumerate(scales, start=1):
        if min(fake.shape[-2:]) < WINDOW:
            return first, fake.new_tensor(torch.nan)
        similarity, contrast = windows(fake, real)
        first = similarity.mean() if number == 1 else first
        product = product * (contrast if number < len(scales) else similarity).relu() ** weight
        fake, real = F.avg_pool2d(fake, 2), F.avg_pool2d(real, 2)
    return first, product.mean()


def windows(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM (Wang et al., 2004, eq. 13) and its term of contrast and structure, (N, C) each, means over windows."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean, mean_real = smooth(fake), smooth(real)
    variances = smooth(fake.square()) - mean.square() + smooth(real.square()) - mean_real.square()
    covariance = smooth(fake * real) - mean * mean_real
    luminance = (2 * mean * mean_real + c1) / (mean.square() + mean_real.square() + c1)
    contrast = (2 * covariance + c2) / (variances + c2)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


def smooth(images: Tensor) -> Tensor:
    """Means (N, C, H - 10, W - 10) over the Gaussian windows that lie within images (N, C, H, W)."""
    places = torch.arange(WINDOW, dtype=torch.double) - WINDOW // 2
    weights = torch.softmax(-places.square() / (2 * DEVIATION**2), 0).tolist()
    for dim in (2, 3):
        length = images.shape[dim] - WINDOW + 1
        images = sum(weight * images.narrow(dim, start, length) for start, weight in enumerate(weights))
    return images
