"""Fully connected generator and discriminator."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from lit_gans.networks.layers import (
    Discriminator,
    Generator,
    ImageShape,
    LabelEmbedding,
    draw_uniform,
    spectral_normalise,
)


class MLPGenerator(Generator):
    """Latent, linear layers with LeakyReLU, image by tanh (after Goodfellow et al., 2014, arXiv:1406.2661).

    The paper's own network for MNIST has `widths=(1200, 1200), slope=0, init_range=0.05`.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels.
        latent_dim: Length of the latent vector, standard normal.
        widths: Of the hidden layers, first to last.
        slope: Of LeakyReLU below zero; 0 for ReLU.
        batch_norm: After each hidden layer.
        norm_from: The first hidden layer that has batch norm, counted from 0.
        init_range: Draws weights from U(-init_range, init_range), with biases of zero; None for PyTorch's default.
        embedding_dim: Length of a label's vector.
        spectral: Whether weights are spectrally normalised.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 100,
        widths: Sequence[int] = (128, 256),
        slope: float = 0.2,
        batch_norm: bool = False,
        norm_from: int = 0,
        init_range: float | None = None,
        embedding_dim: int = 10,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim
        self.label = LabelEmbedding(num_classes, embedding_dim)
        sizes = [latent_dim + self.label.dim, *widths]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False)):
            norm = [nn.BatchNorm1d(after)] if batch_norm and level >= norm_from else []
            layers += [nn.Linear(before, after), *norm, nn.LeakyReLU(slope)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], prod(image_shape)), nn.Tanh())
        if init_range is not None:
            draw_uniform(self, init_range)
        if spectral:
            spectral_normalise(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        return self.layers(self.label(latent, label)).view(-1, *self.image_shape)


class MLPDiscriminator(Discriminator):
    """Image, linear layers with LeakyReLU and dropout, one logit.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        widths: Of the hidden layers, first to last.
        slope: Of LeakyReLU below zero; 0 for ReLU.
        dropout: Share of hidden values that are dropped in training.
        embedding_dim: Length of a label's vector.
        spectral: Whether weights are spectrally normalised.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        widths: Sequence[int] = (128, 64),
        slope: float = 0.2,
        dropout: float = 0.0,
        embedding_dim: int = 10,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.label = LabelEmbedding(num_classes, embedding_dim)
        sizes = [prod(image_shape) + self.label.dim, *widths]
        layers: list[nn.Module] = []
        for before, after in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(before, after), nn.LeakyReLU(slope), *([nn.Dropout(dropout)] * (dropout > 0))]
        self.layers, self.feature_dim = nn.Sequential(*layers), sizes[-1]
        self.head = nn.Linear(self.feature_dim, 1)
        if spectral:
            spectral_normalise(self)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the last hidden layer."""
        return self.layers(self.label(image.flatten(1), label))
