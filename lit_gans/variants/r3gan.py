from collections.abc import Sequence
from typing import Any

from lit_gans.losses import Relativistic
from lit_gans.networks import DiscriminatorFactory, GeneratorFactory, R3GANDiscriminator, R3GANGenerator
from lit_gans.penalties import R1, R2, Penalty
from lit_gans.schedules import Cosine, Schedule
from lit_gans.variants.gan import GAN


class R3GAN(GAN):
    """A modern GAN baseline (Huang et al., 2025, arXiv:2501.05441, section 2, and config E of section 3).

        discriminator  E sp(-(D(x_i) - D(G(z_i)))) + gamma/2 E |grad D(x)|^2 + gamma/2 E |grad D(G(z))|^2
        generator      E sp(-(D(G(z_i)) - D(x_i)))

    where sp is softplus. Each fake is judged against one real (RpGAN), and both gradients are kept small (R1 and R2):
    so the game converges locally without further tricks. Pins loss and penalties. The defaults are those published for
    CIFAR-10, where all numbers follow half a cosine over 20 million images of 512 a batch; `augment` is there
    `ADA(target=None)` with p from 0 to 0.55, a factor of 0.5 for all changes of colour, and cutout. The published code
    gives the generator's turn other reals than the discriminator's; here, where a step is a batch, they are the same.

    Args:
        gamma: Weight of R1 and of R2.
        generator: Makes the generator.
        discriminator: Makes the discriminator.
        generator_lr: Learning rate of the generator.
        discriminator_lr: Learning rate of the discriminator.
        beta2: Of Adam, whose beta1 is 0.
        ema_half_life: Images after which the averaged generator has forgotten half of its past.
        ema_ramp: Bound of the half-life as a share of the images seen.
        penalties: Further terms of the discriminator's loss.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        gamma: float | Schedule = Cosine(start=0.05, end=0.005, kimg=20_000),  # noqa: B008 (schedules have no state)
        generator: GeneratorFactory = R3GANGenerator,
        discriminator: DiscriminatorFactory = R3GANDiscriminator,
        generator_lr: float | Schedule = Cosine(start=2e-4, end=5e-5, kimg=20_000),  # noqa: B008
        discriminator_lr: float | Schedule = Cosine(start=2e-4, end=5e-5, kimg=20_000),  # noqa: B008
        beta2: float | Schedule = Cosine(start=0.9, end=0.99, kimg=20_000),  # noqa: B008
        ema_half_life: float | Schedule = Cosine(start=0.0, end=5e6, kimg=20_000),  # noqa: B008
        ema_ramp: float | None = None,
        penalties: Sequence[Penalty] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            loss=Relativistic(),
            penalties=[R1(gamma), R2(gamma), *penalties],
            generator=generator,
            discriminator=discriminator,
            generator_lr=generator_lr,
            discriminator_lr=discriminator_lr,
            betas=(0.0, beta2),
            ema_half_life=ema_half_life,
            ema_ramp=ema_ramp,
            **kwargs,
        )
