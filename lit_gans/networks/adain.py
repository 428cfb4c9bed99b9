"""Adaptive instance normalisation (Huang and Belongie, 2017, arXiv:1703.06868)."""

import torch
from torch import Tensor

from lit_gans.precision import full_precision


def statistics(features: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each map, both (N, C, 1, 1), at least in float32.

    As in a common PyTorch port the variance is unbiased, with `eps` added to it.

    Args:
        features: Maps (N, C, h, w) of two places or more.
        eps: Keeps the root's gradient finite where a map is constant.
    """
    variance, mean = torch.var_mean(full_precision(features), (2, 3), keepdim=True)
    return mean, (variance + eps).sqrt()


def adain(content: Tensor, style: Tensor) -> Tensor:
    """The content's maps, each with the mean and the standard deviation of the style's (eq. 8).

    Args:
        content: (N, C, h, w).
        style: (N, C, H, W) of any H and W; or (1, C, H, W), one style for all.
    """
    (mean, std), (style_mean, style_std) = statistics(content), statistics(style)
    return style_std * (content - mean) / std + style_mean
