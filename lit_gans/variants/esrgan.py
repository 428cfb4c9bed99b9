from typing import Any

from torch.nn.functional import l1_loss

from lit_gans.losses import AdversarialLoss, RelativisticAverage
from lit_gans.networks import DiscriminatorFactory, RRDBNet, SRDiscriminator, TranslatorFactory
from lit_gans.schedules import Schedule
from lit_gans.variants.srgan import SRGAN


class ESRGAN(SRGAN):
    """Enhanced super-resolution GAN (Wang et al., 2018, arXiv:1809.00219, eq. 1 to 3).

    SRGAN with residual-in-residual dense blocks, without norms in the generator; the discriminator tells whether an
    image is more real than the mean of the others; distances are mean absolute ones, of a perceptual network before its
    activations (`layers=[conv5_4]`). The relativistic loss is halved, as in the published code. There the generator
    moves first, here the discriminator, as in SRGAN; and there the discriminator halves its maps by kernels of 4x4,
    here it is SRGAN's. That of Real-ESRGAN is `UNetDiscriminator`.

    Args:
        generator: Makes the generator from (source shape, image shape).
        discriminator: Makes the discriminator of large images.
        loss: What the players play for.
        pixel_weight: Of the distance of pixels, with images in [-1, 1], where the paper's are in [0, 1]: its 1e-2.
        adversarial_weight: Of the generator's adversarial loss; the paper's lambda.
        betas: Decay of the moments, for optimizers of the Adam family; those of the published code, where the paper's
            text has 0.999.
        ema_half_life: Images after which the averaged generator has forgotten half of its past; that of the published
            code's 0.999 with batches of 16.
        kwargs: Arguments of SRGAN and AdversarialModule.
    """

    distance = staticmethod(l1_loss)

    def __init__(
        self,
        *,
        generator: TranslatorFactory = RRDBNet,
        discriminator: DiscriminatorFactory = SRDiscriminator,
        loss: AdversarialLoss = RelativisticAverage(),  # noqa: B008 (losses have no state)
        pixel_weight: float = 5e-3,
        adversarial_weight: float = 5e-3,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.99),
        ema_half_life: float | Schedule = 11_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            generator=generator,
            discriminator=discriminator,
            loss=loss,
            pixel_weight=pixel_weight,
            adversarial_weight=adversarial_weight,
            betas=betas,
            ema_half_life=ema_half_life,
            **kwargs,
        )
