"""Random numbers as functions of a key, so that nothing depends on who draws, when, or after which interruption."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch
from torch import Tensor

Draw = Callable[..., Tensor]
"""`draw(*shape)` gives random numbers, the same ones at each call."""


def keyed_seed(*key: int | str) -> int:
    """A 63-bit seed that is a fixed function of `key`; unlike keys give unrelated seeds."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "little") >> 1


def keyed_generator(*key: int | str) -> torch.Generator:
    """A CPU generator seeded by `key`, for example `(seed, "latent", image_index)`."""
    # The CPU engine looks at the lower 32 bits of a seed only; `keyed_seed` has mixed the whole key into them.
    return torch.Generator().manual_seed(keyed_seed(*key))


def seed_engines(device: torch.device, *key: int | str) -> None:
    """Seeds the global engines of the CPU and of `device` by `key`.

    `torch.manual_seed` would, on a machine whose GPUs are not in use, queue one more call for them each time, with a
    stack trace: milliseconds and memory at every step.
    """
    seed = keyed_seed(*key)
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextmanager
def untouched_randomness(device: torch.device) -> Iterator[None]:
    """Gives the global engines their state back: a data loader and a careless `sample` draw from them."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
