"""The FID of each class by itself."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class ClassFID(Metric):
    """FID between the reals and the fakes of each class, of which Miyato & Koyama's "intra FID" is the mean.

    See arXiv:1802.05637, section 6. FID grows when there are fewer images, so it compares between runs with the same
    numbers of them, and not with the FID of all classes together. Features are kept as they are: the covariances of
    many classes would fill gigabytes. `reset` forgets the fakes only.

    Args:
        num_classes: Labels go from 0 to `num_classes - 1`.
    """

    higher_is_better = False
    full_state_update = False
    real_features: list[Tensor]
    real_labels: list[Tensor]
    fake_features: list[Tensor]
    fake_labels: list[Tensor]

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        for kind in ("real", "fake"):
            self.add_state(f"{kind}_features", [], dist_reduce_fx="cat")
            self.add_state(f"{kind}_labels", [], dist_reduce_fx="cat")

    def update(self, features: Tensor, labels: Tensor, real: bool) -> None:
        """Takes features (N, F) and labels (N,) of one of the two sets."""
        (self.real_features if real else self.fake_features).append(features)
        (self.real_labels if real else self.fake_labels).append(labels)

    def compute(self) -> Tensor:
        """The distances (num_classes,), float64; NaN for a class with fewer than two images of either kind."""
        real, fake = dim_zero_cat(self.real_features), dim_zero_cat(self.fake_features)
        of_real, of_fake = dim_zero_cat(self.real_labels), dim_zero_cat(self.fake_labels)
        return torch.stack([frechet_distance(real[of_real == k], fake[of_fake == k]) for k in range(self.num_classes)])

    def reset(self) -> None:
        """Forgets the fakes."""
        real_features, real_labels = list(self.real_features), list(self.real_labels)  # reset empties the lists
        super().reset()
        self.real_features, self.real_labels = real_features, real_labels


def frechet_distance(real: Tensor, fake: Tensor) -> Tensor:
    """|m - m'|^2 + Tr(C + C' - 2 (C C')^(1/2)) between features (N, F) and (M, F); NaN if N or M is less than two.

    Heusel et al. 2017 (arXiv:1706.08500), eq. 6. With C = A^T A and C' = B^T B, the trace of the root is the sum of the
    singular values of A B^T; unlike the covariances, these matrices have no more rows than there are images.
    """
    if min(len(real), len(fake)) < 2:
        return torch.tensor(torch.nan, dtype=torch.float64, device=real.device)
    real, fake = real.double(), fake.double()
    means = real.mean(0), fake.mean(0)
    centred = ((real - means[0]) / (len(real) - 1) ** 0.5, (fake - means[1]) / (len(fake) - 1) ** 0.5)
    first, second = (torch.linalg.qr(rows, mode="r").R for rows in centred)
    spreads = first.square().sum() + second.square().sum()
    distance = (means[0] - means[1]).square().sum() + spreads - 2 * torch.linalg.svdvals(first @ second.mT).sum()
    return distance.clamp(min=0)  # equal sets give -1e-14
