"""Whether fakes are copies of training images."""

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.functional import normalize

from lit_gans.metrics.fid import FID
from lit_gans.metrics.reference import BLOCK, Reference, nearest
from lit_gans.metrics.score import Embedded, Score
from lit_gans.randomness import keyed_generator


class MiFID(FID):
    """FID over the mean cosine distance to the nearest real if that is small (Bai et al., 2021, arXiv:2106.03062).

    A mean distance of at least `margin` is no sign of copies, and divides by one; 0.1 is for Inception, and features of
    the small classifiers are nearer than that anyway. As in the paper the mean is over the fakes; torchmetrics' is over
    the reals.

    Args:
        reference: The real images; copies are seen if they are the training's.
        margin: The paper's tau.
    """

    name = "mifid"

    def __init__(self, reference: Reference, *, margin: float = 0.1) -> None:
        super().__init__(reference)
        self.settings = {"margin": margin}
        self.add_state("distance", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.directions = normalize(reference.features.to(reference.device).double())

    def update(self, embedded: Embedded) -> None:
        """Adds to the sums."""
        super().update(embedded)
        for part in normalize(embedded.features.double()).split(BLOCK):
            self.distance += (1 - (part @ self.directions.T).abs()).amin(1).sum()

    def compute(self) -> Tensor:
        """The distance over the penalty."""
        mean = self.distance / len(self.collected("place"))
        return super().compute() / (mean.clamp(min=1e-14) if mean < self.settings["margin"] else 1.0)


class DataCopying(Score):
    """Whether fakes are nearer to the training images than to images that nobody trained on.

    Each fake's nearest image is looked for among training and held-out ones together. Without copying, each of these is
    as likely to be it, whatever classes the fakes are of and however typical they are: not so the comparison with
    distances between real images (Meehan et al., 2020, arXiv:2004.05675), which lost classes and smooth fakes make
    small. `copies` is the share of copies among the fakes of which one can be sure: the lower end of a one-sided 95 %
    interval of the share that explains how often the nearest is a training image; 0 where chance would do. `copying_p`
    is the chance of so many if the real images were dealt to the two sets at random (a permutation test by its mean and
    variance, Hoeffding, 1951, with a normal tail), `copying_z` its normal quantile.

    Nothing is sure where the fakes are near to very few real images, as a collapsed generator's are. Copies of images
    beyond the first `n_real` are not seen. Where training and held-out images are not of one distribution, `copies` is
    not 0 for that alone. There is no value where the reference is not the training split, or nothing is held out.

    Args:
        reference: The training images, and held-out ones.
    """

    name = "copying"
    values = ("copies", "copying_z", "copying_p")

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference, "features")
        self.held_out = reference.held_out() if reference.held_out else None
        self.settings["held_out"] = 0 if self.held_out is None else len(self.held_out)

    def compute(self) -> dict[str, Tensor]:
        """The three values."""
        if self.held_out is None:
            rank_zero_warn("no test for copies: the reference is not the training split, or no images are held out")
            return {}
        fakes, train = self.fakes(), len(self.reference.features)
        both = torch.cat([self.reference.features, self.held_out])
        order = torch.randperm(len(both), generator=keyed_generator("copying"))  # of equally near ones the first counts
        found = order.to(self.device)[nearest(fakes, both[order].to(self.device))[1]]
        times = torch.bincount(found, minlength=len(both)).double()  # that each real is the nearest one
        share, expected = times[:train].sum() / len(fakes), train / len(both)
        variance = (times - times.mean()).square().sum() * expected * (len(both) - train) / (len(both) - 1)
        deviation = variance.clamp(min=1e-12).sqrt() / len(fakes)
        z = (share - expected) / deviation
        return {
            "copies": ((z - 1.645) * deviation / (1 - expected)).clamp(min=0),
            "copying_z": z,
            "copying_p": torch.special.log_ndtr(-z).exp(),  # ndtr is 0 from z = 8.3 on
        }


def closest_pairs(reference: Reference, fakes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The fakes most like copies: nearest to a training image, as a share of the distance to held-out ones if any.

    Args:
        reference: The training images.
        fakes: Features (N, F).
        count: Number of pairs.

    Returns:
        Numbers (count,) of the fakes, and of the training images.
    """
    distances, neighbours = nearest(fakes, reference.features.to(fakes.device))
    if reference.held_out is not None:
        distances = distances / nearest(fakes, reference.held_out().to(fakes.device))[0].clamp(min=1e-12)
    order = distances.argsort()[:count]
    return order, neighbours[order]
