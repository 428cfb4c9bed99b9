"""The generator of least squares GANs (Mao et al., 2016, arXiv:1611.04076, Figure 3)."""

from torch import Tensor, nn

from lit_gans.networks.dcgan import initialise
from lit_gans.networks.layers import Generator, ImageShape, LabelEmbedding, doubling, halvings


class LSGANGenerator(Generator):
    """A dense map, doubled by 3x3 transposed convolutions, with one more at each size that keeps its width; then tanh.

    112 pixels start from 7x7, with 256 channels up to 28x28. The discriminator beside it is
    `DCGANDiscriminator(kernel=5, bias=True)`.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal (uniform in the published code).
        width: Channels of the last hidden map; each map before it has twice as many, up to four times this.
        embedding_dim: Length of a label's vector.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 1024,
        width: int = 64,
        embedding_dim: int = 10,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        self.label = LabelEmbedding(num_classes, embedding_dim)
        times, first = halvings(image_shape)
        widths = [min(width << level, 4 * width) for level in reversed(range(times + 1))]
        layers: list[nn.Module] = [
            nn.Linear(latent_dim + self.label.dim, widths[0] * first * first),
            nn.Unflatten(1, (widths[0], first, first)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [doubling(before, after, kernel=3), nn.BatchNorm2d(after), nn.ReLU()]
            if after == before:
                layers += [nn.ConvTranspose2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, image_shape[0], 3, padding=1), nn.Tanh())
        self.apply(initialise)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        return self.layers(self.label(latent, label))
