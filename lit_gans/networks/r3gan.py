"""The residual networks of R3GAN (Huang et al., 2025, arXiv:2501.05441, section 3, config E; Figure 2c)."""

from collections.abc import Sequence
from functools import partial
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_gans.errors import UserError, at_least
from lit_gans.networks.layers import Discriminator, Generator, ImageShape, LabelEmbedding, halvings, required


def initialised(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """The layer, with weights from N(0, gain^2 / fan_in) and biases of zero."""
    nn.init.normal_(layer.weight, 0.0, gain / sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def pointwise(before: int, after: int) -> nn.Module:
    """A 1x1 convolution without bias."""
    return initialised(nn.Conv2d(before, after, 1, bias=False))


def transition(before: int, after: int) -> list[nn.Module]:
    """A 1x1 convolution where the number of channels changes, and nothing where it stays."""
    return [pointwise(before, after)] if before != after else []


class ResidualBlock(nn.Module):
    """The features, and what a 1x1, a grouped 3x3 and a 1x1 convolution make of them in a wider middle.

    There is no normalisation. Instead the last convolution is zero at first, which makes the block the identity, and
    the others start smaller by L^(-1/4) in a network of L blocks (Fixup, Zhang et al., 2019, arXiv:1901.09321).

    Args:
        channels: Of the map.
        expansion: The middle has so many times more channels.
        channels_per_group: Of the grouped convolution.
        total: Blocks in the network, L.

    Raises:
        UserError: the middle cannot be divided into groups.
    """

    def __init__(self, channels: int, *, expansion: int, channels_per_group: int, total: int) -> None:
        super().__init__()
        middle, gain = channels * expansion, sqrt(2 / (1 + 0.2**2)) * total ** (-1 / 4)
        if middle % channels_per_group:
            raise UserError(
                f"a block of {channels} channels has {middle} in its middle, which groups of {channels_per_group} do "
                f"not divide: use another width or channels_per_group"
            )
        self.layers = nn.Sequential(
            initialised(nn.Conv2d(channels, middle, 1), gain),
            nn.LeakyReLU(0.2),
            initialised(nn.Conv2d(middle, middle, 3, padding=1, groups=middle // channels_per_group), gain),
            nn.LeakyReLU(0.2),
            initialised(nn.Conv2d(middle, channels, 1, bias=False), 0.0),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        return features + self.layers(features)


class Upsample(nn.Module):
    """Bilinear interpolation to twice the size, with zeros around the map as in the published code.

    The same as zeros between the pixels and the filter [1, 3, 3, 1] / 4 along each axis. Written as sums of shifted
    maps: depthwise transposed convolutions are slow on GPUs, and the gradient of `interpolate` is not deterministic.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2H, 2W)."""
        features = F.pad(features, (1, 1, 1, 1))
        for axis in (2, 3):
            before, here, after = (features.narrow(axis, start, features.shape[axis] - 2) for start in range(3))
            pairs = torch.stack([0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after], dim=axis + 1)
            features = pairs.flatten(axis, axis + 1)
        return features


class Downsample(nn.Module):
    """Half the size: the filter [1, 3, 3, 1] / 8 along each axis at every second pixel, with zeros around the map."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H/2, W/2); H and W are even."""
        features = F.pad(features, (1, 1, 1, 1))
        for axis in (2, 3):
            even, odd = features.unflatten(axis, (-1, 2)).unbind(axis + 1)
            size = even.shape[axis] - 1
            left, right = 0.125 * even + 0.375 * odd, 0.375 * even + 0.125 * odd
            features = left.narrow(axis, 0, size) + right.narrow(axis, 1, size)
        return features


def widths_of_maps(image_shape: ImageShape, width: int | Sequence[int]) -> list[int]:
    """The channels of each map, from the smallest map up to the image.

    Raises:
        UserError: there are more or fewer widths than maps, or one is halved to nothing.
    """
    times, smallest = halvings(image_shape)
    sizes = [smallest << level for level in range(times + 1)]
    if isinstance(width, int):  # halved as often as a map is doubled beyond 32 pixels
        width = [width >> max(0, (size - 1).bit_length() - 5) for size in sizes]
    if len(width) != len(sizes):
        raise UserError(f"width is one number, or one for each of the maps of {sizes} pixels, not {list(width)}")
    at_least(1, **{"the smallest width": min(width)})
    return list(width)


class R3GANGenerator(Generator):
    """A learned map, scaled channel by channel by the latent, then residual blocks and doublings up to the image.

    The last layer is linear. In training its values are not bounded, as in the published code: a clamp would stop the
    gradient of all that lie outside. In eval mode images are clamped to [-1, 1].

    The defaults are the published ones for CIFAR-10 and FFHQ. ImageNet has `width=1536` (`[1536] * 5` at 64 pixels) and
    `channels_per_group=32`. 28 pixels start from a map of 7x7; 8, 16, 32, 64, ... from 4x4.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal.
        width: Channels of the maps of up to 32 pixels, halved with each doubling beyond; or one number for each map,
            from the smallest. Times `expansion` a multiple of `channels_per_group`.
        blocks: Residual blocks for each map.
        expansion: The middle of a block has so many times more channels.
        channels_per_group: Of the grouped convolutions.
        embedding_dim: Length of a label's vector.

    Raises:
        UserError: the image does not halve, or the widths do not fit.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 64,
        width: int | Sequence[int] = 768,
        blocks: int = 2,
        expansion: int = 2,
        channels_per_group: int = 16,
        embedding_dim: int = 64,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        self.label = LabelEmbedding(num_classes, embedding_dim)
        if num_classes:  # a linear layer on one-hot labels in the published code, whose fan-in are the classes
            nn.init.normal_(self.label.embedding.weight, 0.0, 1 / sqrt(num_classes))
        widths = widths_of_maps(image_shape, width)
        total = blocks * len(widths)
        block = partial(ResidualBlock, expansion=expansion, channels_per_group=channels_per_group, total=total)
        size = halvings(image_shape)[1]
        self.basis = nn.Parameter(torch.randn(widths[0], size, size))
        self.scales = initialised(nn.Linear(latent_dim + self.label.dim, widths[0], bias=False))
        layers: list[nn.Module] = [block(widths[0]) for _ in range(blocks)]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [*transition(before, after), Upsample(), *(block(after) for _ in range(blocks))]
        self.layers = nn.Sequential(*layers, pointwise(widths[-1], image_shape[0]))

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W), in [-1, 1] in eval mode."""
        image = self.layers(self.basis * self.scales(self.label(latent, label))[:, :, None, None])
        return image if self.training else image.clamp(-1, 1)


class R3GANDiscriminator(Discriminator):
    """The generator's mirror: residual blocks and halvings, then a weighted sum over the places of each channel.

    Without labels these sums are the features, and the head is linear. With labels one more linear layer makes the
    features, and the logit is their inner product with a vector of the class; there is no head.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the maps of up to 32 pixels, halved with each doubling beyond; or one number for each map,
            from the smallest. Times `expansion` a multiple of `channels_per_group`.
        blocks: Residual blocks for each map.
        expansion: The middle of a block has so many times more channels.
        channels_per_group: Of the grouped convolutions.

    Raises:
        UserError: the image does not halve, or the widths do not fit.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        width: int | Sequence[int] = 768,
        blocks: int = 2,
        expansion: int = 2,
        channels_per_group: int = 16,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        widths = widths_of_maps(image_shape, width)[::-1]
        total = blocks * len(widths)
        block = partial(ResidualBlock, expansion=expansion, channels_per_group=channels_per_group, total=total)
        self.feature_dim = dim = widths[-1]
        layers = [pointwise(image_shape[0], widths[0])]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [*(block(before) for _ in range(blocks)), Downsample(), *transition(before, after)]
        layers += [block(dim) for _ in range(blocks)]
        layers += [initialised(nn.Conv2d(dim, dim, halvings(image_shape)[1], groups=dim, bias=False)), nn.Flatten()]
        if num_classes:
            layers.append(initialised(nn.Linear(dim, dim, bias=False)))
            self.embedding = nn.Embedding(num_classes, dim)
            nn.init.normal_(self.embedding.weight, 0.0, 1 / sqrt(num_classes * dim))
        else:
            self.head = initialised(nn.Linear(dim, 1, bias=False))
        self.layers = nn.Sequential(*layers)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) to features (N, feature_dim); labels are not looked at."""
        return self.layers(image)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to logits (N,)."""
        if not self.num_classes:
            return super().forward(image)
        return (self.features(image) * self.embedding(required(label))).sum(1)
