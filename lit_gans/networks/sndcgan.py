"""The plain convolutional networks of spectral normalization (Miyato et al., 2018, arXiv:1802.05957, Table 3)."""

from torch import Tensor, nn

from lit_gans.networks.dcgan import initialise
from lit_gans.networks.layers import (
    Discriminator,
    Generator,
    ImageShape,
    LabelEmbedding,
    LabelPlane,
    doubling,
    halving,
    halvings,
    spectral_normalise,
)


class SNDCGANGenerator(Generator):
    """Latent to a 4 to 7 pixel map, doubled by transposed convolutions (4x4) up to the image's size, image by tanh.

    As in the table the first map is linear, without batch norm and ReLU (some published code has both); weights are
    drawn as those of DCGAN. Sizes of the paper are 32 (from 4x4) and 48 (from 6x6); any that `halvings` allows will do.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal.
        width: Channels of the last hidden map; each map before it has twice as many, 512 at 4x4 for 32 pixels.
        embedding_dim: Length of a label's vector.
        spectral: Whether weights are spectrally normalised.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 128,
        width: int = 64,
        embedding_dim: int = 10,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        self.label = LabelEmbedding(num_classes, embedding_dim)
        times, first = halvings(image_shape)
        widths = [width << level for level in reversed(range(times + 1))]
        layers = [
            nn.Linear(latent_dim + self.label.dim, widths[0] * first * first),
            nn.Unflatten(1, (widths[0], first, first)),
        ]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [doubling(before, after), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, image_shape[0], 3, padding=1), nn.Tanh())
        self.apply(initialise)
        if spectral:
            spectral_normalise(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        return self.layers(self.label(latent, label))


class SNDCGANDiscriminator(Discriminator):
    """3x3 convolutions that widen and 4x4 ones that halve, by turns, LeakyReLU 0.1 after each; one logit.

    No norm but that of the weights. A label is one more image plane, learned for each class.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the first map; each halved one has twice as many, 512 at 4x4 for 32 pixels.
        spectral: Whether weights are spectrally normalised.
    """

    def __init__(
        self, image_shape: ImageShape, num_classes: int = 0, *, width: int = 64, spectral: bool = False
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.label = LabelPlane(num_classes, image_shape)
        times, last = halvings(image_shape)
        widths = [width << level for level in range(times + 1)]
        layers = [nn.Conv2d(self.label.channels, width, 3, padding=1), nn.LeakyReLU(0.1)]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [halving(before, before), nn.LeakyReLU(0.1)]
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.feature_dim = widths[-1] * last * last
        self.head = nn.Linear(self.feature_dim, 1)
        self.apply(initialise)
        if spectral:
            spectral_normalise(self)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the last map, flattened."""
        return self.layers(self.label(image, label))
