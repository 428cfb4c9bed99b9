"""The deep convolutional networks of Radford et al., 2015, arXiv:1511.06434."""

from itertools import pairwise

from torch import Tensor, nn

from lit_gans.errors import UserError
from lit_gans.networks.layers import (
    Crop,
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


def initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), gains of norms from N(1, 0.02), biases zero (section 4 of the paper, and its code)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm)) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)


class DCGANGenerator(Generator):
    """Latent to a 4 to 7 pixel map, doubled by transposed convolutions (stride 2) up to the image, then tanh.

    The default is the common PyTorch port; the paper's own code has `kernel=5, dense=True, width=128`, and so has that
    of WGAN-GP (`gan_cifar.py`, with `bias=True, latent_dim=128`; for 64 pixels also `unit_norm=False`, for MNIST
    `batch_norm=False, uneven=True`). 28 pixels start from a map of 7x7 (8, 16, 32, 64, ... from 4x4), and so does any
    size that `halvings` allows.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal.
        width: Channels of the last hidden map; each map before it has twice as many.
        kernel: Size of the kernels that double a map.
        dense: Whether each unit of the first map has a bias and a batch norm of its own, not each channel.
        unit_norm: With `dense`, whether that holds for the batch norm, too.
        bias: Whether layers have biases.
        batch_norm: Whether hidden maps have batch norm.
        uneven: Whether doubled maps are cropped to an odd size where that leads to the image's: 28 from 4, 7 and 14.
        embedding_dim: Length of a label's vector.
        spectral: Whether weights are spectrally normalised.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 100,
        width: int = 64,
        kernel: int = 4,
        dense: bool = False,
        unit_norm: bool = True,
        bias: bool = False,
        batch_norm: bool = True,
        uneven: bool = False,
        embedding_dim: int = 10,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        self.label = LabelEmbedding(num_classes, embedding_dim)
        times, first = halvings(image_shape, uneven)
        widths = [width << level for level in reversed(range(times))]
        inputs, units = latent_dim + self.label.dim, widths[0] * first * first
        norm, flat_norm = (nn.BatchNorm2d, nn.BatchNorm1d) if batch_norm else (nn.Identity, nn.Identity)
        if dense:
            unflatten = nn.Unflatten(1, (widths[0], first, first))
            normed = [flat_norm(units), nn.ReLU(), unflatten] if unit_norm else [unflatten, norm(widths[0]), nn.ReLU()]
            layers = [nn.Flatten(), nn.Linear(inputs, units, bias=bias), *normed]
        else:
            layers = [nn.ConvTranspose2d(inputs, widths[0], first, bias=bias), norm(widths[0]), nn.ReLU()]
        for level, (before, after) in zip(reversed(range(times)), pairwise([*widths, image_shape[0]]), strict=True):
            side = -(-image_shape[1] // 2**level)
            layers += [doubling(before, after, kernel, bias), *([Crop(side)] * (side % 2))]
            layers += [norm(after), nn.ReLU()] if level else [nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)
        if spectral:
            spectral_normalise(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        return self.layers(self.label(latent, label)[:, :, None, None])


class DCGANDiscriminator(Discriminator):
    """Strided convolutions with norm and LeakyReLU 0.2 down to a 4 to 7 pixel map, then one logit.

    No norm on the first map. A label is one more image plane, learned for each class. The default is the common PyTorch
    port; the paper's own code has `kernel=5, width=128`, and that of WGAN-GP `kernel=5, bias=True, norm="none"`, for
    MNIST with `uneven=True`.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the first map; each one after it has twice as many.
        kernel: Size of the kernels.
        norm: Of hidden maps: batch, instance, layer or none. A gradient penalty wants any but batch.
        bias: Whether layers have biases.
        uneven: Whether maps of odd size are halved, too, rounded up: 28 to 14, 7 and 4. Wants an odd kernel.
        spectral: Whether weights are spectrally normalised.

    Raises:
        UserError: the kernel is even, and maps are uneven.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        width: int = 64,
        kernel: int = 4,
        norm: Norm = "batch",
        bias: bool = False,
        uneven: bool = False,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        if uneven and kernel % 2 == 0:
            raise UserError(f"uneven maps want an odd kernel, such as 5, not {kernel}")
        self.label = LabelPlane(num_classes, image_shape)
        times, last = halvings(image_shape, uneven)
        widths = [width << level for level in range(times)]
        layers = [halving(self.label.channels, width, kernel, bias), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            layers += [halving(before, after, kernel, bias), normalisation(norm, after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.feature_dim = widths[-1] * last * last
        self.head = nn.Linear(self.feature_dim, 1, bias=bias)
        self.apply(initialise)
        if spectral:
            spectral_normalise(self)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the last map, flattened."""
        return self.layers(self.label(image, label))
