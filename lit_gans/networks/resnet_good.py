"""The residual networks for 64 pixels of WGAN-GP, named Good in its published code (arXiv:1704.00028, gan_64x64.py)."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import relu

from lit_gans.networks.layers import Discriminator, ImageShape, LabelPlane, halvings
from lit_gans.networks.resnet import ResidualBlock, ResNetGenerator, doubled, initialise


class GoodGenerator(ResNetGenerator):
    """`ResNetGenerator` with at most 8 times `width` channels, at all sizes.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal.
        width: Channels of the last map; each one before it has twice as many, up to 8 times `width`.
    """

    def __init__(
        self, image_shape: ImageShape, num_classes: int = 0, *, latent_dim: int = 128, width: int = 64
    ) -> None:
        super().__init__(image_shape, num_classes, latent_dim=latent_dim, width=width)
        for block in self.blocks:
            block.conv1.bias = None  # batch norm comes next and would take it away

    def widths(self, width: int) -> list[int]:
        """Channels of each map, first to last."""
        return doubled(width, halvings(self.image_shape)[0], most=8)[::-1]


class LayerNormBlock(ResidualBlock):
    """Layer norm, with a gain and a bias per channel, before both convolutions; halves the map (mean of 2x2).

    Args:
        before: Channels that come in.
        after: Channels that go out.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, before, after)
        self.conv1.bias = None
        self.norm1, self.norm2 = nn.GroupNorm(1, before), nn.GroupNorm(1, before)
        self.pool = nn.AvgPool2d(2)

    def forward(self, features: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H/2, W/2)."""
        hidden = self.conv1(relu(self.norm1(features)))
        hidden = self.conv2(relu(self.norm2(hidden)))
        return self.pool(hidden) + self.shortcut(self.pool(features))


class GoodDiscriminator(Discriminator):
    """A 3x3 convolution, residual blocks with layer norm that halve the map down to 4 to 7 pixels, then one logit.

    Layer norm, because the gradient penalty is of single images, which batch norm would mix (section 4). A label is one
    more image plane, learned for each class.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the first map; each one after it has twice as many, up to 8 times `width`.
    """

    def __init__(self, image_shape: ImageShape, num_classes: int = 0, *, width: int = 64) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.label = LabelPlane(num_classes, image_shape)
        times, last = halvings(image_shape)
        widths = doubled(width, times, most=8)
        self.layers = nn.Sequential(
            nn.Conv2d(self.label.channels, width, 3, padding=1),
            *(LayerNormBlock(before, after) for before, after in pairwise(widths)),
            nn.Flatten(),
        )
        self.feature_dim = widths[-1] * last**2
        self.head = nn.Linear(self.feature_dim, 1)
        self.apply(initialise)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the last map, flattened."""
        return self.layers(self.label(image, label))
