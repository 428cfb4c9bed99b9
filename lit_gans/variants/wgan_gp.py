from collections.abc import Sequence
from typing import Any

from lit_gans.losses import Wasserstein
from lit_gans.networks import DiscriminatorFactory, GeneratorFactory, ResNetDiscriminator, ResNetGenerator
from lit_gans.penalties import GradientPenalty, Penalty
from lit_gans.schedules import Schedule
from lit_gans.variants.gan import GAN


class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty (Gulrajani et al., 2017, arXiv:1704.00028, Algorithm 1).

        critic     E D(G(z)) - E D(x) + weight E (|grad D(between)| - 1)^2, between = x + U(0, 1) (G(z) - x)
        generator  -E D(G(z)), after `n_critic` steps of the critic on fresh batches

    Pins loss and penalty. The critic may have no batch norm (section 4): the penalty is about single images. The
    defaults are those of Algorithm 1, with residual networks; those of the code for CIFAR-10 are `ResNetGenerator` with
    `width=32` and `ResNetDiscriminator` with `mean_pool=true`, learn with 2e-4, falling to 0 over 100,000 steps of the
    generator, and make two fakes for each real in its turn (`generator_fakes=2`).

    Args:
        penalty_weight: The paper's lambda.
        penalty_every: The penalty is computed on every so manieth batch only, and weighted as much more.
        n_critic: Steps of the critic for each of the generator.
        generator: Makes the generator.
        discriminator: Makes the critic.
        generator_lr: Learning rate of the generator, the paper's alpha.
        discriminator_lr: Learning rate of the critic.
        betas: Of Adam.
        penalties: Further terms of the critic's loss.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        penalty_weight: float | Schedule = 10.0,
        penalty_every: int = 1,
        n_critic: int = 5,
        generator: GeneratorFactory = ResNetGenerator,
        discriminator: DiscriminatorFactory = ResNetDiscriminator,
        generator_lr: float | Schedule = 1e-4,
        discriminator_lr: float | Schedule = 1e-4,
        betas: tuple[float | Schedule, float | Schedule] = (0.0, 0.9),
        penalties: Sequence[Penalty] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            loss=Wasserstein(),
            penalties=[GradientPenalty(penalty_weight, penalty_every), *penalties],
            n_critic=n_critic,
            generator=generator,
            discriminator=discriminator,
            generator_lr=generator_lr,
            discriminator_lr=discriminator_lr,
            betas=betas,
            **kwargs,
        )
