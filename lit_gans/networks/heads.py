"""What a discriminator does with labels after its features, for any network that has `features` and a `head`."""

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from lit_gans.errors import UserError
from lit_gans.networks.layers import Discriminator, required, spectral_normalise


class HeadOnFeatures(Discriminator):
    """A discriminator without labels, and one more layer on its features.

    Args:
        body: Judges images without labels.
        layer: The layer; spectrally normalised where the head of the body is.
        num_classes: Labels go from 0 to `num_classes - 1`.

    Raises:
        UserError: the body has no features.
    """

    def __init__(self, body: Discriminator, layer: nn.Module | None, num_classes: int) -> None:
        super().__init__()
        if not hasattr(body, "feature_dim") or not hasattr(body, "head"):
            raise UserError(
                f"{type(body).__name__} has no features and head for labels: see lit_gans.networks.Discriminator"
            )
        self.image_shape, self.num_classes, self.feature_dim = body.image_shape, num_classes, body.feature_dim
        self.body, self.layer = body, layer
        if layer is not None:
            nn.init.xavier_uniform_(layer.weight)
            if is_parametrized(body.head, "weight"):
                spectral_normalise(layer)

    def features(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) to features (N, feature_dim) of the body."""
        return self.body.features(image)


class Projection(HeadOnFeatures):
    """The logit plus an inner product of features and a vector of the class (arXiv:1802.05637, eq. 3 and Fig. 1d).

    Args:
        body: Judges images without labels.
        num_classes: Labels go from 0 to `num_classes - 1`; with 0 classes the logit is that of the body.
    """

    def __init__(self, body: Discriminator, num_classes: int) -> None:
        embedding = nn.Embedding(num_classes, getattr(body, "feature_dim", 1)) if num_classes else None
        super().__init__(body, embedding, num_classes)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) and labels (N,) to logits (N,)."""
        features = self.features(image)
        logits = self.body.head(features).squeeze(1)
        return logits + (self.layer(required(label)) * features).sum(1) if self.layer is not None else logits


class AuxiliaryClassifier(HeadOnFeatures):
    """The logit, and beside it a guess at the class (ACGAN, Odena et al., 2017, arXiv:1610.09585, section 3).

    Args:
        body: Judges images without labels.
        num_classes: Labels go from 0 to `num_classes - 1`.
    """

    def __init__(self, body: Discriminator, num_classes: int) -> None:
        super().__init__(body, nn.Linear(getattr(body, "feature_dim", 1), num_classes), num_classes)
        nn.init.zeros_(self.layer.bias)

    def forward(self, image: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) to logits (N,) and class logits (N, num_classes); labels are not looked at."""
        features = self.features(image)
        return self.body.head(features).squeeze(1), self.layer(features)
