"""Where autocast may not reach: losses, penalties, norms of weights."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """At least float32: bfloat16 logits keep three digits, too few for a mean of logarithms."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Turns autocast off; the meta device, on which sizes are counted, has none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def without_tf32() -> AbstractContextManager:
    """Lets convolutions on GPUs keep all digits of float32; by default they keep ten bits of their inputs."""
    cudnn = torch.backends.cudnn
    kept = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "benchmark_limit", "deterministic")}
    return cudnn.flags(**kept, allow_tf32=False)


def autocasts(device: torch.device) -> bool:
    """Whether autocast is on."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)
