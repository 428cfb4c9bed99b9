from typing import Any

from torch.nn.functional import mse_loss

from datamodules.batches import Paired
from lit_gans.base import Phase, Terms
from lit_gans.losses import AdversarialLoss, NonSaturating
from lit_gans.networks import (
    DiscriminatorFactory,
    ImageShape,
    SRDiscriminator,
    SRResNet,
    TranslatorFactory,
)
from lit_gans.perceptual import PerceptualNetwork, content_loss
from lit_gans.schedules import Schedule
from lit_gans.variants.translation import Translation, known


class SRGAN(Translation):
    """Super-resolution with a discriminator (Ledig et al., 2017, arXiv:1609.04802, eq. 3 to 6).

    The generator enlarges images; it shall convince the discriminator, and its images shall look like the originals, in
    their pixels or in what a perceptual network sees in them. It first learns alone from the pixels (SRResNet in the
    paper), and then plays; its optimizer keeps the moments that it has by then, where published codes begin with new
    ones. Pins the two parts of the loss and their order.

    `perceptual=VGGFeatures` with `layers=[relu5_4]`, `scale=0.0784` (1 / 12.75) and `pixel_weight=0` is the paper's
    SRGAN-VGG54; without a perceptual network this is its SRGAN-MSE.

    Args:
        source_shape: (C, H, W) of the small images; the command line takes it from the data.
        image_shape: (C, H, W) of the large ones; the command line takes it from the data.
        generator: Makes the generator from (source shape, image shape).
        discriminator: Makes the discriminator of large images.
        loss: What the players play for.
        perceptual: Network whose maps are compared, `VGGFeatures` or, without its weights, `SmallFeatures`; or None.
            Its name is part of its term's name.
        perceptual_weight: Of that term.
        pixel_weight: Of the distance of pixels, with images in [-1, 1].
        adversarial_weight: Of the generator's adversarial loss.
        pretrain_kimg: Thousands of images on which the generator learns alone, from pixels.
        generator_lr: Learning rate of the generator, constant or as a schedule.
        discriminator_lr: Learning rate of the discriminator, constant or as a schedule.
        betas: Decay of the moments, for optimizers of the Adam family.
        ema_half_life: Images after which the averaged generator has forgotten half of its past; or a schedule.
        kwargs: Arguments of AdversarialModule.
    """

    distance = staticmethod(mse_loss)

    def __init__(
        self,
        *,
        source_shape: ImageShape | None = None,
        image_shape: ImageShape,
        generator: TranslatorFactory = SRResNet,
        discriminator: DiscriminatorFactory = SRDiscriminator,
        loss: AdversarialLoss = NonSaturating(),  # noqa: B008 (losses have no state)
        perceptual: PerceptualNetwork | None = None,
        perceptual_weight: float = 1.0,
        pixel_weight: float = 1.0,
        adversarial_weight: float = 1e-3,
        pretrain_kimg: float = 0.0,
        generator_lr: float | Schedule = 1e-4,
        discriminator_lr: float | Schedule = 1e-4,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.999),
        ema_half_life: float | Schedule = 0.0,
        **kwargs: Any,
    ) -> None:
        source_shape = known(source_shape)
        super().__init__(
            source_shape=source_shape,
            image_shape=image_shape,
            loss=loss,
            generator=generator(source_shape, image_shape),
            discriminator=discriminator(image_shape, 0),
            generator_lr=generator_lr,
            discriminator_lr=discriminator_lr,
            betas=betas,
            ema_half_life=ema_half_life,
            **kwargs,
        )
        self.perceptual, self.perceptual_weight = perceptual, perceptual_weight
        self.pixel_weight, self.adversarial_weight = pixel_weight, adversarial_weight
        self.pretrain_kimg = pretrain_kimg

    def phases(self) -> list[Phase]:
        """The generator alone, then both."""
        return [Phase("generator", self.pixel_loss)] if self.kimg < self.pretrain_kimg else super().phases()

    def pixel_loss(self, batch: Paired) -> Terms:
        """The distance of pixels, from which the generator first learns."""
        return {"pixel": self.distance(self.made(batch), batch.target)}

    def discriminator_loss(self, batch: Paired) -> Terms:
        """The adversarial loss on originals and images made."""
        real_logits, fake_logits = self.discriminator(batch.target), self.discriminator(self.made(batch).detach())
        self.note_decisions(self.loss, real_logits, fake_logits)
        return {"adversarial": self.loss.discriminator(real_logits, fake_logits)}

    def generator_loss(self, batch: Paired) -> Terms:
        """The adversarial loss, and the distances in pixels and in the maps of the perceptual network."""
        fake = self.made(batch)
        terms = {"adversarial": self.adversarial_weight * self.adversarial(self.discriminator, fake, batch.target)}
        if self.pixel_weight:
            terms["pixel"] = self.pixel_weight * self.distance(fake, batch.target)
        if self.perceptual is not None:
            seen = content_loss(self.perceptual(fake), self.perceptual(batch.target), self.distance)
            terms[f"perceptual_{self.perceptual.name}"] = self.perceptual_weight * seen
        return terms
