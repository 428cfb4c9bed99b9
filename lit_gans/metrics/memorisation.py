"""Whether fakes are copies of training images."""

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor
from torch.nn.functional import normalize

from lit_gans.errors import UserError
from lit_gans.metrics.fid import FID
from lit_gans.metrics.reference import BLOCK, Reference, check_finite, nearest
from lit_gans.metrics.score import Embedded, Score, scalar


class MiFID(FID):
    """FID over the mean cosine distance to the nearest real if that is small (Bai et al., 2021, arXiv:2106.03062).

    A mean distance of at least `margin` is no sign of copies, and divides by one. As in the paper the mean is over the
    fakes; torchmetrics' is over the reals.

    Args:
        reference: The real images, which should be those of the training.
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
        return super().compute() / (mean if mean < self.settings["margin"] else 1.0)


class DataCopying(Score):
    """Whether fakes are nearer to the training images than images are that nobody trained on.

    Meehan et al., 2020 (arXiv:2004.05675), section 3, over the whole space: distances to the nearest training image, of
    the fakes against those of held-out images, are compared by the Mann-Whitney U test. `copying_z` is about normal if
    the generator does not copy, and falls below -3 if it does; well above 3 it makes what is no training image's
    neighbour at all. `copying_p` is the one-sided p-value: the chance of distances this small without copying.

    Args:
        reference: The training images, and held-out ones.

    Raises:
        UserError: there are no held-out images.
    """

    name = "copying"

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference, "features")
        if reference.held_out is None:
            raise UserError("the test for copies compares with images that were not trained on, and there are none")
        self.held_out = reference.held_out()

    def compute(self) -> dict[str, Tensor]:
        """The two values."""
        fakes, reals = self.collected("features"), self.reference.features.to(self.device)
        check_finite(fakes, "fake")
        distances = (nearest(features.to(self.device), reals)[0] for features in (fakes, self.held_out))
        mine, fresh = (values.cpu().double().numpy() for values in distances)
        test = mannwhitneyu(mine, fresh, alternative="less", method="asymptotic")
        pairs = len(mine) * len(fresh)
        spread = (pairs * (len(mine) + len(fresh) + 1) / 12) ** 0.5
        return {"copying_z": scalar((test.statistic - pairs / 2) / spread), "copying_p": scalar(test.pvalue)}


def closest_pairs(reference: Reference, fakes: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The fakes nearest to a training image, nearest first.

    Args:
        reference: The training images.
        fakes: Features (N, F).
        count: Number of pairs.

    Returns:
        Numbers (count,) of the fakes, of the training images, and their distances.
    """
    distances, neighbours = nearest(fakes, reference.features.to(fakes.device))
    order = distances.argsort()[:count]
    return order, neighbours[order], distances[order]
