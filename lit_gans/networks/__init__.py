"""Networks, one file per architecture; they know nothing of training."""

from lit_gans.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lit_gans.networks.layers import Discriminator, DiscriminatorFactory, Generator, GeneratorFactory, ImageShape
from lit_gans.networks.mlp import MLPDiscriminator, MLPGenerator
from lit_gans.networks.r3gan import R3GANDiscriminator, R3GANGenerator

__all__ = [
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "DiscriminatorFactory",
    "Generator",
    "GeneratorFactory",
    "ImageShape",
    "MLPDiscriminator",
    "MLPGenerator",
    "R3GANDiscriminator",
    "R3GANGenerator",
]
