"""The generator of ESRGAN (Wang et al., 2018, arXiv:1809.00219) and the discriminator of Real-ESRGAN."""

from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from lit_gans.errors import UserError, at_least
from lit_gans.networks.layers import Discriminator, ImageShape, LabelPlane, halving, spectral_normalise
from lit_gans.networks.r3gan import Upsample, initialised
from lit_gans.networks.translator import Translator


class DenseBlock(nn.Module):
    """The features, and a fifth of what five 3x3 convolutions make of them, each of which sees all maps before it.

    Weights are drawn as He et al. do, then divided by ten (supplementary material, and published code).

    Args:
        channels: Of the map.
        growth: Channels that each of the first four convolutions adds.
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        widths = [channels + index * growth for index in range(5)]
        convolutions = [
            nn.Conv2d(before, after, 3, padding=1)
            for before, after in zip(widths, [*[growth] * 4, channels], strict=True)
        ]
        self.convolutions = nn.ModuleList(initialised(layer, 0.1 * sqrt(2)) for layer in convolutions)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        maps, (*growing, last) = features, self.convolutions
        for convolution in growing:
            maps = torch.cat([maps, leaky_relu(convolution(maps), 0.2)], 1)
        return features + 0.2 * last(maps)


class RRDB(nn.Sequential):
    """The features, and a fifth of what three dense blocks make of them (Figure 4).

    Args:
        channels: Of the map.
        growth: Of the dense blocks.
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__(*(DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        return features + 0.2 * super().forward(features)


class RRDBNet(Translator):
    """Residual-in-residual dense blocks within a long skip, doubled twice (nearest neighbour), without norms.

    The last layer is linear: images are not bound to [-1, 1], and are for the variant to clamp. For scales 2 and 1 the
    pixels of each 2x2 or 4x4 square first become channels, as in the published code. Weights outside the dense blocks
    are drawn by torch's default.

    Args:
        source_shape: (C, H, W) of the images that come in.
        image_shape: (C, H, W) of the images made, 1, 2 or 4 times as high and wide.
        blocks: Residual-in-residual dense blocks.
        width: Channels of the map.
        growth: Channels that a convolution of a dense block adds.

    Raises:
        UserError: there is no such scale, or the sides of the images that come in are not multiples of 4 / scale.
    """

    def __init__(
        self, source_shape: ImageShape, image_shape: ImageShape, *, blocks: int = 23, width: int = 64, growth: int = 32
    ) -> None:
        scale = image_shape[1] // source_shape[1]
        super().__init__(source_shape, image_shape, multiple=max(4 // max(scale, 1), 1), scales=(1, 2, 4))
        at_least(0, blocks=blocks)
        at_least(1, width=width, growth=growth)

        def convolution(before: int, after: int) -> nn.Conv2d:
            return nn.Conv2d(before, after, 3, padding=1)

        square = self.multiple
        self.first = nn.Sequential(nn.PixelUnshuffle(square), convolution(source_shape[0] * square**2, width))
        self.blocks = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)), convolution(width, width))
        enlarge: list[nn.Module] = []
        for _ in range(2):
            enlarge += [nn.Upsample(scale_factor=2), convolution(width, width), nn.LeakyReLU(0.2)]
        smooth = [convolution(width, width), nn.LeakyReLU(0.2)]
        self.last = nn.Sequential(*enlarge, *smooth, convolution(width, image_shape[0]))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, h, w) in [-1, 1] to images (N, C, scale h, scale w), about in [-1, 1]."""
        features = self.first(self.fitting(images))
        return self.last(features + self.blocks(features))


class UNetDiscriminator(Discriminator):
    """A logit for each pixel: three halvings, three doublings (bilinear) that add the map of that size; LeakyReLU 0.2.

    All layers but the first and the last are spectrally normalised and without bias (Real-ESRGAN, Wang et al., 2021,
    arXiv:2107.10833, section 3.4 and Figure 6, layers as in the published code). Weights are drawn by torch's default.
    Fully convolutional, if without labels. A label is one more image plane, learned for each class. There is no `head`
    on features here, which some variants want.

    Args:
        image_shape: (C, H, W) of the images judged; 8 divides H and W.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the first map; each halved one has twice as many.

    Raises:
        UserError: 8 does not divide the sides of the images.
    """

    def __init__(self, image_shape: ImageShape, num_classes: int = 0, *, width: int = 64) -> None:
        super().__init__()
        at_least(1, width=width)
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        if any(side % 8 for side in image_shape[1:]):
            raise UserError(
                f"UNetDiscriminator halves its images three times, which {image_shape[1]}x{image_shape[2]} does not "
                f"allow: use a multiple of 8"
            )
        self.label = LabelPlane(num_classes, image_shape)
        widths = [width << level for level in range(4)]
        self.first = nn.Conv2d(self.label.channels, width, 3, padding=1)
        self.down = nn.ModuleList(halving(before, after, bias=False) for before, after in pairwise(widths))
        pairs = [*pairwise(widths[::-1]), (width, width), (width, width)]
        *up, before_last, last = (nn.Conv2d(before, after, 3, padding=1, bias=False) for before, after in pairs)
        self.up, self.smooth = nn.ModuleList(up), nn.ModuleList([before_last, last])
        for normalised in (self.down, self.up, self.smooth):
            spectral_normalise(normalised)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to logits (N, 1, H, W)."""
        maps = [leaky_relu(self.first(self.label(image, label)), 0.2)]
        for convolution in self.down:
            maps.append(leaky_relu(convolution(maps[-1]), 0.2))
        features = maps.pop()
        for convolution in self.up:
            features = leaky_relu(convolution(doubled(features)), 0.2) + maps.pop()
        for convolution in self.smooth:
            features = leaky_relu(convolution(features), 0.2)
        return self.last(features)


def doubled(features: Tensor) -> Tensor:
    """Bilinear interpolation of maps (N, C, H, W) to twice their size, as torch's; see `Upsample` for why not that."""
    for axis in (2, 3):
        first, last = features.narrow(axis, 0, 1), features.narrow(axis, features.shape[axis] - 1, 1)
        features = torch.cat([first, features, last], axis)
    return Upsample()(features)[:, :, 2:-2, 2:-2]
