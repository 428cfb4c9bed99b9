"""The convolutional networks for labelled MNIST of DCGAN's authors (arXiv:1511.06434; Newmu/dcgan_code, `mnist`)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lit_gans.networks.dcgan import initialise
from lit_gans.networks.layers import Discriminator, Generator, ImageShape, doubling, halving, halvings, required


def with_label(hidden: Tensor, label: Tensor | None, num_classes: int) -> Tensor:
    """Values (N, F) or maps (N, F, H, W), and beside them the one-hot label: F + num_classes values or maps.

    On maps each number of the label is a constant map. Without classes the hidden values are unchanged.

    Raises:
        UserError: there are classes, and no label is given.
    """
    if not num_classes:
        return hidden
    numbers = one_hot(required(label), num_classes).to(hidden)
    places = hidden.shape[2:]
    return torch.cat([hidden, numbers.view(*numbers.shape, *[1] * len(places)).expand(-1, -1, *places)], dim=1)


class ConditionalDCGANGenerator(Generator):
    """Two dense layers to a 4 to 7 pixel map, doubled by 5x5 transposed convolutions up to the image, then tanh.

    Each layer sees the one-hot label beside its input. Batch norm after all but the last, without gain and bias; no
    layer has biases. The published code makes 28 pixels in [0, 1] by a sigmoid, from 7x7 with 128 channels; other sizes
    that `halvings` allows begin from its smallest map.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal (uniform in the published code).
        width: Channels of the last hidden map; each map before it has twice as many.
        dense_width: Units of the first layer.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 100,
        width: int = 64,
        dense_width: int = 1024,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        times, first = halvings(image_shape)
        widths = [width << level for level in reversed(range(times))]
        units = widths[0] * first * first
        self.layers = nn.ModuleList()
        for before, after in ((latent_dim, dense_width), (dense_width, units)):
            dense = nn.Linear(before + num_classes, after, bias=False)
            self.layers.append(nn.Sequential(dense, nn.BatchNorm1d(after, affine=False), nn.ReLU()))
        self.layers[-1].append(nn.Unflatten(1, (widths[0], first, first)))
        for before, after in zip(widths, widths[1:], strict=False):
            double = doubling(before + num_classes, after, kernel=5, bias=False)
            self.layers.append(nn.Sequential(double, nn.BatchNorm2d(after, affine=False), nn.ReLU()))
        image = doubling(widths[-1] + num_classes, image_shape[0], kernel=5, bias=False)
        self.layers.append(nn.Sequential(image, nn.Tanh()))
        self.apply(initialise)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        hidden = latent
        for layer in self.layers:
            hidden = layer(with_label(hidden, label, self.num_classes))
        return hidden


class ConditionalDCGANDiscriminator(Discriminator):
    """Strided 5x5 convolutions down to a 4 to 7 pixel map, a dense layer, then one logit; LeakyReLU 0.2.

    Each layer, the last one too, sees the one-hot label beside its input. Batch norm after all but the first and the
    last, without gain and bias; no layer has biases.

    Args:
        image_shape: (C, H, W) of the images judged; any size that `halvings` allows.
        num_classes: 0 for a discriminator without labels.
        width: Channels of the first map; each one after it has twice as many.
        dense_width: Units of the dense layer.
    """

    def __init__(
        self, image_shape: ImageShape, num_classes: int = 0, *, width: int = 64, dense_width: int = 1024
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        times, last = halvings(image_shape)
        widths = [width << level for level in range(times)]
        first = halving(image_shape[0] + num_classes, width, kernel=5, bias=False)
        self.layers = nn.ModuleList([nn.Sequential(first, nn.LeakyReLU(0.2))])
        for before, after in zip(widths, widths[1:], strict=False):
            halve = halving(before + num_classes, after, kernel=5, bias=False)
            self.layers.append(nn.Sequential(halve, nn.BatchNorm2d(after, affine=False), nn.LeakyReLU(0.2)))
        self.layers[-1].append(nn.Flatten())
        dense = nn.Linear(widths[-1] * last * last + num_classes, dense_width, bias=False)
        self.layers.append(nn.Sequential(dense, nn.BatchNorm1d(dense_width, affine=False), nn.LeakyReLU(0.2)))
        self.feature_dim = dense_width + num_classes
        self.head = nn.Linear(self.feature_dim, 1, bias=False)
        self.apply(initialise)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the dense layer, and beside it the one-hot label."""
        hidden = image
        for layer in self.layers:
            hidden = layer(with_label(hidden, label, self.num_classes))
        return with_label(hidden, label, self.num_classes)
