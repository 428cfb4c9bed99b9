"""Networks, one file per architecture; they know nothing of training."""

from lit_gans.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lit_gans.networks.layers import Discriminator, DiscriminatorFactory, Generator, GeneratorFactory, ImageShape
from lit_gans.networks.mlp import MLPDiscriminator, MLPGenerator
from lit_gans.networks.resnet import ResNetDiscriminator, ResNetGenerator
from lit_gans.networks.resnet_good import GoodDiscriminator, GoodGenerator

__all__ = [
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "DiscriminatorFactory",
    "Generator",
    "GeneratorFactory",
    "GoodDiscriminator",
    "GoodGenerator",
    "ImageShape",
    "MLPDiscriminator",
    "MLPGenerator",
    "ResNetDiscriminator",
    "ResNetGenerator",
]
