"""GAN variants for PyTorch Lightning."""

from importlib import import_module
from typing import Any

_HOMES = {
    "DCGAN": "lit_gans.variants.dcgan",
    "GAN": "lit_gans.variants.gan",
    "load": "lit_gans.loading",
}
__all__ = ["DCGAN", "GAN", "load"]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for, so that commands without torch stay quick."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lit_gans' has no attribute {name!r}")
