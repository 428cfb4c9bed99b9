"""What the classes of the images tell: which are made, whether those that were asked for, and how well each."""

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lit_gans.metrics.fid import frechet_distance
from lit_gans.metrics.reference import Reference, check_finite, moments
from lit_gans.metrics.score import Score


class LabelAccuracy(Score):
    """Share of the fakes that the network takes for what they were asked to be: 1 / classes if labels are ignored.

    Args:
        reference: The real images, which are not looked at.
    """

    name = "label_accuracy"
    labelled = True
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
    values = ("modes", "modes_kl")

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
    labelled = True
    higher_is_better = False

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference, "features", "label", of_each_class=True)

    def compute(self) -> dict[str, Tensor]:
        """`fid_class<k>` of each class but those with fewer than two images of either kind, which a warning names."""
        features, labels = self.fakes(), self.collected("label")
        real = self.reference.features.to(self.device)
        of_real = self.reference.labels[: len(real)].to(self.device)
        values, few = {}, []
        for k in range(self.reference.num_classes):
            reals, fakes = real[of_real == k], features[labels == k]
            if min(len(reals), len(fakes)) < 2:
                few.append(str(k))
            else:
                values[f"fid_class{k}"] = frechet_distance(Reference(reals, device=self.device), *moments(fakes))
        if few:
            rank_zero_warn(f"no FID of class {', '.join(few)}: it takes at least 2 real and 2 fake images of a class")
        return values
