"""Networks, one file per architecture; they know nothing of training."""

from lit_gans.networks.acgan import ACGANDiscriminator, ACGANGenerator
from lit_gans.networks.biggan import BigGANDiscriminator, BigGANGenerator
from lit_gans.networks.cgan import CGANDiscriminator, CGANGenerator
from lit_gans.networks.conditional_dcgan import ConditionalDCGANDiscriminator, ConditionalDCGANGenerator
from lit_gans.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lit_gans.networks.layers import Discriminator, DiscriminatorFactory, Generator, GeneratorFactory, ImageShape
from lit_gans.networks.lsgan import LSGANGenerator
from lit_gans.networks.maxout import MaxoutDiscriminator
from lit_gans.networks.mlp import MLPDiscriminator, MLPGenerator
from lit_gans.networks.patchgan import InstancePatchDiscriminator, PatchDiscriminator
from lit_gans.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from lit_gans.networks.resnet import ResNetDiscriminator, ResNetGenerator
from lit_gans.networks.resnet_good import GoodDiscriminator, GoodGenerator
from lit_gans.networks.resnet_translator import ResNetTranslator, StyleTranslator
from lit_gans.networks.rrdb import RRDBNet, UNetDiscriminator
from lit_gans.networks.sndcgan import SNDCGANDiscriminator, SNDCGANGenerator
from lit_gans.networks.srresnet import SRDiscriminator, SRResNet
from lit_gans.networks.translator import Translator, TranslatorFactory
from lit_gans.networks.unet import UNetGenerator

__all__ = [
    "ACGANDiscriminator",
    "ACGANGenerator",
    "BigGANDiscriminator",
    "BigGANGenerator",
    "CGANDiscriminator",
    "CGANGenerator",
    "ConditionalDCGANDiscriminator",
    "ConditionalDCGANGenerator",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "DiscriminatorFactory",
    "Generator",
    "GeneratorFactory",
    "GoodDiscriminator",
    "GoodGenerator",
    "ImageShape",
    "InstancePatchDiscriminator",
    "LSGANGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "MaxoutDiscriminator",
    "PatchDiscriminator",
    "R3GANDiscriminator",
    "R3GANGenerator",
    "RRDBNet",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "ResNetTranslator",
    "SNDCGANDiscriminator",
    "SNDCGANGenerator",
    "SRDiscriminator",
    "SRResNet",
    "StyleTranslator",
    "Translator",
    "TranslatorFactory",
    "UNetDiscriminator",
    "UNetGenerator",
]
