"""Which combinations of networks, loss, penalties and augmentation make no sense."""

import warnings
from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized

from lit_gans.augment import ADA, Augment
from lit_gans.errors import UserError
from lit_gans.losses import AdversarialLoss, Wasserstein
from lit_gans.penalties import GradientPenalty, Penalty, WeightClipping


def check_networks(generator: nn.Module, discriminator: nn.Module) -> None:
    """Refuses networks that cannot play.

    Raises:
        UserError: says which one, and why.
    """
    if not hasattr(generator, "latent_dim"):
        raise UserError(f"{type(generator).__name__} has no latent_dim: see lit_gans.networks.Generator")
    for network in (generator, discriminator):
        if any(parameter.numel() == 0 for parameter in network.parameters()):
            raise UserError(f"{type(network).__name__} has a layer without units: each width must be at least 1")


def check_cell(
    discriminator: nn.Module,
    loss: AdversarialLoss,
    penalties: Sequence[Penalty],
    augment: Augment | None,
    generator_fakes: int,
) -> None:
    """Refuses what cannot work, and warns of what the literature has done although it should not.

    Raises:
        UserError: says which parts, and why.
    """
    kinds = [type(penalty) for penalty in penalties]
    names = " and ".join(kind.__name__ for kind in kinds if kind.per_sample)
    spectral = any(is_parametrized(module, "weight") for module in discriminator.modules())
    if len(set(kinds)) < len(kinds):
        raise UserError("penalties: each kind can be given once")
    if names and any(isinstance(module, _BatchNorm) for module in discriminator.modules()):
        reason = f"{names} is about the gradient at single images, which batch norm in the discriminator mixes"
        if GradientPenalty in kinds:
            raise UserError(f"{reason} (arXiv:1704.00028, section 4): give it layer norm or none")
        warnings.warn(reason, stacklevel=2)
    others = ["spectral norm"] * spectral + ["GradientPenalty"] * (GradientPenalty in kinds)
    if WeightClipping in kinds and others:
        raise UserError(f"WeightClipping and {others[0]} bound the critic in two ways: choose one")
    if isinstance(loss, Wasserstein) and not (
        spectral or any(kind.per_sample or kind is WeightClipping for kind in kinds)
    ):
        warnings.warn(
            "nothing keeps the critic of the Wasserstein loss Lipschitz, so that it can grow without bound: "
            "add GradientPenalty or WeightClipping, or spectral norm",
            stacklevel=2,
        )
    if loss.needs_reals and generator_fakes > 1:
        raise UserError(f"{type(loss).__name__} pairs each fake with a real: generator_fakes must be 1")
    if isinstance(augment, ADA) and augment.target is not None and loss.threshold is None:
        raise UserError(
            f"ADA adapts to how many reals D accepts, and {type(loss).__name__} has no logit at which it does: "
            "give it a fixed strength (target: null)"
        )
