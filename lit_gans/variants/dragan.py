from collections.abc import Sequence
from typing import Any

from lit_gans.networks import DCGANGenerator, DiscriminatorFactory, GeneratorFactory, SNDCGANDiscriminator
from lit_gans.penalties import DRAGANPenalty, Penalty
from lit_gans.schedules import Schedule
from lit_gans.variants.gan import GAN


class DRAGAN(GAN):
    """Deep regret analytic GAN (Kodali et al., 2017, arXiv:1705.07215, section 2.4).

        discriminator  -E log D(x) - E log(1 - D(G(z))) + weight E (|grad D(near)| - target)^2
        generator      -E log D(G(z))

    where `near` lies at random around the reals: sharp gradients there are what the paper holds mode collapse to come
    from. Pins the penalty, which is that of the published code; see `DRAGANPenalty`. There pixels are in [0, 1], so
    that a target of 1 is there what 2 is here, and Adam has 1e-4 with betas 0.5 and 0.9.

    Args:
        penalty_weight: The paper's lambda.
        target: Norm of the gradient, the paper's k.
        noise: Width of the neighbourhood in standard deviations of the pixels.
        generator: Makes the generator.
        discriminator: Makes the discriminator; one without batch norm, which would mix the images of a batch.
        penalties: Further terms of the discriminator's loss.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        penalty_weight: float | Schedule = 10.0,
        target: float = 1.0,
        noise: float = 0.5,
        generator: GeneratorFactory = DCGANGenerator,
        discriminator: DiscriminatorFactory = SNDCGANDiscriminator,
        penalties: Sequence[Penalty] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            penalties=[DRAGANPenalty(penalty_weight, target=target, noise=noise), *penalties],
            generator=generator,
            discriminator=discriminator,
            **kwargs,
        )
