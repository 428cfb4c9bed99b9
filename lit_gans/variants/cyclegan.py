from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from datamodules.batches import Unpaired
from lit_gans.base import Phase, Terms
from lit_gans.errors import UserError
from lit_gans.losses import AdversarialLoss, LeastSquares
from lit_gans.networks import (
    DiscriminatorFactory,
    ImageShape,
    InstancePatchDiscriminator,
    ResNetTranslator,
    TranslatorFactory,
)
from lit_gans.pool import ImagePool
from lit_gans.precision import full_precision
from lit_gans.variants.translation import Translation, known


class CycleGAN(Translation):
    """Translation between two sets of images without pairs (Zhu et al., 2017, arXiv:1703.10593, eq. 3).

    One generator makes images of set b from those of a, another one the way back, and each set has its discriminator.
    There and back again an image shall come out as it was, and an image that is already of the set stays as it is.
    Pins the two pairs of networks and the cycle.

    As in the PyTorch code both generators move first, in one step, and the discriminators see images made from a pool
    of earlier ones. There the generators' least squares are not halved, which `adversarial_weight=2` makes up for, and
    the discriminators' are. The paper has the identity term for paintings to photographs only (section 5.2); the
    PyTorch code has it everywhere.

    Args:
        source_shape: (C, H, W) of set a; the command line takes it from the data.
        image_shape: (C, H, W) of set b; the command line takes it from the data.
        generator: Makes either generator from (source shape, image shape).
        discriminator: Makes either discriminator.
        loss: What the players play for.
        adversarial_weight: Of the generators' adversarial losses.
        cycle_weight: Of the mean absolute difference after the round trip, with images in [-1, 1]; the paper's lambda.
        identity_weight: Likewise of images that are already of the set; 0 for no such term.
        pool_size: Earlier images made that the discriminators also see, for each set.
        ema_half_life: Images after which the averaged generators have forgotten half of their past; or a schedule.
        kwargs: Arguments of AdversarialModule.

    Raises:
        UserError: an identity term between sets of unlike channels.
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
        cycle_weight: float = 10.0,
        identity_weight: float = 5.0,
        pool_size: int = 50,
        ema_half_life: float = 0.0,
        **kwargs: Any,
    ) -> None:
        source_shape = known(source_shape)
        if identity_weight and source_shape[0] != image_shape[0]:
            raise UserError(
                f"images of {source_shape[0]} and {image_shape[0]} channels have no identity term: identity_weight=0"
            )
        super().__init__(
            source_shape=source_shape,
            image_shape=image_shape,
            loss=loss,
            generator=nn.ModuleDict(
                {"ab": generator(source_shape, image_shape), "ba": generator(image_shape, source_shape)}
            ),
            discriminator=nn.ModuleDict({"a": discriminator(source_shape, 0), "b": discriminator(image_shape, 0)}),
            ema_half_life=ema_half_life,
            **kwargs,
        )
        self.adversarial_weight = adversarial_weight
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.pools = nn.ModuleDict({"a": ImagePool(pool_size), "b": ImagePool(pool_size)})

    def phases(self) -> list[Phase]:
        """The generators, on every `n_critic`-th batch, then the discriminators, on all."""
        return [
            Phase("generator", self.generator_loss, every=self.n_critic),
            Phase("discriminator", self.discriminator_loss),
        ]

    def make(self, batch: Unpaired) -> Unpaired:
        """What the generators make: images of set a from those of b, and of set b from those of a."""
        return Unpaired(full_precision(self.generator["ba"](batch.b)), full_precision(self.generator["ab"](batch.a)))

    def generator_loss(self, batch: Unpaired) -> Terms:
        """The adversarial losses, the cycles, and the identities if they are asked for."""
        fake = self.made(batch)
        terms = {
            "a_adversarial": self.adversarial_weight * self.adversarial(self.discriminator["a"], fake.a, batch.a),
            "b_adversarial": self.adversarial_weight * self.adversarial(self.discriminator["b"], fake.b, batch.b),
            "a_cycle": self.cycle_weight * l1_loss(full_precision(self.generator["ba"](fake.b)), batch.a),
            "b_cycle": self.cycle_weight * l1_loss(full_precision(self.generator["ab"](fake.a)), batch.b),
        }
        if self.identity_weight:
            terms |= {
                "a_identity": self.identity_weight * l1_loss(full_precision(self.generator["ba"](batch.a)), batch.a),
                "b_identity": self.identity_weight * l1_loss(full_precision(self.generator["ab"](batch.b)), batch.b),
            }
        return terms

    def discriminator_loss(self, batch: Unpaired) -> Terms:
        """The adversarial losses on either set and the images made of it, some of them earlier ones."""
        fake, terms, answers = self.made(batch), {}, []
        for side in ("a", "b"):
            earlier = self.earlier(self.pools[side], getattr(fake, side).detach(), f"pool {side}")
            answers.append([self.discriminator[side](images) for images in (getattr(batch, side), earlier)])
            terms[f"{side}_adversarial"] = self.loss.discriminator(*answers[-1])
        self.note_decisions(self.loss, *(torch.cat(logits) for logits in zip(*answers, strict=True)))
        return terms

    def translate(self, images: Tensor, *, direction: Literal["ab", "ba"] = "ab", **tiles: Any) -> Tensor:
        """Images of one set to the other by the averaged generator; see `Translation`.

        Args:
            images: (N, C, H, W), float in [-1, 1] or uint8.
            direction: "ab" for images of set a, "ba" for those of b.
            tiles: `tile`, `overlap` and `canvas` of `in_tiles`.
        """
        return self.translated(self.ema[direction], images, **tiles)

    def validation_step(self, batch: Unpaired, batch_idx: int) -> dict[str, Tensor]:
        """What is made of the images of set a, and images of set b, to which they do not belong."""
        return {"source": batch.a, "real": batch.b, "fake": self.translate(batch.a)}
