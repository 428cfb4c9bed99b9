"""The discriminator of the first GAN (Goodfellow et al., 2014, arXiv:1406.2661)."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from lit_gans.networks.layers import Discriminator, ImageShape, LabelEmbedding, draw_uniform


class Maxout(nn.Linear):
    """A linear layer of units x pieces, and of each unit the largest piece (Goodfellow et al., 2013, arXiv:1302.4389).

    Consecutive rows of the weight belong to one unit.

    Args:
        in_features: Length of the input.
        units: Length of the output.
        pieces: Linear functions to each unit.
    """

    def __init__(self, in_features: int, units: int, pieces: int) -> None:
        super().__init__(in_features, units * pieces)
        self.pieces = pieces

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_features) to (N, units)."""
        return super().forward(features).unflatten(1, (-1, self.pieces)).max(dim=2).values


class MaxoutDiscriminator(Discriminator):
    """Image, maxout layers with dropout, one logit (the published code; section 5 of the paper names the layers).

    The defaults are those for MNIST; CIFAR-10 has `widths=(1600, 1600)`. What dropout leaves is scaled up in training,
    so that nothing is to be scaled afterwards.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels.
        widths: Units of the hidden layers, first to last.
        pieces: Linear functions to each unit.
        input_dropout: Share of input values that are dropped in training.
        dropout: Share of hidden values that are.
        init_range: Weights are drawn from U(-init_range, init_range); biases are zero.
        embedding_dim: Length of a label's vector.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        widths: Sequence[int] = (240, 240),
        pieces: int = 5,
        input_dropout: float = 0.2,
        dropout: float = 0.5,
        init_range: float = 0.005,
        embedding_dim: int = 10,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.label = LabelEmbedding(num_classes, embedding_dim)
        sizes = [prod(image_shape) + self.label.dim, *widths]
        layers: list[nn.Module] = [nn.Dropout(input_dropout)]
        for before, after in zip(sizes, sizes[1:], strict=False):
            layers += [Maxout(before, after, pieces), nn.Dropout(dropout)]
        self.layers, self.feature_dim = nn.Sequential(*layers), sizes[-1]
        self.head = nn.Linear(self.feature_dim, 1)
        draw_uniform(self, init_range)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the last hidden layer."""
        return self.layers(self.label(image.flatten(1), label))
