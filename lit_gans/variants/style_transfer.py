from typing import Any

from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from datamodules.batches import Unpaired
from lit_gans.base import Terms
from lit_gans.errors import UserError
from lit_gans.losses import AdversarialLoss, LeastSquares
from lit_gans.networks import (
    DiscriminatorFactory,
    ImageShape,
    InstancePatchDiscriminator,
    ResNetTranslator,
    StyleTranslator,
    TranslatorFactory,
)
from lit_gans.perceptual import PerceptualNetwork, content_loss, style_loss
from lit_gans.pool import ImagePool
from lit_gans.precision import full_precision
from lit_gans.tiles import continued, floats
from lit_gans.variants.translation import Translation, known


class StyleTransferGAN(Translation):
    """Paints images in the style of a set of others, which a discriminator knows (no paper of its own).

    From the "content GAN" of CycleGAN's Torch7 code (Zhu et al., 2017, arXiv:1703.10593): the discriminator judges
    patches of style images and of images made, and these shall keep the content of what they are made from, in pixels
    or in what a perceptual network sees. Pins these two terms. There the content term is the mean absolute difference;
    `squared_content=true` gives the mean square. As in CycleGAN the generator's least squares are not halved there,
    which `adversarial_weight=2` makes up for; nor are the discriminator's, which here are: Adam takes the same steps.
    There the generator learns from answers given before the discriminator's step, to the pool's images; here it does
    not.

    With `generator=StyleTranslator` one network serves many styles: it is shown the style image, whose statistics its
    maps take on (AdaIN, Huang and Belongie, 2017, arXiv:1703.06868), and `style_weight` adds that paper's style loss,
    if there is a perceptual network.

    Args:
        source_shape: (C, H, W) of the content images, set a; the command line takes it from the data.
        image_shape: (C, H, W) of the style images, set b; the command line takes it from the data.
        generator: Makes the generator from (source shape, image shape).
        discriminator: Makes the discriminator of images in style.
        loss: What the players play for.
        adversarial_weight: Of the generator's adversarial loss.
        content_weight: Of the content term, with images in [-1, 1].
        squared_content: Whether the content term is a mean square.
        perceptual: Network whose maps are compared, `VGGFeatures` or, without its weights, `SmallFeatures`; or None.
            Its name is part of its terms' names.
        style_weight: Of the difference of the maps' means and deviations from those of the style image.
        pool_size: Earlier images made that the discriminator also sees.
        ema_half_life: Images after which the averaged generator has forgotten half of its past; or a schedule.
        kwargs: Arguments of AdversarialModule.
    """

    batches = Unpaired

    def __init__(
        self,
        *,
        source_shape: ImageShape | None = None,
        image_shape: ImageShape,
        generator: TranslatorFactory = ResNetTranslator,
        discriminator: DiscriminatorFactory = InstancePatchDiscriminator,
        loss: AdversarialLoss = LeastSquares(),  # noqa: B008 (losses have no state)
        adversarial_weight: float = 2.0,
        content_weight: float = 10.0,
        squared_content: bool = False,
        perceptual: PerceptualNetwork | None = None,
        style_weight: float = 0.0,
        pool_size: int = 50,
        ema_half_life: float = 0.0,
        **kwargs: Any,
    ) -> None:
        source_shape = known(source_shape)
        super().__init__(
            source_shape=source_shape,
            image_shape=image_shape,
            loss=loss,
            generator=generator(source_shape, image_shape),
            discriminator=discriminator(image_shape, 0),
            ema_half_life=ema_half_life,
            **kwargs,
        )
        self.adversarial_weight = adversarial_weight
        self.content_weight, self.squared_content = content_weight, squared_content
        self.perceptual, self.style_weight, self.pool = perceptual, style_weight, ImagePool(pool_size)

    def make(self, batch: Unpaired) -> Tensor:
        """The content images in style: in that of the images beside them, if the generator is shown any."""
        style = [batch.b] if isinstance(self.generator, StyleTranslator) else []
        return full_precision(self.generator(batch.a, *style))

    def discriminator_loss(self, batch: Unpaired) -> Terms:
        """The adversarial loss on style images and images made, some of them earlier ones."""
        earlier = self.earlier(self.pool, self.made(batch).detach(), "pool")
        real_logits, fake_logits = self.discriminator(batch.b), self.discriminator(earlier)
        self.note_decisions(self.loss, real_logits, fake_logits)
        return {"adversarial": self.loss.discriminator(real_logits, fake_logits)}

    def generator_loss(self, batch: Unpaired) -> Terms:
        """The adversarial loss, the distance from the content, and from the style if it is asked for."""
        fake, distance = self.made(batch), mse_loss if self.squared_content else l1_loss
        terms = {"adversarial": self.adversarial_weight * self.adversarial(self.discriminator, fake, batch.b)}
        if self.perceptual is None:
            return terms | {"content": self.content_weight * distance(fake, batch.a)}
        maps, name = self.perceptual(fake), self.perceptual.name
        content = content_loss(maps, self.perceptual(batch.a), distance)
        terms[f"content_{name}"] = self.content_weight * content
        if self.style_weight:
            terms[f"style_{name}"] = self.style_weight * style_loss(maps, self.perceptual(batch.b))
        return terms

    def translate(self, images: Tensor, *, style: Tensor | None = None, **tiles: Any) -> Tensor:
        """Images in style by the averaged generator; see `Translation`.

        Args:
            images: (N, C, H, W), float in [-1, 1] or uint8.
            style: (N, C, h, w), or one for all, (1, C, h, w), likewise, for a generator that is shown the style.
            tiles: `tile`, `overlap` and `canvas` of `in_tiles`.

        Raises:
            UserError: a style for a generator that has but one, or none for one that is shown it.
        """
        if isinstance(self.ema, StyleTranslator) != (style is not None):
            raise UserError("give a style image to a generator that is shown the style (StyleTranslator), to no other")
        if style is None:
            return self.translated(self.ema, images, **tiles)
        shown = continued(floats(style), self.ema.multiple, self.ema.least)
        return self.translated(self.ema, images, shown, **tiles)

    def validation_step(self, batch: Unpaired, batch_idx: int) -> dict[str, Tensor]:
        """What is made of the content images, and the style images, to which they do not belong."""
        style = batch.b if isinstance(self.ema, StyleTranslator) else None
        return {"source": batch.a, "real": batch.b, "fake": self.translate(batch.a, style=style)}
