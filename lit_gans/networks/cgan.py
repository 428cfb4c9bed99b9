"""The networks of conditional GANs for MNIST (Mirza & Osindero, 2014, arXiv:1411.1784, section 4.1)."""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lit_gans.networks.layers import Discriminator, Generator, ImageShape, required
from lit_gans.networks.maxout import Maxout


def join(hidden: Tensor, branch: nn.Module | None, label: Tensor | None, num_classes: int) -> Tensor:
    """Hidden values (N, F), and beside them what the branch makes of one-hot labels; without a branch unchanged."""
    if branch is None:
        return hidden
    return torch.cat([hidden, branch(one_hot(required(label), num_classes).to(hidden))], dim=1)


class CGANGenerator(Generator):
    """Latent and one-hot label, each through a ReLU layer of its own, then a joint one; image by tanh.

    The paper leaves open whether the joint layer of 1200 units has weights or is the concatenation of 200 and 1000;
    here it has weights.

    Args:
        image_shape: (C, H, W) of the images made.
        num_classes: 0 for a generator without labels, which has no layer for them.
        latent_dim: Length of the latent vector, standard normal (uniform in the paper).
        latent_width: Hidden units of the latent.
        label_width: Hidden units of the label.
        joint_width: Hidden units of both.
        dropout: Share of hidden values that are dropped in training.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        latent_dim: int = 100,
        latent_width: int = 200,
        label_width: int = 1000,
        joint_width: int = 1200,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.latent_dim = tuple(image_shape), num_classes, latent_dim

        def hidden(before: int, after: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout))

        self.latent = hidden(latent_dim, latent_width)
        self.label = hidden(num_classes, label_width) if num_classes else None
        self.joint = hidden(latent_width + label_width * (num_classes > 0), joint_width)
        self.image = nn.Sequential(nn.Linear(joint_width, prod(image_shape)), nn.Tanh())

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        hidden = join(self.latent(latent), self.label, label, self.num_classes)
        return self.image(self.joint(hidden)).view(-1, *self.image_shape)


class CGANDiscriminator(Discriminator):
    """Image and one-hot label, each through a maxout layer of its own, then a joint one; one logit.

    Args:
        image_shape: (C, H, W) of the images judged.
        num_classes: 0 for a discriminator without labels, which has no layer for them.
        image_width: Maxout units of the image.
        label_width: Maxout units of the label.
        pieces: Linear functions to each of these units.
        joint_width: Maxout units of both.
        joint_pieces: Linear functions to each of those.
        dropout: Share of hidden values that are dropped in training.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: int = 0,
        *,
        image_width: int = 240,
        label_width: int = 50,
        pieces: int = 5,
        joint_width: int = 240,
        joint_pieces: int = 4,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes, self.feature_dim = tuple(image_shape), num_classes, joint_width

        def hidden(before: int, after: int, pieces: int) -> nn.Sequential:
            return nn.Sequential(Maxout(before, after, pieces), nn.Dropout(dropout))

        self.image = hidden(prod(image_shape), image_width, pieces)
        self.label = hidden(num_classes, label_width, pieces) if num_classes else None
        self.joint = hidden(image_width + label_width * (num_classes > 0), joint_width, joint_pieces)
        self.head = nn.Linear(joint_width, 1)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to the joint layer."""
        return self.joint(join(self.image(image.flatten(1)), self.label, label, self.num_classes))
