"""What several networks share."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from lit_gans.errors import UserError
from lit_gans.precision import without_autocast

ImageShape = tuple[int, int, int]
"""Channels, height and width of an image."""


class Generator(nn.Module):
    """Latents (N, latent_dim), standard normal, and labels (N,) to images (N, C, H, W) in [-1, 1].

    Attributes:
        image_shape: (C, H, W) of the images made.
        num_classes: Labels go from 0 to `num_classes - 1`; 0 for a network without labels.
        latent_dim: Length of the latent vector.
    """

    image_shape: ImageShape
    num_classes: int
    latent_dim: int


class Discriminator(nn.Module):
    """Images (N, C, H, W) and labels (N,) to logits (N,); never ends in a sigmoid.

    Ours are `features` and a linear `head`; a variant that judges in another way puts its own head on the features. A
    network that only replaces `forward` serves all other variants.

    Attributes:
        image_shape: (C, H, W) of the images judged.
        num_classes: Labels go from 0 to `num_classes - 1`; 0 for a network without labels.
        feature_dim: Length of the vector that the head sees.
        head: From features (N, feature_dim) to (N, 1).
    """

    image_shape: ImageShape
    num_classes: int
    feature_dim: int
    head: nn.Module

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to features (N, feature_dim)."""
        raise NotImplementedError

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to logits (N,)."""
        return self.head(self.features(image, label)).squeeze(1)


GeneratorFactory = Callable[[ImageShape, int], Generator]
"""Builds a generator for images of a shape, and a number of classes (0: without labels)."""

DiscriminatorFactory = Callable[[ImageShape, int], Discriminator]
"""Builds a discriminator from the same."""


class SpectralNorm(_SpectralNorm):
    """Torch's spectral norm, in full precision: under autocast its estimate would be a per cent off."""

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by the estimate of its largest singular value; in training the estimate is improved."""
        with without_autocast(weight.device):
            return super().forward(weight)


def spectral_normalise(network: nn.Module, eps: float = 1e-12) -> None:
    """Divides the weights of each convolution, linear layer and embedding by their largest singular value.

    Estimated by one power iteration per forward in training; gradients flow through the estimate (SNGAN, Miyato et al.,
    2018, arXiv:1802.05957, Algorithm 1 and eq. 12). Layers that have it already keep theirs, and vectors of labels that
    are part of the input keep their size.
    """
    inputs = {module.embedding for module in network.modules() if isinstance(module, LabelEmbedding)}
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)
    for module in list(network.modules()):  # in order, since each draws its first estimate at random
        if module not in inputs and isinstance(module, kinds) and not is_parametrized(module, "weight"):
            rows = 1 if isinstance(module, nn.ConvTranspose2d) else 0
            register_parametrization(module, "weight", SpectralNorm(module.weight, dim=rows, eps=eps))


def spectral_estimates(network: nn.Module) -> list[Tensor]:
    """The vectors of all spectral norms, from which singular values are estimated; each pass in training moves them."""
    norms = [module for module in network.modules() if isinstance(module, _SpectralNorm)]
    return [vector for norm in norms for vector in norm.buffers()]


Norm = Literal["batch", "instance", "layer", "none"]
"""What a map is normalised over: its channel in the batch, its channel in the image, the whole image, or nothing."""


def normalisation(norm: Norm, channels: int, affine: bool = True) -> nn.Module:
    """The norm layer for maps (N, channels, H, W), with a gain and a bias for each channel if `affine`.

    Instance and layer norm look at one image alone, as a gradient penalty for each image wants (WGAN-GP,
    arXiv:1704.00028, section 4).

    Raises:
        UserError: there is no such norm.
    """
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels, affine=affine)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=affine)
        case "layer":
            return nn.GroupNorm(1, channels, affine=affine)
        case "none":
            return nn.Identity()
    raise UserError(f"norm must be batch, instance, layer or none, not {norm}")


def doubling(before: int, after: int, kernel: int = 4, bias: bool = True) -> nn.ConvTranspose2d:
    """A transposed convolution from (N, before, H, W) to (N, after, 2 H, 2 W), for any kernel of 2 or more."""
    return nn.ConvTranspose2d(before, after, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2, bias=bias)


def halving(before: int, after: int, kernel: int = 4, bias: bool = True) -> nn.Conv2d:
    """A convolution from (N, before, 2 H, 2 W) to (N, after, H, W), for any kernel of 2 or more."""
    return nn.Conv2d(before, after, kernel, 2, (kernel - 1) // 2, bias=bias)


def draw_uniform(network: nn.Module, bound: float) -> None:
    """Draws the weights of all linear layers from U(-bound, bound), and makes their biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)


def required(label: Tensor | None) -> Tensor:
    """The label itself.

    Raises:
        UserError: there is none.
    """
    if label is None:
        raise UserError("this network was trained with labels: give one for each image")
    return label


