"""The networks of auxiliary classifier GANs (Odena et al., 2017, arXiv:1610.09585, tables of the appendix)."""

from collections.abc import Sequence

from torch import Tensor, nn

from lit_gans.errors import at_least
from lit_gans.networks.dcgan import initialise
from lit_gans.networks.layers import (
    Discriminator,
    Generator,
    ImageShape,
    LabelEmbedding,
    LabelPlane,
    Norm,
    doubling,
    halving,
    halvings,
    normalisation,
    spectral_normalise,
)


class ACGANGenerator(Generator):
    """Latent to a map by a linear layer with ReLU, doubled by 5x5 transposed convolutions up to the image, then tanh.

    Batch norm on hidden maps but the first. The defaults are those for CIFAR-10; ImageNet at 128 pixels has
    `widths=(768, 384, 256, 192)`. The paper gives the first map as one number of channels; here it is 4x4 for 32 pixels
    and 8x8 for 128, which the number of layers leaves. Each map of `widths` is doubled once. Where `halvings` allows
    less, only the last ones are used: 28 pixels start from 7x7 with 192 channels.

    The paper joins the latent with a one-hot label, here it is a learned vector of the same length for ten classes.

    Args:
        image_shape: (C, H, W) of the images made; any size that `halvings` allows.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal.
        widths: Channels of the maps, first to last.
        embedding_dim: Length of a label's vector.
        spectral: Whether weights are spectrally normalised.

    Raises:
        UserError: there are no widths.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 100,
        widths: Sequence[int] = (384, 192, 96),
        embedding_dim: int = 10,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        self.label = LabelEmbedding(num_classes, embedding_dim)
        at_least(1, **{"the number of widths": len(widths)})
        times, _ = halvings(image_shape)
        widths = widths[-times:]
        first = image_shape[1] >> len(widths)
        layers = [nn.Linear(latent_dim + self.label.dim, widths[0] * first * first), nn.ReLU()]
        layers += [nn.Unflatten(1, (widths[0], first, first))]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [doubling(before, after, kernel=5), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, doubling(widths[-1], image_shape[0], kernel=5), nn.Tanh())
        self.apply(initialise)
        if spectral:
            spectral_normalise(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        return self.layers(self.label(latent, label))


class ACGANDiscriminator(Discriminator):
    """Six 3x3 convolutions, each other one with stride 2, norm but on the first, LeakyReLU 0.2 and dropout; one logit.

    As in both tables of the paper, an image is halved three times whatever its size (32 pixels end at 4x4, 128 at
    16x16, 28 at 4x4). The noise on activations is left out. A label is one more image plane, learned for each class; in
    ACGAN itself there is none, and `AuxiliaryClassifier` adds the class head.

    Args:
        image_shape: (C, H, W) of the images judged; of any size.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the first map; each one after it has twice as many.
        dropout: Share of hidden values that are dropped in training, after each convolution.
        norm: Of hidden maps: batch, instance, layer or none. A gradient penalty wants any but batch.
        spectral: Whether weights are spectrally normalised.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        width: int = 16,
        dropout: float = 0.5,
        norm: Norm = "batch",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.label = LabelPlane(num_classes, image_shape)
        widths = [width << level for level in range(6)]
        layers = [halving(self.label.channels, width, kernel=3), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
        for level, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
            convolution = halving(before, after, kernel=3) if level % 2 else nn.Conv2d(before, after, 3, padding=1)
            layers += [convolution, normalisation(norm, after), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        height, breadth = (-(-size // 8) for size in image_shape[1:])  # odd sizes are halved upwards
        self.feature_dim = widths[-1] * height * breadth
        self.head = nn.Linear(self.feature_dim, 1)
        self.apply(initialise)
        if spectral:
            spectral_normalise(self)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the last map, flattened."""
        return self.layers(self.label(image, label))
