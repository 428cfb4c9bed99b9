"""What the classes of the images tell: which are made, whether those that were asked for, and how well each."""

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lit_gans.metrics.reference import Reference, check_finite
from lit_gans.metrics.score import Score


class LabelAccuracy(Score):
    """Share of the fakes that the network takes for what they were asked to be: 1 / classes if labels are ignored.

    Args:
        reference: The real images, which are not looked at.
    """

    name = "label_accuracy"
    higher_is_better = True

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference, "logits", "label")

    def compute(self) -> Tensor:
        """The share."""
        logits = self.collected("logits")
        check_finite(logits, "fake")
        return (logits.argmax(1) == self.collected("label")).double().mean()


class ModeCoverage(Score):
    """Which classes of the data the fakes are of, as told by a network that knows them.

    `modes` is the share of the data's classes that some fake is taken for, and `modes_kl` the divergence in nats
    KL(fakes || reals) of the shares of the classes, as measured on StackedMNIST (Srivastava et al., 2017,
    arXiv:1705.07761, section 4.2; Lin et al., 2018, arXiv:1712.04086). Few fakes miss classes by chance: of 26,000
    perfect ones of 1,000 classes none is missing, and the divergence is 0.03 (the 60,000 images that set the shares are
    few themselves). Only a network that knows the classes of the data has these scores.

    Args:
        reference: The real images, with labels.
    """

    name = "mode_coverage"

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference, "logits")

    def compute(self) -> dict[str, Tensor]:
        """The two values."""
        logits, labels = self.collected("logits"), self.reference.labels
        check_finite(logits, "fake")
        made, given = (
            torch.bincount(classes, minlength=logits.shape[1]).double().to(logits.device)
            for classes in (logits.argmax(1), labels)
        )
        share, expected = made / made.sum(), given.clamp(min=0.5) / given.sum()  # a class that the data lack is no end
        return {
            "modes": (made[given > 0] > 0).double().mean(),
            "modes_kl": torch.special.xlogy(share, share / expected).sum(),
        }


class ClassFID(Score):
    """FID between the reals and the fakes of each class, of which Miyato & Koyama's "intra FID" is the mean.

    See arXiv:1802.05637, section 6. FID grows when there are fewer images, so it compares between runs with the same
    numbers of them, and not with the FID of all classes together. Features are kept as they are: the covariances of
    many classes would fill gigabytes.

    Args:
        reference: The real images, with labels.
    """

    name = "class_fid"
    higher_is_better = False

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference, "features", "label")

    def compute(self) -> dict[str, Tensor]:
        """`fid_class<k>` of each class but those with fewer than two images of either kind, which a warning names."""
        features, labels = self.collected("features"), self.collected("label")
        check_finite(features, "fake")
        real = self.reference.features.to(self.device)
        of_real = self.reference.labels[: len(real)].to(self.device)
        values, few = {}, []
        for k in range(self.reference.num_classes):
            distance = frechet_distance(real[of_real == k], features[labels == k])
            if distance.isnan():
                few.append(str(k))
            else:
                values[f"fid_class{k}"] = distance
        if few:
            rank_zero_warn(f"no FID of class {', '.join(few)}: it takes at least 2 real and 2 fake images of a class")
        return values


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