class LabelEmbedding(nn.Module):
    """A learned vector for each class, concatenated to the features of its sample (cGAN, arXiv:1411.1784, section 3).

    Args:
        num_classes: Labels go from 0 to `num_classes - 1`; with 0 classes features pass unchanged.
        dim: Length of the vector.
    """

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.dim = dim if num_classes else 0
        self.embedding = nn.Embedding(num_classes, dim) if num_classes else None

    def forward(self, features: Tensor, label: Tensor | None) -> Tensor:
        """(N, F) and labels (N,) to (N, F + dim).

        Raises:
            UserError: the network was built with classes, and no label is given.
        """
        if self.embedding is None:
            return features
        return torch.cat([features, self.embedding(required(label))], dim=1)


class LabelPlane(LabelEmbedding):
    """One more image plane, learned for each class.

    Args:
        num_classes: Labels go from 0 to `num_classes - 1`; with 0 classes images pass unchanged.
        image_shape: (C, H, W) of the images.

    Attributes:
        channels: C + 1, or C without classes.
    """

    def __init__(self, num_classes: int, image_shape: ImageShape) -> None:
        channels, self.height, self.width = image_shape
        super().__init__(num_classes, self.height * self.width)
        self.channels = channels + (num_classes > 0)

    def forward(self, image: Tensor, label: Tensor | None) -> Tensor:
        """(N, C, H, W) and labels (N,) to (N, C + 1, H, W); without classes of any H and W."""
        if self.embedding is None:
            return image
        return super().forward(image.flatten(1), label).unflatten(1, (-1, self.height, self.width))


class ConditionalBatchNorm(nn.BatchNorm2d):
    """Batch norm with a gain and a bias for each class (arXiv:1610.07629, as in arXiv:1802.05637, section 5.1).

    The gain is stored as its distance from one; without classes this is batch norm as usual.

    Args:
        channels: Of the features.
        num_classes: Labels go from 0 to `num_classes - 1`; 0 for one gain and bias for all.
    """

    def __init__(self, channels: int, num_classes: int = 0) -> None:
        super().__init__(channels, affine=not num_classes)
        self.num_classes = num_classes
        if num_classes:  # parameters, not embeddings: their spectral norm is zero at first
            self.class_gain = nn.Parameter(torch.zeros(num_classes, channels))
            self.class_bias = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, features: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, channels, H, W) and labels (N,) to the same shape."""
        features = super().forward(features)
        if not self.num_classes:
            return features
        gain, bias = (table[required(label)][:, :, None, None] for table in (self.class_gain, self.class_bias))
        return features * (1 + gain) + bias


class SelfAttention(nn.Module):
    """Each place of a map looks at all others (SAGAN, Zhang et al., 2019, arXiv:1805.08318, section 3, eq. 1 to 3).

    As in the published code: queries and keys of an eighth of the channels, values of half of them, keys and values
    pooled to a quarter of the places, no scaling by the length of the keys. `strength` is zero at first, so that the
    block starts as the identity.

    Args:
        channels: Of the map; at least 8.

    Raises:
        UserError: there are fewer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 8:
            raise UserError(f"self-attention needs a map of at least 8 channels, not {channels}: use a wider network")
        self.query = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.key = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.output = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)  # on maps of odd size, too, all places are looked at
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        query = self.query(features).flatten(2)
        key, value = self.pool(self.key(features)).flatten(2), self.pool(self.value(features)).flatten(2)
        attention = (query.transpose(1, 2) @ key).softmax(dim=2)
        seen = (value @ attention.transpose(1, 2)).unflatten(2, features.shape[2:])
        return self.strength * self.output(seen) + features


def halvings(image_shape: ImageShape, uneven: bool = False) -> tuple[int, int]:
    """How often a square image can be halved before it is smaller than 8 pixels, and the size it has then (4 to 7).

    64, 32, 16 and 8 pixels end at 4; 28 and 56 at 7; 48 at 6. With `uneven`, halves of any size are rounded up until
    they are at most 4: 28 pixels go by 14 and 7 to 4.

    Raises:
        UserError: the image is not square, or its size is too small or not 4, 5, 6 or 7 times a power of two.
    """
    _, height, width = image_shape
    size, times = height, 0
    while size > 4 if uneven else size % 2 == 0 and size >= 8:
        size, times = -(-size // 2), times + 1
    if height != width or size >= 8 or height < 8:
        raise UserError(
            f"a convolutional network halves its images down to 4 to 7 pixels, which {height}x{width} does not allow: "
            f"use 28, 32, 64 or another size that is 4, 5, 6 or 7 times a power of two (--data.image_size)"
        )
    return times, size


class Crop(nn.Module):
    """The first rows and columns of a map.

    Args:
        side: How many of each.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, side, side)."""
        return features[:, :, : self.side, : self.side]
