r"""Adversarial losses on logits, side by side; r are the logits of reals, f those of fakes, sp softplus, E the mean.

| class | discriminator minimises | generator minimises |
|---|---|---|
| Minimax | E sp(-r) + E sp(f) | -E sp(f) |
| NonSaturating | E sp(-r) + E sp(f) | E sp(-f) |
| LeastSquares | (E (r-b)^2 + E (f-a)^2) / 2 | E (f-c)^2 / 2 |
| Wasserstein | E f - E r | -E f |
| Hinge | E relu(1-r) + E relu(1+f) | -E f |
| Relativistic | E sp(-(r_i - f_i)) | E sp(-(f_i - r_i)) |
| RelativisticAverage | (E sp(-(r - E f)) + E sp(f - E r)) / 2 | (E sp(r - E f) + E sp(-(f - E r))) / 2 |
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from lit_gans.precision import full_precision


class AdversarialLoss:
    """What either player minimises, given the discriminator's logits of any shape. All results are scalars.

    Attributes:
        threshold: Logits above it mean "real"; None where only the order of real and fake has a meaning.
        needs_reals: Whether the generator's loss needs the logits of reals.
    """

    threshold: ClassVar[float | None] = 0.0
    needs_reals: ClassVar[bool] = False

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The discriminator's loss."""
        raise NotImplementedError

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The generator's loss; relativistic losses need the logits of reals as well."""
        raise NotImplementedError

    def probability(self, logits: Tensor) -> Tensor:
        """How real the discriminator holds its input to be: a probability where the loss has one, else the logit."""
        return full_precision(logits)

    @torch.no_grad()
    def decisions(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """What a monitor shows of the discriminator: mean verdicts D(x) and D(G(z)), and how often it is right.

        Right means on the right side of the threshold (separately on reals and on fakes), or, for a loss without one,
        a real ranked above the fake it is paired with.
        """
        verdicts = {
            "real_score": self.probability(real_logits).mean(),
            "fake_score": self.probability(fake_logits).mean(),
        }
        if self.threshold is None:
            pairs = min(real_logits.numel(), fake_logits.numel())
            right = real_logits.flatten()[:pairs] > fake_logits.flatten()[:pairs]
            return verdicts | {"ranking_accuracy": right.float().mean()}
        return verdicts | {
            "real_accuracy": (real_logits > self.threshold).float().mean(),
            "fake_accuracy": (fake_logits <= self.threshold).float().mean(),
        }


class Minimax(AdversarialLoss):
    """The value function of the zero-sum game (Goodfellow et al., 2014, arXiv:1406.2661, eq. 1).

    The generator's gradient vanishes where the discriminator is sure; see `NonSaturating`.
    """

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z)))."""
        return softplus(-full_precision(real_logits)).mean() + softplus(full_precision(fake_logits)).mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """E log(1 - D(G(z)))."""
        return -softplus(full_precision(fake_logits)).mean()

    def probability(self, logits: Tensor) -> Tensor:
        """The logistic function of the logits."""
        return full_precision(logits).sigmoid()


class NonSaturating(Minimax):
    """The generator maximises log D(G(z)) instead (Goodfellow et al., 2014, arXiv:1406.2661, section 3)."""

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """-E log D(G(z))."""
        return softplus(-full_precision(fake_logits)).mean()


class LeastSquares(AdversarialLoss):
    """Regression to the codes of fake and real (LSGAN, Mao et al., 2017, arXiv:1611.04076, eq. 2).

    Args:
        fake_code: a, what the discriminator should answer to fakes.
        real_code: b, what it should answer to reals.
        generator_code: c, what the generator wants it to answer. (-1, 1, 0) minimises the Pearson divergence (eq. 8).
    """

    def __init__(self, *, fake_code: float = 0.0, real_code: float = 1.0, generator_code: float = 1.0) -> None:
        self.fake_code, self.real_code, self.generator_code = fake_code, real_code, generator_code

    @property
    def threshold(self) -> float:
        """Halfway between the two codes."""
        return (self.fake_code + self.real_code) / 2

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """(E (r-b)^2 + E (f-a)^2) / 2."""
        real, fake = full_precision(real_logits), full_precision(fake_logits)
        return ((real - self.real_code).square().mean() + (fake - self.fake_code).square().mean()) / 2

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """E (f-c)^2 / 2."""
        return (full_precision(fake_logits) - self.generator_code).square().mean() / 2


class Wasserstein(AdversarialLoss):
    """The critic estimates an earth mover's distance (Arjovsky et al., 2017, arXiv:1701.07875, eq. 2 and 3).

    Only with a critic that is kept Lipschitz: by weight clipping, a gradient penalty or spectral normalization.
    """

    threshold = None

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E f - E r, the negative of the estimated distance."""
        return full_precision(fake_logits).mean() - full_precision(real_logits).mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """-E f."""
        return -full_precision(fake_logits).mean()


class Hinge(AdversarialLoss):
    """Margins of one on either side (Lim & Ye, 2017, arXiv:1705.02894; SNGAN, arXiv:1802.05957, eq. 16 and 17)."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E relu(1-r) + E relu(1+f)."""
        return relu(1 - full_precision(real_logits)).mean() + relu(1 + full_precision(fake_logits)).mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """-E f."""
        return -full_precision(fake_logits).mean()


class Relativistic(AdversarialLoss):
    """Each fake is judged against one real (RpGAN, Jolicoeur-Martineau, 2018, arXiv:1807.00734).

    The loss of R3GAN (arXiv:2501.05441). Real `i` is paired with fake `i`, so both must have the same number of logits.
    """

    threshold = None
    needs_reals = True

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E sp(-(r_i - f_i))."""
        return softplus(full_precision(fake_logits) - full_precision(real_logits)).mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """E sp(-(f_i - r_i))."""
        return self.discriminator(fake_logits, real_logits)


class RelativisticAverage(AdversarialLoss):
    """Each logit is judged against the mean of the other kind (RaGAN, Jolicoeur-Martineau, 2018, arXiv:1807.00734).

    The loss of ESRGAN (arXiv:1809.00219, eq. 1 and 2), with the halves of its published code. The means are those of
    the logits at hand: of one device and one micro-batch.
    """

    threshold = None
    needs_reals = True

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """(E sp(-(r - E f)) + E sp(f - E r)) / 2."""
        real, fake = full_precision(real_logits), full_precision(fake_logits)
        return (softplus(fake.mean() - real).mean() + softplus(fake - real.mean()).mean()) / 2

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The discriminator's loss with real and fake exchanged."""
        return self.discriminator(fake_logits, real_logits)
