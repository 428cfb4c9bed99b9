from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from datamodules.batches import Labelled
from lit_gans.base import Terms
from lit_gans.networks import DCGANDiscriminator, DCGANGenerator, DiscriminatorFactory, GeneratorFactory
from lit_gans.networks.heads import AuxiliaryClassifier
from lit_gans.penalties import R1, R2
from lit_gans.precision import full_precision
from lit_gans.variants.gan import GAN


class ACGAN(GAN):
    """Auxiliary classifier GAN (Odena et al., 2017, arXiv:1610.09585, eq. 2 and 3).

    The generator is told the label; the discriminator is not, but guesses it. Both players want the guess to be right,
    on reals and on fakes. Pins labels, class head and class terms. In the paper both classification terms of the
    discriminator have weight 1; `fake_class_weight=0` leaves out that on fakes, as later codes do (WGAN-GP's with
    `generator_class_weight=0.1`). The paper's own networks are `ACGANGenerator` and `ACGANDiscriminator`.

    Args:
        real_class_weight: Of the discriminator's classification of reals.
        fake_class_weight: Of its classification of fakes.
        generator_class_weight: Of the same in the generator's loss.
        generator: Makes the generator.
        discriminator: Makes a discriminator without labels, which gets the class head.
        uniform_labels: Whether labels of fakes are drawn uniformly; else they are those of the reals.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        real_class_weight: float = 1.0,
        fake_class_weight: float = 1.0,
        generator_class_weight: float = 1.0,
        generator: GeneratorFactory = DCGANGenerator,
        discriminator: DiscriminatorFactory = DCGANDiscriminator,
        uniform_labels: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            conditional=True,
            generator=generator,
            discriminator=lambda shape, classes: AuxiliaryClassifier(discriminator(shape, 0), classes),
            uniform_labels=uniform_labels,
            **kwargs,
        )
        self.real_class_weight, self.fake_class_weight = real_class_weight, fake_class_weight
        self.generator_class_weight = generator_class_weight

    def discriminator_loss(self, batch: Labelled) -> Terms:
        """The adversarial loss, and the cross-entropy of the guesses on reals and on fakes."""
        real, fake = self.leaves(batch, R1), self.leaves(self.fakes(batch), R2)
        critic = self.critic(real, fake)
        terms = self.discriminator_terms(critic, real.image, fake.image)
        return terms | {
            "real_class": self.real_class_weight * classification(critic.answer(real.image)[1], real.label),
            "fake_class": self.fake_class_weight * classification(critic.answer(fake.image)[1], fake.label),
        }

    def generator_loss(self, batch: Labelled) -> Terms:
        """The adversarial loss, and the cross-entropy of the guesses on fakes."""
        fake = self.fakes(batch, self.generator_fakes)
        critic = self.critic(batch, fake)
        return self.generator_terms(critic, batch.image, fake.image) | {
            "class": self.generator_class_weight * classification(critic.answer(fake.image)[1], fake.label)
        }


def classification(class_logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of class logits (N, num_classes) with labels (N,)."""
    return cross_entropy(full_precision(class_logits), label)
