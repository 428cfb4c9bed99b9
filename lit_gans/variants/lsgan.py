from typing import Any

from lit_gans.losses import LeastSquares
from lit_gans.networks import DCGANDiscriminator, DCGANGenerator, DiscriminatorFactory, GeneratorFactory
from lit_gans.schedules import Schedule
from lit_gans.variants.gan import GAN


class LSGAN(GAN):
    """Least squares GAN (Mao et al., 2017, arXiv:1611.04076, eq. 2).

        discriminator  (E (D(x) - b)^2 + E (D(G(z)) - a)^2) / 2
        generator      E (D(G(z)) - c)^2 / 2

    The discriminator regresses to codes, so that fakes on the right side of its boundary but far from the reals are
    still pulled. Pins the loss. The paper's codes are 0-1 (eq. 9) or -1, 1, 0 (eq. 8, the Pearson divergence); learning
    rate and beta1 are those of its scenes (section 4.1). Its code sums the squares over the batch instead of averaging.

    Args:
        fake_code: a, what the discriminator should answer to fakes.
        real_code: b, what it should answer to reals.
        generator_code: c, what the generator wants it to answer to fakes.
        generator: Makes the generator.
        discriminator: Makes the discriminator.
        generator_lr: Learning rate of the generator.
        discriminator_lr: Learning rate of the discriminator.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        fake_code: float = 0.0,
        real_code: float = 1.0,
        generator_code: float = 1.0,
        generator: GeneratorFactory = DCGANGenerator,
        discriminator: DiscriminatorFactory = DCGANDiscriminator,
        generator_lr: float | Schedule = 1e-3,
        discriminator_lr: float | Schedule = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            loss=LeastSquares(fake_code=fake_code, real_code=real_code, generator_code=generator_code),
            generator=generator,
            discriminator=discriminator,
            generator_lr=generator_lr,
            discriminator_lr=discriminator_lr,
            **kwargs,
        )
