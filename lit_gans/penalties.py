"""Penalties that keep a critic smooth, as terms of the discriminator's loss: `penalty(critic, real, fake)`."""

import re
from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]
Draw = Callable[..., Tensor]


def input_gradient(critic: Critic, images: Tensor) -> Tensor:
    """The gradient of each logit with respect to its own image, flattened: (N, C*H*W), itself differentiable.

    With batch norm in the critic, a logit depends on the other images too, and their share is in the gradient. Computed
    with autocast off: second derivatives in half precision are wrong by several per cent.
    """
    with torch.autocast(images.device.type, enabled=False):
        images = images.detach().to(torch.promote_types(images.dtype, torch.float32)).requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.flatten(1)


class Penalty:
    """One term of the discriminator's loss.

    Args:
        weight: Factor of the term.
        every: Computed on every `every`-th batch only and then weighted `every`-fold, so that its mean force stays the
            same (lazy regularization, StyleGAN2, arXiv:1912.04958, section 3.1).
    """

    def __init__(self, weight: float = 10.0, every: int = 1) -> None:
        self.weight, self.every = weight, every

    @property
    def name(self) -> str:
        """The term's name in the logs."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw = torch.rand) -> Tensor:
        """The weighted term, a scalar.

        Args:
            critic: From images (N, C, H, W) to logits (N, ...).
            real: Real images.
            fake: Fake images, as many.
            draw: `draw(N, 1, 1, 1)` gives numbers from U(0, 1), one per image.
        """
        raise NotImplementedError


class R1(Penalty):
    """Squared gradient norm on reals, weight/2 E |grad D(x)|^2 (Mescheder et al., 2018, arXiv:1801.04406, eq. 9).

    The weight is the paper's gamma.
    """

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw = torch.rand) -> Tensor:
        """weight/2 E |grad D(x)|^2 over reals."""
        return self.every * self.weight / 2 * input_gradient(critic, real).square().sum(1).mean()


class GradientPenalty(Penalty):
    """Gradient norms pulled to one between reals and fakes (WGAN-GP, Gulrajani et al., 2017, arXiv:1704.00028, eq. 3).

    The weight is the paper's lambda. Not meant for a critic with batch norm (section 4).
    """

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draw = torch.rand) -> Tensor:
        """Weight E (|grad D(x)| - 1)^2 over points drawn uniformly on the lines from real to fake."""
        share = draw(len(real), 1, 1, 1).to(real)
        between = real + share * (fake - real)
        return self.every * self.weight * (input_gradient(critic, between).norm(dim=1) - 1).square().mean()
