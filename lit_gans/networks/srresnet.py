"""The networks of SRGAN (Ledig et al., 2017, arXiv:1609.04802, section 2.1 and Figure 4)."""

from itertools import pairwise

from torch import Tensor, nn

from lit_gans.errors import at_least
from lit_gans.networks.layers import Discriminator, ImageShape, LabelPlane
from lit_gans.networks.translator import Translator

# How a map is enlarged to each scale, step by step.
STEPS = {2: (2,), 3: (3,), 4: (2, 2)}


class ResidualBlock(nn.Module):
    """The features, and what two 3x3 convolutions with batch norm, and a PReLU between them, make of them.

    Args:
        channels: Of the map.
        slopes: Of the PReLU: one, or one for each channel.
        bias: Whether convolutions have biases.
    """

    def __init__(self, channels: int, slopes: int, bias: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=bias),
            nn.BatchNorm2d(channels),
            nn.PReLU(slopes),
            nn.Conv2d(channels, channels, 3, padding=1, bias=bias),
            nn.BatchNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        return features + self.layers(features)


class SRResNet(Translator):
    """A 9x9 convolution, residual blocks within a long skip, sub-pixel convolutions up to the scale, and 9x9 again.

    The last layer is linear, as in the paper: images are not bound to [-1, 1], and are for the variant to clamp. There
    the low resolution is in [0, 1]; here it is in [-1, 1], as all images are. The paper does not tell of biases before
    a norm and of the PReLU's slopes, nor how weights are drawn, which is by torch's default here.

    Args:
        source_shape: (C, H, W) of the images that come in.
        image_shape: (C, H, W) of the images made, 2, 3 or 4 times as high and wide.
        blocks: Residual blocks.
        width: Channels of all maps.
        channel_slopes: Whether the PReLUs have a slope for each channel, not one for all.
        bias: Whether convolutions before a norm have biases; others have.

    Raises:
        UserError: there is no such scale.
    """

    def __init__(
        self,
        source_shape: ImageShape,
        image_shape: ImageShape,
        *,
        blocks: int = 16,
        width: int = 64,
        channel_slopes: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(source_shape, image_shape, scales=tuple(STEPS))
        at_least(0, blocks=blocks)
        at_least(1, width=width)
        slopes = width if channel_slopes else 1
        self.first = nn.Sequential(nn.Conv2d(source_shape[0], width, 9, padding=4), nn.PReLU(slopes))
        self.blocks = nn.Sequential(
            *(ResidualBlock(width, slopes, bias) for _ in range(blocks)),
            nn.Conv2d(width, width, 3, padding=1, bias=bias),
            nn.BatchNorm2d(width),
        )
        enlarge: list[nn.Module] = []
        for step in STEPS[self.scale]:
            enlarge += [nn.Conv2d(width, width * step**2, 3, padding=1), nn.PixelShuffle(step), nn.PReLU(slopes)]
        self.last = nn.Sequential(*enlarge, nn.Conv2d(width, image_shape[0], 9, padding=4))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, h, w) in [-1, 1] to images (N, C, scale h, scale w), about in [-1, 1]."""
        features = self.first(images)
        return self.last(features + self.blocks(features))


class SRDiscriminator(Discriminator):
    """Eight 3x3 convolutions, every second one halves the map, LeakyReLU 0.2; then a dense layer and one logit.

    Batch norm after all but the first. A label is one more image plane, learned for each class. Weights are drawn by
    torch's default, of which the paper does not tell.

    Args:
        image_shape: (C, H, W) of the images judged; 96 pixels in the paper. In training a single image needs more than
            16 pixels, since batch norm wants two places.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the first two maps; each pair after them has twice as many.
        dense_width: Units of the dense layer.
    """

    def __init__(
        self, image_shape: ImageShape, num_classes: int = 0, *, width: int = 64, dense_width: int = 1024
    ) -> None:
        super().__init__()
        at_least(1, width=width, dense_width=dense_width)
        self.image_shape, self.num_classes, self.feature_dim = tuple(image_shape), num_classes, dense_width
        self.label = LabelPlane(num_classes, image_shape)
        widths = [width << index // 2 for index in range(8)]
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise([self.label.channels, *widths])):
            layers += [nn.Conv2d(before, after, 3, 1 + index % 2, padding=1)]
            layers += [nn.BatchNorm2d(after)] if index else []
            layers += [nn.LeakyReLU(0.2)]
        height, wide = (-(-side // 16) for side in image_shape[1:])
        dense = nn.Linear(widths[-1] * height * wide, dense_width)
        self.layers = nn.Sequential(*layers, nn.Flatten(), dense, nn.LeakyReLU(0.2))
        self.head = nn.Linear(dense_width, 1)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the dense layer's units (N, dense_width)."""
        return self.layers(self.label(image, label))
