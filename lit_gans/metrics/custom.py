"""A network of one's own as a feature network."""

import re
from contextlib import suppress
from hashlib import sha256
from inspect import getsource

import torch
from torch import Tensor, nn

from lit_gans.errors import UserError
from lit_gans.metrics.features import FeatureNetwork, default_features


class CustomFeatures(FeatureNetwork):
    """Any module that maps images to features, or to a pair of features and logits; `--metrics.features=[own.Net]`.

    The module gets float32 images (N, C, H, W) in [-1, 1], at 256 levels, and resizes them if it must. It is frozen,
    in eval mode and float32. `name` is that of its class in lower case: a class named as the data, whose logits are
    for the classes of the data, also tells which labels the fakes took.

    Args:
        module: gives features (N, F), or (features, logits) with logits (N, K).
        image_shape: (channels, height, width); two black images of that shape show what the module gives.

    Attributes:
        sha256: hash of the module's class and weights.

    Raises:
        UserError: the module gives something else, here or when called.
    """

    resize = "own"

    def __init__(self, module: nn.Module, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.name = re.sub(r"[^a-z0-9]+", "_", type(module).__name__.lower()).strip("_") or "own"
        self.sha256 = _hash_of(module)
        self.module = module.float()
        self.eval().requires_grad_(False)
        with torch.random.fork_rng(devices=[]):  # the module may draw
            try:
                features, logits = self(torch.full((2, *image_shape), -1.0))
            except (RuntimeError, IndexError) as error:  # of torch's layers
                reason = str(error).splitlines()[0]
                raise UserError(f"{self.name} does not take images of shape {tuple(image_shape)}: {reason}") from error
        self.num_features, self.num_classes = features.shape[1], logits.shape[1]

    def embed(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images (N, C, H, W), uint8, to features (N, num_features) and logits (N, num_classes)."""
        found = self.module(levels.float() / 127.5 - 1)
        pair = found if isinstance(found, (tuple, list)) else (found,)
        if len(pair) not in (1, 2) or not all(_is_matrix(part, len(levels)) for part in pair):
            given = ", ".join(_describe(part) for part in pair)
            raise UserError(f"{self.name}: features are floats (N, F), alone or with logits (N, K), not {given}")
        features, logits = (*pair, pair[0][:, :0])[:2]
        return features.float(), logits.float()


def feature_networks(
    chosen: list[FeatureNetwork | nn.Module] | None, dataset: str, image_shape: tuple[int, int, int]
) -> list[FeatureNetwork]:
    """The networks that were chosen for a dataset of these images, own modules wrapped; None for the default.

    Raises:
        UserError: weights cannot be had, or an own module gives no features.
    """
    networks = default_features(dataset) if chosen is None else chosen
    return [net if isinstance(net, FeatureNetwork) else CustomFeatures(net, image_shape) for net in networks]


def is_published(network: FeatureNetwork) -> bool:
    """Whether name, hash and resize say all of it: the code of others may change, or depend on arguments."""
    return type(network).__module__.startswith("lit_gans.") and not isinstance(network, CustomFeatures)


def _is_matrix(value: object, rows: int) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim == 2 and len(value) == rows


def _describe(value: object) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _hash_of(module: nn.Module) -> str:
    """SHA-256 over the source of the class, where there is any, and names and bytes of all weights and buffers."""
    digest = sha256()
    with suppress(OSError, TypeError):
        digest.update(getsource(type(module)).encode())
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
