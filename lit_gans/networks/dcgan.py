"""The deep convolutional networks of Radford et al., 2015, arXiv:1511.06434."""

from torch import Tensor, nn

from lit_gans.networks.layers import Discriminator, Generator, ImageShape, LabelEmbedding, LabelPlane, halvings


def initialise(module: nn.Module) -> None:
    """Convolutions from N(0, 0.02), batch-norm gains from N(1, 0.02) (section 4 of the paper, and its code)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class DCGANGenerator(Generator):
    """Latent to a 4 to 7 pixel map, doubled by transposed convolutions (4x4, stride 2) up to the image, then tanh.

    The kernels are those of the common PyTorch port; the paper's own code has 5x5 ones and a dense first layer. 28
    pixels start from a map of 7x7 (8, 16, 32, 64, ... from 4x4), and so does any size that `halvings` allows.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal.
        width: Channels of the last hidden map; each map before it has twice as many.
        embedding_dim: Length of a label's vector.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 100,
        width: int = 64,
        embedding_dim: int = 10,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        self.label = LabelEmbedding(num_classes, embedding_dim)
        times, first = halvings(image_shape)
        widths = [width << level for level in reversed(range(times))]
        layers = [
            nn.ConvTranspose2d(latent_dim + self.label.dim, widths[0], first, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(
            *layers, nn.ConvTranspose2d(widths[-1], image_shape[0], 4, 2, 1, bias=False), nn.Tanh()
        )
        self.apply(initialise)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        return self.layers(self.label(latent, label)[:, :, None, None])


class DCGANDiscriminator(Discriminator):
    """Strided convolutions (4x4) with batch norm and LeakyReLU 0.2 down to a 4 to 7 pixel map, then one logit.

    No batch norm on the first map. A label is one more image plane, learned for each class.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the first map; each one after it has twice as many.
    """

    def __init__(self, image_shape: ImageShape, num_classes: int = 0, *, width: int = 64) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.label = LabelPlane(num_classes, image_shape)
        times, last = halvings(image_shape)
        widths = [width << level for level in range(times)]
        layers = [nn.Conv2d(self.label.channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.feature_dim = widths[-1] * last * last
        self.head = nn.Linear(self.feature_dim, 1, bias=False)
        self.apply(initialise)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the last map, flattened."""
        return self.layers(self.label(image, label))
