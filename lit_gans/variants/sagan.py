from typing import Any

from lit_gans.losses import AdversarialLoss, Hinge
from lit_gans.networks import (
    Discriminator,
    DiscriminatorFactory,
    Generator,
    GeneratorFactory,
    ImageShape,
    ResNetDiscriminator,
    ResNetGenerator,
)
from lit_gans.networks.heads import Projection
from lit_gans.schedules import Schedule
from lit_gans.variants.gan import GAN


class SAGAN(GAN):
    """Self-attention GAN (Zhang et al., 2019, arXiv:1805.08318).

    In both players: each place of one map attends to all others (eq. 1 to 3), and all weights are spectrally normalised
    (section 4). Labels go into class-wise batch norm and into a projection. Pins attention, normalization and
    projection. By default there are labels, and both players move on each batch, with unlike learning rates and hinge
    loss (eq. 4).

    Followed are the published networks, of which the discriminator widens in the first convolution of a block, and has
    attention at 32 of 128 pixels. Its code advances the estimates of the singular values on the pass of reals only,
    here each pass does.

    Args:
        attention: Side of the map that attends, in both networks; by default half of the image, or a quarter beyond 64
            pixels (of images below 16 pixels, the generator's last map).
        conditional: Whether there are labels.
        generator: Makes the generator; takes `attention` and `spectral`.
        discriminator: Makes a discriminator without labels, which gets the projection; takes the same and `wide`.
        loss: What the players play for.
        generator_lr: Learning rate of the generator.
        discriminator_lr: Learning rate of the discriminator.
        betas: Of Adam; the published code leaves beta2 at 0.999.
        uniform_labels: Whether labels of fakes are drawn uniformly.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        attention: int | None = None,
        conditional: bool = True,
        generator: GeneratorFactory = ResNetGenerator,
        discriminator: DiscriminatorFactory = ResNetDiscriminator,
        loss: AdversarialLoss = Hinge(),  # noqa: B008 (losses have no state)
        generator_lr: float | Schedule = 1e-4,
        discriminator_lr: float | Schedule = 4e-4,
        betas: tuple[float | Schedule, float | Schedule] = (0.0, 0.9),
        uniform_labels: bool = True,
        **kwargs: Any,
    ) -> None:
        def make_generator(image_shape: ImageShape, num_classes: int) -> Generator:
            side = image_shape[1] // (1 if image_shape[1] < 16 else 2 if image_shape[1] <= 64 else 4)
            return generator(image_shape, num_classes, attention=attention or side, spectral=True)

        def make_discriminator(image_shape: ImageShape, num_classes: int) -> Discriminator:
            side = image_shape[1] // (2 if image_shape[1] <= 64 else 4)
            body = discriminator(image_shape, 0, attention=attention or side, spectral=True, wide=True)
            return Projection(body, num_classes)

        super().__init__(
            conditional=conditional,
            generator=make_generator,
            discriminator=make_discriminator,
            loss=loss,
            generator_lr=generator_lr,
            discriminator_lr=discriminator_lr,
            betas=betas,
            uniform_labels=uniform_labels,
            **kwargs,
        )
