"""Exponential moving average of a network's parameters, with time counted in images."""

import torch
from torch import nn


def ema_decay(batch: int, half_life: float, seen: float, ramp: float | None = None) -> float:
    """The weight that the average keeps when `batch` more images have been seen.

    `0.5 ** (batch / half_life)`, so the average forgets half of its past every `half_life` images, whatever the batch
    size. With a `ramp` the half-life is at most `ramp * seen`: a young average does not hold on to the random start.
    (StyleGAN2-ADA, Karras et al., 2020, arXiv:2006.06676, training loop of the published code.)

    Args:
        batch: Images of this step, over all devices.
        half_life: In images; 0 makes the average a copy.
        seen: Images seen so far, this batch included.
        ramp: Share of `seen` that bounds the half-life; None for no bound.
    """
    if ramp is not None:
        half_life = min(half_life, ramp * seen)
    return 0.5 ** (batch / half_life) if half_life > 0 else 0.0


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the parameters of `average` towards those of `network`; buffers (batch-norm statistics) are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for slow, fast in zip(average.buffers(), network.buffers(), strict=True):
        slow.copy_(fast)
