from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer, RMSprop

from lit_gans.base import Phase
from lit_gans.losses import Wasserstein
from lit_gans.networks import DCGANDiscriminator, DCGANGenerator, DiscriminatorFactory, GeneratorFactory
from lit_gans.penalties import Penalty, WeightClipping
from lit_gans.schedules import Schedule
from lit_gans.variants.gan import GAN


class WGAN(GAN):
    """Wasserstein GAN (Arjovsky et al., 2017, arXiv:1701.07875, Algorithm 1).

        critic     E D(G(z)) - E D(x), then each weight clamped to [-clip, clip]
        generator  -E D(G(z)), after `n_critic` steps of the critic on fresh batches

    The critic estimates the earth mover's distance, as far as the clamp keeps it Lipschitz. Pins loss and clipping.
    Clamped is after each step of the critic, as in Algorithm 1 (the code clamps before). The code also lets the critic
    make 100 steps for each of the generator's first 25, and for every 500th: `critic_head_start=true`.

    Args:
        clip: Largest absolute value of the critic's parameters, the paper's c.
        n_critic: Steps of the critic for each of the generator.
        critic_head_start: Whether the critic makes 100 steps at the times given above.
        generator: Makes the generator.
        discriminator: Makes the critic; batch norm in it, as here, is in the paper's code.
        optimizer: With momentum, such as Adam's beta1, the paper's critic became unstable (section 4.2).
        generator_lr: Learning rate of the generator, the paper's alpha.
        discriminator_lr: Learning rate of the critic.
        penalties: Further terms of the critic's loss.
        kwargs: Arguments of GAN and AdversarialModule.
    """

    def __init__(
        self,
        *,
        clip: float = 0.01,
        n_critic: int = 5,
        critic_head_start: bool = False,
        generator: GeneratorFactory = DCGANGenerator,
        discriminator: DiscriminatorFactory = DCGANDiscriminator,
        optimizer: type[Optimizer] = RMSprop,
        generator_lr: float | Schedule = 5e-5,
        discriminator_lr: float | Schedule = 5e-5,
        penalties: Sequence[Penalty] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            loss=Wasserstein(),
            penalties=[WeightClipping(clip), *penalties],
            n_critic=n_critic,
            generator=generator,
            discriminator=discriminator,
            optimizer=optimizer,
            generator_lr=generator_lr,
            discriminator_lr=discriminator_lr,
            **kwargs,
        )
        self.critic_head_start = critic_head_start

    def phases(self) -> list[Phase]:
        """The critic on every batch, then the generator on every `n_critic`-th, or later where the critic leads."""
        due = self.generator_due if self.critic_head_start else self.n_critic
        return [Phase("discriminator", self.discriminator_loss), Phase("generator", self.generator_loss, every=due)]

    def generator_due(self, turn: int) -> bool:
        """Whether the generator moves after batch `turn`: after 100 batches for steps 0 to 24, 500, 1000, ..."""
        if turn < 25 * 100:
            return (turn + 1) % 100 == 0
        # A round of 500 steps of the generator begins with 100 batches and goes on with `n_critic` for each other.
        place = (turn - (25 * 100 - (100 + 24 * self.n_critic))) % (100 + 499 * self.n_critic)
        return place >= 99 and (place - 99) % self.n_critic == 0
