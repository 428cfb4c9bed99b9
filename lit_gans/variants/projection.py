from typing import Any

from lit_gans.networks import DiscriminatorFactory, GeneratorFactory, ResNetDiscriminator, ResNetGenerator
from lit_gans.networks.heads import Projection
from lit_gans.variants.sngan import SNGAN


class ProjectionGAN(SNGAN):
    """cGAN with projection discriminator (Miyato & Koyama, 2018, arXiv:1802.05637, eq. 3).

        D(x, y) = head(features(x)) + <embedding(y), features(x)>

    The generator is told the label by class-wise batch norm (section 5.1), or as its network does it. Pins labels,
    projection and the spectral normalization of all that judges; the training is that of SNGAN.

    Args:
        generator: Makes the generator.
        discriminator: Makes a discriminator without labels, which gets the projection.
        uniform_labels: Whether labels of fakes are drawn uniformly, as in the published code.
        kwargs: Arguments of SNGAN, GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        generator: GeneratorFactory = ResNetGenerator,
        discriminator: DiscriminatorFactory = ResNetDiscriminator,
        uniform_labels: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            conditional=True,
            generator=generator,
            discriminator=lambda shape, classes: Projection(discriminator(shape, 0), classes),
            uniform_labels=uniform_labels,
            **kwargs,
        )
