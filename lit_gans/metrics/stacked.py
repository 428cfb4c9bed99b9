"""The network that tells which three digits an image of StackedMNIST shows."""

from torch import Tensor

from lit_gans.errors import UserError
from lit_gans.metrics.features import FeatureNetwork, SmallClassifier


class StackedClassifier(FeatureNetwork):
    """The classifier that is shipped for MNIST, on each of three channels: it knows the 1,000 classes of StackedMNIST.

    So modes are counted since Metz et al., 2017, arXiv:1611.02163, each paper with a classifier of its own. Features
    are those of the three digits one after the other. Logits are log probabilities of each triple, the sums of those of
    its digits; the class of a triple is 100 * first + 10 * second + third digit.

    Raises:
        UserError: its weights file is not the one that was published; when it is called: images without 3 channels.
    """

    name = "stacked_mnist"
    num_features = 384
    num_classes = 1000
    resize = SmallClassifier.resize

    def __init__(self) -> None:
        super().__init__()
        self.classifier = SmallClassifier("mnist")
        self.sha256 = self.classifier.sha256

    def embed(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images (N, 3, H, W), uint8, to features (N, 384) and log probabilities (N, 1000)."""
        if levels.shape[1] != 3:
            raise UserError(
                f"StackedClassifier takes images of 3 digits, one in each channel, not of {levels.shape[1]}"
            )
        features, logits = self.classifier.embed(levels.flatten(0, 1).unsqueeze(1))
        first, second, third = logits.log_softmax(1).unflatten(0, (-1, 3)).unbind(1)
        triples = first[:, :, None, None] + second[:, None, :, None] + third[:, None, None, :]
        return features.unflatten(0, (-1, 3)).flatten(1), triples.flatten(1)
