"""The networks of BigGAN."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from lit_gans.errors import UserError, at_least
from lit_gans.networks.layers import (
    Discriminator,
    Generator,
    ImageShape,
    LabelEmbedding,
    LabelPlane,
    halvings,
    spectral_normalise,
)
from lit_gans.networks.resnet import DownBlock, UpBlock, check_attention

# Channels of each map in units of `width`, by how often the image is halved; for 32 pixels and fewer, and for 64, as in
# the published PyTorch code, for more as in tables 4 to 6 of the paper.
GENERATOR_WIDTHS = {
    1: (4, 4),  # 8 pixels
    2: (4, 4, 4),  # 16, 28
    3: (4, 4, 4, 4),  # 32
    4: (16, 16, 8, 4, 2),  # 64
    5: (16, 16, 8, 4, 2, 1),  # 128
    6: (16, 16, 8, 8, 4, 2, 1),  # 256
    7: (16, 16, 8, 8, 4, 2, 1, 1),  # 512
}
DISCRIMINATOR_WIDTHS = {
    1: (4, 4, 4, 4),
    2: (4, 4, 4, 4),
    3: (4, 4, 4, 4),
    4: (1, 2, 4, 8, 16),
    5: (1, 2, 4, 8, 16, 16),
    6: (1, 2, 4, 8, 8, 16, 16),
    7: (1, 1, 2, 4, 8, 8, 16, 16),
}


class VectorBatchNorm(nn.BatchNorm2d):
    """Batch norm whose gain, less one, and bias are linear in a vector (arXiv:1809.11096, section 3 and Fig. 15b).

    Args:
        channels: Of the features.
        dim: Length of the vector.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__(channels, affine=False)
        self.gain = nn.Linear(dim, channels, bias=False)
        self.shift = nn.Linear(dim, channels, bias=False)

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        """(N, channels, H, W) and vectors (N, dim) to the same shape."""
        gain, shift = self.gain(vector)[:, :, None, None], self.shift(vector)[:, :, None, None]
        return super().forward(features) * (1 + gain) + shift


class VectorUpBlock(UpBlock):
    """A block of the generator, whose batch norms are told a vector where `UpBlock` tells them a label (Fig. 15b).

    Args:
        before: Channels that come in.
        after: Channels that go out.
        dim: Length of the vector.
        attends: Whether self-attention follows.
    """

    def __init__(self, before: int, after: int, dim: int, attends: bool) -> None:
        super().__init__(before, after, attends=attends)
        self.norm1, self.norm2 = VectorBatchNorm(before, dim), VectorBatchNorm(after, dim)


def channels(table: dict[int, tuple[int, ...]], width: int, times: int) -> list[int]:
    """Channels of the maps of an image that is halved so often.

    Raises:
        UserError: the image is larger than any in the paper, or the width is below 1.
    """
    at_least(1, width=width)
    if times not in table:
        raise UserError("BigGAN has networks for images of less than 1024 pixels only (--data.image_size)")
    return [width * multiple for multiple in table[times]]


