"""GAN variants for PyTorch Lightning."""

from importlib import import_module
from typing import Any

_HOMES = {
    "ACGAN": "lit_gans.variants.acgan",
    "BigGAN": "lit_gans.variants.biggan",
    "CGAN": "lit_gans.variants.cgan",
    "CycleGAN": "lit_gans.variants.cyclegan",
    "DCGAN": "lit_gans.variants.dcgan",
    "DRAGAN": "lit_gans.variants.dragan",
    "ESRGAN": "lit_gans.variants.esrgan",
    "GAN": "lit_gans.variants.gan",
    "LSGAN": "lit_gans.variants.lsgan",
    "Pix2Pix": "lit_gans.variants.pix2pix",
    "ProjectionGAN": "lit_gans.variants.projection",
    "R3GAN": "lit_gans.variants.r3gan",
    "SAGAN": "lit_gans.variants.sagan",
    "SNGAN": "lit_gans.variants.sngan",
    "SRGAN": "lit_gans.variants.srgan",
    "StyleTransferGAN": "lit_gans.variants.style_transfer",
    "WGAN": "lit_gans.variants.wgan",
    "WGANGP": "lit_gans.variants.wgan_gp",
    "load": "lit_gans.loading",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for, so that commands without torch stay quick."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lit_gans' has no attribute {name!r}")
