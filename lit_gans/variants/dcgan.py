from typing import Any

from lit_gans.networks import DCGANDiscriminator, DCGANGenerator, DiscriminatorFactory, GeneratorFactory
from lit_gans.variants.gan import GAN


class DCGAN(GAN):
    """Deep convolutional GAN (Radford et al., 2015, arXiv:1511.06434).

    A GAN whose networks are convolutional, with batch norm and weights drawn from N(0, 0.02); trained by Adam with
    2e-4 and beta1 0.5 (section 4). Reals and fakes pass the discriminator separately, each with its own batch
    statistics. The paper's code moves one player on each batch; here, as in the common ports, both move.

    Args:
        generator: Makes the generator; a fully connected one gives the mixed pairs of the early tutorials.
        discriminator: Makes the discriminator.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        generator: GeneratorFactory = DCGANGenerator,
        discriminator: DiscriminatorFactory = DCGANDiscriminator,
        **kwargs: Any,
    ) -> None:
        super().__init__(generator=generator, discriminator=discriminator, **kwargs)
