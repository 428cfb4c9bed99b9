from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from datamodules.batches import Paired
from lit_gans.base import Terms
from lit_gans.losses import AdversarialLoss, NonSaturating
from lit_gans.networks import (
    DiscriminatorFactory,
    ImageShape,
    PatchDiscriminator,
    Translator,
    TranslatorFactory,
    UNetGenerator,
)
from lit_gans.variants.translation import Translation, known


class Pix2Pix(Translation):
    """Image-to-image translation with pairs (Isola et al., 2017, arXiv:1611.07004, eq. 4).

    The discriminator judges patches of pairs: the source with its target, or with the image made of it. The generator
    shall convince it, and be near to the target in the mean absolute difference. Pins that term and the pairs.

    In the paper the only noise is dropout, in tests as well, where batch norm also uses the statistics of the images at
    hand (section 3.3), one at a time in the code: `noise=true`. Without, tests give one image for each source, by the
    running statistics. D's loss is halved as in the paper's text and the PyTorch port; the Torch7 code halves only what
    it reports. Both players see the same image made; the Torch7 code also lets the generator learn from the answers
    that the discriminator gave before its step, and this does not. The paper averages no weights, nor does
    `ema_half_life=0`.

    Args:
        source_shape: (C, H, W) of the sources; the command line takes it from the data.
        image_shape: (C, H, W) of the targets; the command line takes it from the data.
        generator: Makes the generator from (source shape, image shape).
        discriminator: Makes the discriminator of the source's and the image's channels together.
        loss: What the players play for.
        l1_weight: Of the mean absolute difference, with images in [-1, 1]; the paper's lambda.
        discriminator_weight: Of the discriminator's loss.
        noise: Whether tests are done as the training is, with dropout and the statistics of the image at hand.
        ema_half_life: Images after which the averaged generator has forgotten half of its past; or a schedule.
        kwargs: Arguments of AdversarialModule.
    """

    def __init__(
        self,
        *,
        source_shape: ImageShape | None = None,
        image_shape: ImageShape,
        generator: TranslatorFactory = UNetGenerator,
        discriminator: DiscriminatorFactory = PatchDiscriminator,
        loss: AdversarialLoss = NonSaturating(),  # noqa: B008 (losses have no state)
        l1_weight: float = 100.0,
        discriminator_weight: float = 0.5,
        noise: bool = False,
        ema_half_life: float = 0.0,
        **kwargs: Any,
    ) -> None:
        source_shape = known(source_shape)
        channels = source_shape[0] + image_shape[0]
        super().__init__(
            source_shape=source_shape,
            image_shape=image_shape,
            loss=loss,
            generator=generator(source_shape, image_shape),
            discriminator=discriminator((channels, *image_shape[1:]), 0),
            ema_half_life=ema_half_life,
            **kwargs,
        )
        self.l1_weight, self.discriminator_weight, self.noise = l1_weight, discriminator_weight, noise

    def discriminator_loss(self, batch: Paired) -> Terms:
        """The adversarial loss on pairs with the target and with the image made."""
        real_logits = self.discriminator(paired(batch, batch.target))
        fake_logits = self.discriminator(paired(batch, self.made(batch).detach()))
        self.note_decisions(self.loss, real_logits, fake_logits)
        return {"adversarial": self.discriminator_weight * self.loss.discriminator(real_logits, fake_logits)}

    def generator_loss(self, batch: Paired) -> Terms:
        """The adversarial loss, and the distance from the target."""
        fake = self.made(batch)
        return {
            "adversarial": self.adversarial(self.discriminator, paired(batch, fake), paired(batch, batch.target)),
            "l1": self.l1_weight * l1_loss(fake, batch.target),
        }

    def at_test(self, network: Translator, images: Tensor) -> Tensor:
        """Images by the running statistics, or with noise: each by itself, as in the Torch7 code."""
        if not self.noise:
            return super().at_test(network, images)
        with as_in_training(network):
            made = [network(image[None]) for image in images]
        return torch.cat(made) if made else super().at_test(network, images)


def paired(batch: Paired, image: Tensor) -> Tensor:
    """The channels of the sources, and those of images that may belong to them."""
    return torch.cat([batch.source, image], dim=1)


@contextmanager
def as_in_training(network: nn.Module) -> Iterator[None]:
    """Lets dropout act and batch norm use the batch at hand, without its running statistics."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    tracked = [norm.track_running_stats for norm in norms]
    network.train()
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        network.eval()
        for norm, before in zip(norms, tracked, strict=True):
            norm.track_running_stats = before
