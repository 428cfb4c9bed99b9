"""The Inception Score."""

import torch
from torch import Tensor
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class InceptionScore(Metric):
    """exp(E KL(p(y|x) || p(y))), the mean over ten parts of the images; sure and varied classes score high.

    Salimans et al. 2016, eq. in section 4, as torch-fidelity computes it: in float64, the images shuffled by a fixed
    permutation. torchmetrics' own shuffles with the global random state, which moves the training's and gives another
    value at each call and with each number of processes; so this one also keeps each image's place, and restores the
    order before it shuffles. With fewer than ten images each is a part of its own and the score is 1.
    """

    higher_is_better = True
    full_state_update = False
    logits: list[Tensor]
    places: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("logits", [], dist_reduce_fx="cat")
        self.add_state("places", [], dist_reduce_fx="cat")

    def update(self, logits: Tensor, start: int) -> None:
        """Takes the logits (N, classes) of the images `start` to `start + N` of all processes' sequence."""
        self.logits.append(logits)
        self.places.append(torch.arange(start, start + len(logits), device=logits.device))

    def compute(self) -> Tensor:
        """The score, a float64 scalar of at least 1."""
        logits = dim_zero_cat(self.logits)[dim_zero_cat(self.places).argsort()].cpu()
        score = isc_features_to_metric(logits, splits=min(10, len(logits)))[KEY_METRIC_ISC_MEAN]
        return torch.tensor(score, dtype=torch.float64)
