from typing import Any

from lit_gans.base import Phase
from lit_gans.losses import AdversarialLoss, Hinge
from lit_gans.networks import (
    Discriminator,
    DiscriminatorFactory,
    GeneratorFactory,
    ImageShape,
    ResNetDiscriminator,
    ResNetGenerator,
)
from lit_gans.networks.layers import spectral_normalise
from lit_gans.schedules import Linear, Schedule
from lit_gans.variants.gan import GAN


class SNGAN(GAN):
    """GAN with spectral normalization (Miyato et al., 2018, arXiv:1802.05957, Algorithm 1).

        discriminator  every weight divided by its largest singular value
        generator      moves first, then once after each `n_critic` steps of the discriminator

    Pins the normalization, of whatever discriminator is given. The defaults are those of the code's CIFAR-10 ResNet:
    hinge loss (eq. 16 and 17), learning rates that fall to 0 over 50,000 steps of the generator (with a batch of 64;
    they stay there), which makes two fakes for each real in its turn.

    Args:
        generator: Makes the generator.
        discriminator: Makes the discriminator, without norm layers of its own.
        loss: What the players play for.
        n_critic: Steps of the discriminator for each of the generator.
        generator_fakes: Fakes of the generator's turn for each real of the batch.
        generator_lr: Learning rate of the generator.
        discriminator_lr: Learning rate of the discriminator.
        betas: Of Adam.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        generator: GeneratorFactory = ResNetGenerator,
        discriminator: DiscriminatorFactory = ResNetDiscriminator,
        loss: AdversarialLoss = Hinge(),  # noqa: B008 (losses have no state)
        n_critic: int = 5,
        generator_fakes: int = 2,
        generator_lr: float | Schedule = Linear(start=2e-4, kimg=50 * 5 * 64),  # noqa: B008 (nor have schedules)
        discriminator_lr: float | Schedule = Linear(start=2e-4, kimg=50 * 5 * 64),  # noqa: B008
        betas: tuple[float | Schedule, float | Schedule] = (0.0, 0.9),
        **kwargs: Any,
    ) -> None:
        def normalised(image_shape: ImageShape, num_classes: int) -> Discriminator:
            network = discriminator(image_shape, num_classes)
            spectral_normalise(network)
            return network

        super().__init__(
            generator=generator,
            discriminator=normalised,
            loss=loss,
            n_critic=n_critic,
            generator_fakes=generator_fakes,
            generator_lr=generator_lr,
            discriminator_lr=discriminator_lr,
            betas=betas,
            **kwargs,
        )

    def phases(self) -> list[Phase]:
        """The generator on the first of each `n_critic` batches, the discriminator on all."""
        return [
            Phase("generator", self.generator_loss, every=lambda turn: turn % self.n_critic == 0),
            Phase("discriminator", self.discriminator_loss),
        ]
