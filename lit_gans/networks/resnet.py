"""The residual networks of WGAN-GP, SNGAN, the projection discriminator and SAGAN."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

from torch import Tensor, nn
from torch.nn.functional import relu

from lit_gans.errors import UserError, at_least
from lit_gans.networks.layers import (
    ConditionalBatchNorm,
    Discriminator,
    Generator,
    ImageShape,
    LabelPlane,
    SelfAttention,
    halvings,
    spectral_normalise,
)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, and self-attention or nothing (SNGAN, arXiv:1802.05957, Fig. 8).

    Args:
        before: Channels that come in.
        hidden: Channels between the two convolutions.
        after: Channels that go out.
        attends: Whether self-attention follows.
    """

    def __init__(self, before: int, hidden: int, after: int, attends: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, after, 3, padding=1)
        self.shortcut: nn.Module = nn.Conv2d(before, after, 1)
        self.attention = SelfAttention(after) if attends else nn.Identity()


class UpBlock(ResidualBlock):
    """Doubles the map before the first convolution (nearest neighbour); batch norm before both.

    Args:
        before: Channels that come in.
        after: Channels that go out.
        num_classes: Of the batch norm; 0 for one without labels.
        attends: Whether self-attention follows.
    """

    def __init__(self, before: int, after: int, num_classes: int = 0, attends: bool = False) -> None:
        super().__init__(before, after, after, attends)
        self.norm1, self.norm2 = ConditionalBatchNorm(before, num_classes), ConditionalBatchNorm(after, num_classes)
        self.upsample = nn.Upsample(scale_factor=2)

    def forward(self, features: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, before, H, W) and labels (N,) to (N, after, 2H, 2W)."""
        hidden = self.conv1(self.upsample(relu(self.norm1(features, label))))
        hidden = self.conv2(relu(self.norm2(hidden, label)))
        # the papers double before the 1x1 convolution; the two commute, and this order is cheaper
        return self.attention(hidden + self.upsample(self.shortcut(features)))


class DownBlock(ResidualBlock):
    """Halves the map after the second convolution (mean of 2x2), or keeps its size; no norm.

    Args:
        before: Channels that come in.
        after: Channels that go out.
        first: Sees images, which need no ReLU.
        wide: The first convolution widens, not the second.
        halves: Whether the map is halved.
        attends: Whether self-attention follows.
    """

    def __init__(self, before: int, after: int, *, first: bool, wide: bool, halves: bool, attends: bool) -> None:
        super().__init__(before, after if first or wide else before, after, attends)
        self.first, self.pool = first, nn.AvgPool2d(2) if halves else nn.Identity()
        if before == after and not halves:
            self.shortcut = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H/2, W/2), or to (N, after, H, W)."""
        hidden = self.conv1(features if self.first else relu(features))
        hidden = self.pool(self.conv2(relu(hidden)))
        # published code halves before the 1x1 convolution in the first block, after it in others; the two commute
        return self.attention(hidden + self.shortcut(self.pool(features)))


