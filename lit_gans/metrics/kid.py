"""The kernel inception distance."""

import numpy as np
import torch
from torch import Tensor

from lit_gans.errors import at_least
from lit_gans.metrics.reference import Reference
from lit_gans.metrics.score import Score

SEED = 2020  # of torch-fidelity, so that the subsets are the same


class KID(Score):
    """The squared maximum mean discrepancy of features (Binkowski et al., 2018, arXiv:1801.01401, section 4).

    Unbiased, with the kernel (x y / F + 1)^3, the mean over random subsets, which are those of torch-fidelity. Values
    slightly below zero are right. The 95 % interval `kid_low` to `kid_high` is for fresh images of either kind. It
    follows from the spread over the subsets, whose variance is smaller than that of m fresh images by 1 - m / n, and
    larger than that of n by n / m; n is the smaller set, so that the interval is rather too wide, and twice so near
    equal distributions. Subsets of more than half of a set tell none.

    Args:
        reference: The real images.
        subset_size: Images of either kind in a subset, m.
        subsets: Number of subsets.

    Raises:
        UserError: when computed: there are fewer images than a subset has, or features are not finite.
    """

    name = "kid"
    values = ("kid", "kid_low", "kid_high")
    higher_is_better = False
    way_out = "take more, or smaller subsets: scores+=KID and after it scores.subset_size"

    def __init__(self, reference: Reference, *, subset_size: int = 1000, subsets: int = 100) -> None:
        at_least(2, subset_size=subset_size)
        at_least(1, subsets=subsets)
        super().__init__(reference, "features", subset_size=subset_size, subsets=subsets)
        self.least = subset_size

    def compute(self) -> dict[str, Tensor]:
        """`kid`, and where subsets are smaller than the sets `kid_low` and `kid_high`."""
        fakes, reals = self.fakes().double(), self.reference.features.to(self.device).double()
        size, count = self.settings["subset_size"], min(len(fakes), len(reals))
        random = np.random.RandomState(SEED)  # noqa: NPY002 (the draws of the reference tool)
        values = torch.stack(
            [
                mmd(*(features[random.choice(len(features), size, replace=False)] for features in (fakes, reals)))
                for _ in range(self.settings["subsets"])
            ]
        )
        kid = {"kid": values.mean()}
        if 2 * size <= count and len(values) > 1:
            spread = 1.96 * values.std() * (size / (count - size) + 1 / len(values)) ** 0.5
            kid |= {"kid_low": kid["kid"] - spread, "kid_high": kid["kid"] + spread}
        return kid


def mmd(one: Tensor, two: Tensor) -> Tensor:
    """The unbiased squared discrepancy of features (m, F) and (m, F)."""

    def kernel(left: Tensor, right: Tensor) -> Tensor:
        return (left @ right.T / left.shape[1] + 1) ** 3

    def mean_of_others(features: Tensor) -> Tensor:
        values = kernel(features, features)
        return (values.sum() - values.trace()) / (len(features) * (len(features) - 1))

    return mean_of_others(one) + mean_of_others(two) - 2 * kernel(one, two).mean()