def attended(attention: int | None, sides: Sequence[int], size: int) -> int:
    """The side asked for, 0 for none; if it is None, the largest of up to 64 and of up to half the image's size.

    Raises:
        UserError: no map has the side asked for.
    """
    if attention is None:
        return max((side for side in sides if side <= min(64, size // 2)), default=0)
    check_attention(attention, sides)
    return attention


def prepare(part: nn.Module, spectral: bool) -> None:
    """Orthogonal weights (arXiv:1809.11096, section 3) and, with `spectral`, spectral normalization.

    As in the published code, biases stay as torch draws them, and the power iteration's epsilon is 1e-6.
    """
    for module in part.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
            nn.init.orthogonal_(module.weight)
    if spectral:
        spectral_normalise(part, eps=1e-6)


class BigGANGenerator(Generator):
    """Latent to a 4 to 7 pixel map, doubled by residual blocks up to the image (arXiv:1809.11096, appendix B).

    The latent is cut into pieces: the first makes the first map; each block has one of the others, which with a vector
    of the class, shared by all blocks, sets gain and bias of the block's batch norms. Without labels the piece does so
    alone. The table at the head of this file gives the channels of the maps; 28 pixels start from 7x7.

    As in the published code, all layers but the shared vectors of the classes are spectrally normalised.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal; None for 20 in each piece, or 128 in one.
        width: Unit of the channels, the paper's ch.
        shared_dim: Length of a class's vector; 0 for gains and biases of each class's own (`ConditionalBatchNorm`), and
            a latent in one piece for the first map only. SAGAN is so, and the published code for CIFAR-10.
        attention: Side of the map that gets self-attention, 0 for none; None for the largest of up to 64 and of up to
            half the image's size (64 of 128 pixels as in the paper, 16 of 32 as in StudioGAN).
        spectral: Spectral normalization.

    Raises:
        UserError: `latent_dim` can't be cut into equal pieces, no map has the side `attention`, images have 1024 pixels
            or more, or a number is out of range.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int | None = None,
        width: int = 96,
        shared_dim: int = 128,
        attention: int | None = None,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        at_least(0, shared_dim=shared_dim)
        times, first = halvings(image_shape)
        widths, sides = channels(GENERATOR_WIDTHS, width, times), [first << level for level in range(1, times + 1)]
        side_of_attention = attended(attention, sides, image_shape[1])
        pieces = 1 + times if shared_dim else 1
        if latent_dim is None:
            latent_dim = 20 * pieces if shared_dim else 128
        if latent_dim < pieces or latent_dim % pieces:
            raise UserError(
                f"latent_dim must be a multiple of {pieces}, for pieces of one length for the first map and each block "
                f"of {image_shape[1]} pixels, not {latent_dim}"
            )
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        self.piece = latent_dim // pieces
        self.label = LabelEmbedding(num_classes if shared_dim else 0, shared_dim)
        self.first = nn.Sequential(
            nn.Linear(self.piece, widths[0] * first**2), nn.Unflatten(1, (widths[0], first, first))
        )
        self.blocks = nn.ModuleList(
            VectorUpBlock(before, after, self.piece + self.label.dim, side == side_of_attention)
            if shared_dim
            else UpBlock(before, after, num_classes, side == side_of_attention)
            for (before, after), side in zip(pairwise(widths), sides, strict=True)
        )
        self.last = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], image_shape[0], 3, padding=1), nn.Tanh()
        )
        prepare(self.label, spectral=False)
        for part in (self.first, self.blocks, self.last):
            prepare(part, spectral)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        first, *others = latent.split(self.piece, dim=1)
        told = [self.label(piece, label) for piece in others] or [label] * len(self.blocks)
        features = self.first(first)
        for block, condition in zip(self.blocks, told, strict=True):
            features = block(features, condition)
        return self.last(features)


class BigGANDiscriminator(Discriminator):
    """Residual blocks without norm, ReLU, the sum over all places, then one logit (arXiv:1809.11096, appendix B).

    The table at the head of this file gives the channels after each block. All blocks but the last halve their maps;
    for images of up to 32 pixels only the first two do. A label is one more image plane, learned for each class; the
    paper's own way is `Projection` of this network without labels.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        width: Unit of the channels, the paper's ch.
        attention: Side of the map that gets self-attention when a block has halved to it, 0 for none; None as in
            `BigGANGenerator`.
        spectral: Spectral normalization of all layers, not of the label's plane: at norm one it would be hardly seen.

    Raises:
        UserError: no block halves to the side `attention`, images have 1024 pixels or more, or the width is below 1.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        width: int = 96,
        attention: int | None = None,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.label = LabelPlane(num_classes, image_shape)
        times, _ = halvings(image_shape)
        widths, size = channels(DISCRIMINATOR_WIDTHS, width, times), image_shape[1]
        halved = times if times > 3 else min(times, 2)
        sides = [size >> min(level, halved) for level in range(len(widths) + 1)]
        side_of_attention = attended(attention, sides[1 : halved + 1], size)
        blocks = []
        for (before, after), (larger, side) in zip(
            pairwise([self.label.channels, *widths]), pairwise(sides), strict=True
        ):
            halves = side < larger
            attends = halves and side == side_of_attention
            blocks.append(DownBlock(before, after, first=larger == size, wide=True, halves=halves, attends=attends))
        self.layers, self.feature_dim = nn.Sequential(*blocks, nn.ReLU()), widths[-1]
        self.head = nn.Linear(self.feature_dim, 1)
        for part in (self.layers, self.head):
            prepare(part, spectral)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the last map, summed over its places."""
        return self.layers(self.label(image, label)).sum((2, 3))
