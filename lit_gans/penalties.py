"""Penalties that keep a critic well-behaved, as terms of the discriminator's loss: `penalty(critic, real, fake)`.

| class | term |
|---|---|
| GradientPenalty | weight E (abs(grad D(between)) - target)^2, between reals and fakes |
| DRAGANPenalty | weight E (abs(grad D(near)) - target)^2, near reals |
| R1, R2 | weight/2 E abs(grad D)^2 at reals, at fakes |
| Drift | weight E D(real)^2 |
| LeCam | weight (E relu(D(real) - past fakes)^2 + E relu(past reals - D(fake))^2) |
| Consistency | weight E (D(T(image)) - D(image))^2 on reals and on fakes |
| Orthogonal | weight sum over layers of the squared inner products of unlike rows |
| WeightClipping | none: weights are clamped after each step |
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.parametrize import is_parametrized

from lit_gans.augment import Augment, FlipShift
from lit_gans.critic import Critic as RememberingCritic
from lit_gans.errors import at_least
from lit_gans.precision import full_precision, without_autocast
from lit_gans.randomness import Draw
from lit_gans.schedules import Schedule, least, value_at

Critic = Callable[..., Tensor]  # from images to logits; the one that remembers its answers is told of fakes by `like`


def input_gradient(critic: Critic, images: Tensor) -> Tensor:
    """The gradient of each logit with respect to its own image, flattened: (N, C*H*W), itself differentiable.

    With batch norm in the critic, a logit depends on the other images too, and their share is in the gradient. Computed
    with autocast off: second derivatives in half precision are wrong by several per cent. Images that are leaves and
    require gradient are taken as they are, so that a critic which remembers need not judge them again.
    """
    with without_autocast(images.device):
        leaves = full_precision(images)
        if not (leaves.is_leaf and leaves.requires_grad):
            leaves = leaves.detach().requires_grad_(True)
        logits = critic(leaves, like=images) if isinstance(critic, RememberingCritic) else critic(leaves)
        return torch.autograd.grad(logits.sum(), leaves, create_graph=True)[0].flatten(1)


class Penalty(nn.Module, ABC):
    """One term of the discriminator's loss.

    Args:
        weight: Factor of the term, constant or as a schedule.
        every: Computed on every `every`-th batch only and then weighted `every`-fold (lazy regularization, StyleGAN2,
            arXiv:1912.04958, section 3.1), in the same step as the loss; in the paper it has a step of its own.
    """

    per_sample = False  # whether the term is about single images, which batch norm in the critic mixes

    def __init__(self, weight: float | Schedule = 10.0, every: int = 1) -> None:
        super().__init__()
        at_least(1, every=every)
        at_least(0, weight=least(weight))
        self.weight, self.every = weight, every

    @property
    def name(self) -> str:
        """The term's name in the logs."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()

    def due(self, turn: int) -> bool:
        """Whether there is a term on batch `turn`, counted from 0."""
        return self.term is not None and turn % self.every == 0

    def forward(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw = torch.rand, kimg: float = 0.0) -> Tensor:
        """The weighted term, a scalar.

        Args:
            critic: From images (N, C, H, W) to logits (N, ...).
            real: Real images.
            fake: Fake images, as many.
            draw: `draw(N, 1, 1, 1)` gives numbers from U(0, 1), one per image; the same ones at each call.
            kimg: Thousands of images seen, for scheduled weights.
        """
        return self.every * value_at(self.weight, kimg) * self.term(critic, real, fake, draw)

    @abstractmethod
    def term(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """The term without its weight."""

    def after_step(self, network: nn.Module) -> None:
        """Called when the discriminator has moved."""


class R1(Penalty):
    """weight/2 E |grad D(x)|^2; the weight is the paper's gamma (Mescheder et al., 2018, arXiv:1801.04406, eq. 9)."""

    per_sample = True

    def term(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """E |grad D(x)|^2 / 2 over reals."""
        return input_gradient(critic, real).square().sum(1).mean() / 2


class R2(Penalty):
    """weight/2 E |grad D(G(z))|^2, likewise on fakes (Mescheder et al., 2018, arXiv:1801.04406, eq. 10)."""

    per_sample = True

    def term(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """E |grad D(G(z))|^2 / 2 over fakes."""
        return input_gradient(critic, fake).square().sum(1).mean() / 2


class GradientPenalty(Penalty):
    """Gradient norms pulled to one between reals and fakes (WGAN-GP, Gulrajani et al., 2017, arXiv:1704.00028, eq. 3).

    The weight is the paper's lambda. Not meant for a critic with batch norm (section 4).

    Args:
        weight: Factor of the term.
        every: Lazily on every `every`-th batch.
        target: Norm that the gradient should have; 0 for the zero-centred penalty (arXiv:1902.03984).
        one_sided: Only norms above the target cost (WGAN-LP, Petzka et al., 2018, arXiv:1709.08894).
    """

    per_sample = True

    def __init__(
        self, weight: float | Schedule = 10.0, every: int = 1, target: float = 1.0, one_sided: bool = False
    ) -> None:
        super().__init__(weight, every)
        self.target, self.one_sided = target, one_sided

    def term(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """E (|grad D(x)| - target)^2 over points drawn uniformly on the lines from real to fake."""
        share = draw(len(real), 1, 1, 1).to(real)
        return self.excess(input_gradient(critic, real + share * (fake - real)))

    def excess(self, gradient: Tensor) -> Tensor:
        """E (|gradient| - target)^2, of the norms above the target only if one-sided."""
        if self.target == 0:  # the root has no derivative at 0
            return gradient.square().sum(1).mean()
        distance = gradient.norm(dim=1) - self.target
        return (relu(distance) if self.one_sided else distance).square().mean()


class DRAGANPenalty(GradientPenalty):
    """Gradient norms pulled to one in the neighbourhood of reals (Kodali et al., 2017, arXiv:1705.07215, section 2.4).

    The paper's neighbourhood is x + N(0, c). Followed is its code: a point drawn uniformly on the line from x to
    x + noise * std(x) * U(0, 1), where std is that of all pixels of the batch at hand (of one device and micro-batch).

    Args:
        weight: Factor of the term, the paper's lambda.
        every: Lazily on every `every`-th batch.
        target: Norm that the gradient should have, the paper's k.
        noise: Width of the neighbourhood in standard deviations of the pixels.
    """

    def __init__(
        self, weight: float | Schedule = 10.0, every: int = 1, target: float = 1.0, noise: float = 0.5
    ) -> None:
        super().__init__(weight, every, target)
        self.noise = noise

    def term(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """E (|grad D(x)| - target)^2 over points near reals."""
        share, direction = draw(len(real), real[0].numel() + 1).to(real).split([1, real[0].numel()], dim=1)
        step = self.noise * real.std(correction=0) * (share * direction).view_as(real)
        return self.excess(input_gradient(critic, real + step))


class Drift(Penalty):
    """Keeps a critic's answers near zero, weight E D(x)^2 on reals (ProGAN, arXiv:1710.10196, appendix A.1)."""

    def __init__(self, weight: float | Schedule = 1e-3, every: int = 1) -> None:
        super().__init__(weight, every)

    def term(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """E D(x)^2."""
        return full_precision(critic(real)).square().mean()


class LeCam(Penalty):
    """Holds answers to one kind near the past mean of the other (Tseng et al., 2021, arXiv:2104.03310, section 3).

    With relu inside the squares, as in the published code. The past means are moving averages over batches; a batch
    counts once its step is done (there already before it), so that all its parts have one past. The first has no term.

    Args:
        weight: Factor of the term.
        every: Lazily on every `every`-th batch.
        decay: What the moving averages keep at each batch.
    """

    def __init__(self, weight: float | Schedule = 0.3, every: int = 1, decay: float = 0.99) -> None:
        super().__init__(weight, every)
        self.decay = decay
        self.register_buffer("past", torch.tensor([-torch.inf, torch.inf]))  # beyond which nothing lies
        self.register_buffer("answers", torch.zeros(3))  # since the last step: sums on reals and on fakes, and count

    def term(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """E relu(D(x) - past fakes)^2 + E relu(past reals - D(G(z)))^2."""
        real_logits, fake_logits = full_precision(critic(real)), full_precision(critic(fake))
        self.answers += torch.stack([real_logits, fake_logits, torch.ones_like(real_logits)]).detach().flatten(1).sum(1)
        return relu(real_logits - self.past[1]).square().mean() + relu(self.past[0] - fake_logits).square().mean()

    @torch.no_grad()
    def after_step(self, network: nn.Module) -> None:
        """Moves the averages, if there was a term."""
        means = self.answers[:2] / self.answers[2]
        means = torch.where(self.past.isinf(), means, self.past.lerp(means, 1 - self.decay))
        self.past.copy_(torch.where(self.answers[2] > 0, means, self.past))
        self.answers.zero_()


class Consistency(Penalty):
    """An image and its changed copy should be judged alike, real or fake (bCR, Zhao et al., 2020, arXiv:2002.04724).

    The critic must take `like`, as `lit_gans.critic.Critic` does.

    Args:
        weight: Factor of the part on reals, the paper's lambda_real.
        every: Lazily on every `every`-th batch.
        fakes: Weight of the part on fakes relative to that on reals; 0 for reals alone (CR, arXiv:1910.12027).
        augment: What changes the copies.
    """

    def __init__(
        self,
        weight: float | Schedule = 10.0,
        every: int = 1,
        fakes: float = 1.0,
        augment: Augment = FlipShift(),  # noqa: B008 (it has no state)
    ) -> None:
        super().__init__(weight, every)
        at_least(0, fakes=fakes)
        self.fakes, self.augment = fakes, augment

    def term(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """E (D(T(x)) - D(x))^2 + fakes E (D(T(G(z))) - D(G(z)))^2."""
        on_reals = self.distance(critic, real, draw)
        return on_reals + self.fakes * self.distance(critic, fake, draw) if self.fakes else on_reals

    def distance(self, critic: Critic, images: Tensor, draw: Draw) -> Tensor:
        """E (D(T(images)) - D(images))^2."""
        changed = critic(self.augment(images, draw), like=images)
        return (full_precision(changed) - full_precision(critic(images))).square().mean()


class Orthogonal(Penalty):
    """`unorthogonality` of the discriminator; `BigGAN` has that of its generator. The weight is the paper's beta."""

    def __init__(self, weight: float | Schedule = 1e-4, every: int = 1) -> None:
        super().__init__(weight, every)

    def term(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """Sum over layers of |W W^T * (1 - I)|^2."""
        return unorthogonality(getattr(critic, "network", critic))


def unorthogonality(network: nn.Module) -> Tensor:
    """Sum over layers of |W W^T * (1 - I)|^2, squared inner products of unlike rows (arXiv:1809.11096, eq. 3).

    W is the weight of a convolution or linear layer as (outputs, rest), before spectral normalization.
    """
    terms = []
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            weight = module.parametrizations.weight.original if is_parametrized(module, "weight") else module.weight
            rows = full_precision(weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight)
            with without_autocast(rows.device):
                products = rows.flatten(1) @ rows.flatten(1).T
            terms.append((products - products.diag().diag()).square().sum())
    return torch.stack(terms).sum()


class WeightClipping(Penalty):
    """Keeps each weight within [-bound, bound] (WGAN, Arjovsky et al., 2017, arXiv:1701.07875, Algorithm 1, line 7).

    No term, but a clamp after each step of the critic, as in the paper; its code clamps before each step instead.

    Args:
        bound: Largest absolute value of a parameter, the paper's c.
    """

    term = None

    def __init__(self, bound: float = 0.01) -> None:
        super().__init__()
        at_least(0, bound=bound)
        self.bound = bound

    @torch.no_grad()
    def after_step(self, network: nn.Module) -> None:
        """Clamps all parameters, batch norm's included as in the published code."""
        for parameter in network.parameters():
            parameter.clamp_(-self.bound, self.bound)