def initialise(module: nn.Module) -> None:
    """Glorot's uniform distribution, twice the variance beside a shortcut, biases zero (published code of SNGAN)."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ResidualBlock):  # its layers are done by now: `apply` goes from the inside out
        nn.init.xavier_uniform_(module.conv1.weight, sqrt(2))
        nn.init.xavier_uniform_(module.conv2.weight, sqrt(2))


def doubled(width: int, times: int, most: int = 16) -> list[int]:
    """`width`, then `times` numbers that are each twice the one before, up to `most * width`."""
    return [width * min(2**level, most) for level in range(times + 1)]


def check_attention(attention: int, sides: Sequence[int]) -> None:
    """Whether one of the maps can be given attention.

    Raises:
        UserError: none has this side.
    """
    if attention and attention not in sides:
        raise UserError(f"attention must be 0 or the side of one of the maps, {list(sides)}, not {attention}")


class ResNetGenerator(Generator):
    """Latent to a 4 to 7 pixel map, doubled by residual blocks up to the image, then batch norm, ReLU, 3x3 and tanh.

    The last map has `width` channels, each one before it twice as many, up to 16 times `width`; for images of up to 32
    pixels all maps have 4 times `width`. The defaults are SNGAN's networks (arXiv:1802.05957, tables 4 to 6, and the
    published code for 64 pixels); `width=32` gives WGAN-GP's for 32 pixels (arXiv:1704.00028, published code). A label
    chooses gain and bias of each batch norm in the blocks, not of the last one (arXiv:1802.05637, section 5.1).

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal.
        width: Channels of the last map; up to 32 pixels, a quarter of those of each map.
        attention: Side of the map that gets self-attention, 0 for none. SAGAN (arXiv:1805.08318) has it at 32 of 128
            pixels.
        spectral: Spectral normalization, as in SAGAN.

    Raises:
        UserError: no map has the side `attention`.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 128,
        width: int = 64,
        attention: int = 0,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        at_least(1, width=width)
        times, first = halvings(image_shape)
        widths, sides = self.widths(width), [first << level for level in range(1, times + 1)]
        check_attention(attention, sides)
        self.first = nn.Sequential(
            nn.Linear(latent_dim, widths[0] * first**2), nn.Unflatten(1, (widths[0], first, first))
        )
        self.blocks = nn.ModuleList(
            UpBlock(before, after, num_classes, attends=side == attention)
            for (before, after), side in zip(pairwise(widths), sides, strict=True)
        )
        self.last = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], image_shape[0], 3, padding=1), nn.Tanh()
        )
        self.apply(initialise)
        if spectral:
            spectral_normalise(self)

    def widths(self, width: int) -> list[int]:
        """Channels of each map, first to last."""
        times, _ = halvings(self.image_shape)
        return [4 * width] * (times + 1) if self.image_shape[1] <= 32 else doubled(width, times)[::-1]

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        features = self.first(latent)
        for block in self.blocks:
            features = block(features, label)
        return self.last(features)


class ResNetDiscriminator(Discriminator):
    """Residual blocks without norm, ReLU, the sum over all places, then one logit.

    The first map has `width` channels, each one after it twice as many, up to 16 times `width`; for images of up to 32
    pixels there are four maps of twice `width`. The first two blocks halve their maps, and so does each later one that
    widens it, while the side is even. The defaults are SNGAN's networks (arXiv:1802.05957, tables 4 to 6, and the
    published code for 64 pixels, all with `spectral`), or with `mean_pool` WGAN-GP's for 32 pixels (arXiv:1704.00028,
    published code). A label is one more image plane, learned for each class; see `Projection` and `AuxiliaryClassifier`
    for other ways.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the first map; up to 32 pixels, half of those of each map.
        wide: The first convolution of a block widens the map, not the second, as in SAGAN's published code.
        mean_pool: The mean over all places instead of the sum.
        attention: Side of the map that gets self-attention when a block has halved to it, 0 for none. SAGAN
            (arXiv:1805.08318) has it at 32 of 128 pixels.
        spectral: Spectral normalization of all layers, not of the label's plane: at norm one it would be hardly seen.

    Raises:
        UserError: no block halves to the side `attention`.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        width: int = 64,
        wide: bool = False,
        mean_pool: bool = False,
        attention: int = 0,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.mean_pool = tuple(image_shape), num_classes, mean_pool
        self.label = LabelPlane(num_classes, image_shape)
        at_least(1, width=width)
        times, _ = halvings(image_shape)
        widths = [2 * width] * 4 if image_shape[1] <= 32 else doubled(width, max(times, 4))
        blocks, sides = [], [image_shape[1]]
        for index, (before, after) in enumerate(pairwise([self.label.channels, *widths])):
            halves = sides[-1] % 2 == 0 and (index < 2 or after > before)
            sides += [sides[-1] // 2] * halves
            attends = halves and sides[-1] == attention
            blocks.append(DownBlock(before, after, first=index == 0, wide=wide, halves=halves, attends=attends))
        check_attention(attention, sides[1:])
        self.layers, self.feature_dim = nn.Sequential(*blocks, nn.ReLU()), widths[-1]
        self.head = nn.Linear(self.feature_dim, 1)
        self.apply(initialise)
        if spectral:
            spectral_normalise(self.layers)
            spectral_normalise(self.head)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the last map, summed or averaged over its places."""
        places = self.layers(self.label(image, label)).flatten(2)
        return places.mean(2) if self.mean_pool else places.sum(2)
