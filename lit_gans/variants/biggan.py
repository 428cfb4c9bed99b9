from typing import Any

from datamodules.batches import Labelled
from lit_gans.base import Terms
from lit_gans.losses import AdversarialLoss, Hinge
from lit_gans.networks import BigGANDiscriminator, BigGANGenerator, DiscriminatorFactory, GeneratorFactory
from lit_gans.networks.heads import Projection
from lit_gans.penalties import unorthogonality
from lit_gans.schedules import Schedule
from lit_gans.variants.gan import GAN


class BigGAN(GAN):
    """Large scale GAN training (Brock et al., 2019, arXiv:1809.11096).

    Networks with a shared class embedding, a latent that is split over the blocks, and spectral norm in both players; a
    projection of the label; a term that pushes the generator's filters towards right angles (eq. 3). Pins the
    projection. Sampling with `truncation` trades variety for quality (section 3.1).

    The defaults are the paper's for 128 pixels (appendix C), where a batch is 2048 and the average decays by 0.9999 at
    each step of the generator; it is a copy for the first 20,000 steps there, and bounded by `ema_ramp` here. The
    PyTorch code of its first author has one step of the discriminator for each of the generator, learning rates of 1e-4
    and 4e-4, and no orthogonal term.

    Args:
        orthogonal_weight: Of the orthogonal term, the paper's beta; 0 for none.
        conditional: Whether there are labels.
        generator: Makes the generator.
        discriminator: Makes a discriminator without labels, which gets the projection.
        loss: What the players play for.
        n_critic: Steps of the discriminator for each of the generator.
        generator_lr: Learning rate of the generator.
        discriminator_lr: Learning rate of the discriminator.
        betas: Of Adam.
        eps: Of Adam, as in the PyTorch code.
        ema_half_life: Images after which the averaged generator has forgotten half of its past.
        uniform_labels: Whether labels of fakes are drawn uniformly.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        orthogonal_weight: float = 1e-4,
        conditional: bool = True,
        generator: GeneratorFactory = BigGANGenerator,
        discriminator: DiscriminatorFactory = BigGANDiscriminator,
        loss: AdversarialLoss = Hinge(),  # noqa: B008 (losses have no state)
        n_critic: int = 2,
        generator_lr: float | Schedule = 5e-5,
        discriminator_lr: float | Schedule = 2e-4,
        betas: tuple[float | Schedule, float | Schedule] = (0.0, 0.999),
        eps: float | None = 1e-6,
        ema_half_life: float | Schedule = 28e6,
        uniform_labels: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            conditional=conditional,
            generator=generator,
            discriminator=lambda shape, classes: Projection(discriminator(shape, 0), classes),
            loss=loss,
            n_critic=n_critic,
            generator_lr=generator_lr,
            discriminator_lr=discriminator_lr,
            betas=betas,
            eps=eps,
            ema_half_life=ema_half_life,
            uniform_labels=uniform_labels,
            **kwargs,
        )
        self.orthogonal_weight = orthogonal_weight

    def generator_loss(self, batch: Labelled) -> Terms:
        """The adversarial loss, and the inner products of the generator's filters."""
        terms = super().generator_loss(batch)
        if self.orthogonal_weight:
            terms["orthogonal"] = self.orthogonal_weight * unorthogonality(self.generator)
        return terms
