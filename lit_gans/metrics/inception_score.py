"""The Inception Score."""

from torch import Tensor
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

from lit_gans.metrics.reference import Reference, check_finite
from lit_gans.metrics.score import Score, scalar


class InceptionScore(Score):
    """exp(E KL(p(y|x) || p(y))), the mean over ten parts of the images; sure and varied classes score high.

    Salimans et al. 2016 (arXiv:1606.03498), eq. in section 4, as torch-fidelity computes it: in float64, the images
    shuffled by a fixed permutation. torchmetrics' own shuffles with the global random state, which moves the training's
    and gives another value at each call and with each number of processes. With fewer than ten images each is a part of
    its own and the score is 1.

    Args:
        reference: The real images, which are not looked at.
    """

    name = "is"
    higher_is_better = True

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference, "logits")

    def compute(self) -> Tensor:
        """The score, at least 1."""
        logits = self.collected("logits")
        check_finite(logits, "fake")
        parts = min(10, len(logits))
        return scalar(isc_features_to_metric(logits.cpu(), splits=parts)[KEY_METRIC_ISC_MEAN])
