"""Whether fakes are copies of training images."""

import numpy as np
import torch
from scipy.stats import mannwhitneyu, norm
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import normalize

from lit_gans.errors import UserError, at_least
from lit_gans.metrics.fid import FID
from lit_gans.metrics.reference import BLOCK, Reference, check_finite, nearest
from lit_gans.metrics.score import Embedded, Score, scalar


class MiFID(FID):
    """FID over the mean cosine distance to the nearest real if that is small (Bai et al., 2021, arXiv:2106.03062).

    A mean distance of at least `margin` is no sign of copies, and divides by one; 0.1 is for Inception, and features of
    the small classifiers are nearer than that anyway. As in the paper the mean is over the fakes; torchmetrics' is over
    the reals.

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
        return super().compute() / (mean.clamp(min=1e-14) if mean < self.settings["margin"] else 1.0)


class DataCopying(Score):
    """Whether fakes are nearer to the training images than images are that nobody trained on.

    Meehan et al., 2020 (arXiv:2004.05675), section 3: distances to the nearest training image, of the fakes against
    those of held-out images, by the Mann-Whitney U test in each cell of the space; a generator that forgets a cell
    would seem to copy without them. `copying_z` is the mean of the cells' z, weighted by their share of held-out
    images, and scaled to be standard normal without copies (the paper's is not): below -3 there are copies, well above
    3 fakes that are no image's neighbours. `copying_p` is the chance of values this low without copies.

    Args:
        reference: The training images, and held-out ones.
        cells: Number of clusters of the training images (k-means); fewer where cells would have fewer than 30 images of
            either kind, and those that have fewer than 10 are left out.

    Raises:
        UserError: there are no held-out images.
    """

    name = "copying"

    def __init__(self, reference: Reference, *, cells: int = 10) -> None:
        at_least(1, cells=cells)
        super().__init__(reference, "features", cells=cells)
        if reference.held_out is None:
            raise UserError("the test for copies compares with images that were not trained on, and there are none")
        self.held_out = reference.held_out()

    def compute(self) -> dict[str, Tensor]:
        """The two values."""
        fakes, reals = self.collected("features"), self.reference.features.to(self.device)
        check_finite(fakes, "fake")
        sets = fakes, self.held_out.to(self.device)
        made, fresh = (nearest(features, reals)[0].cpu().numpy() for features in sets)
        count = max(min(self.settings["cells"], len(made) // 30, len(fresh) // 30), 1)
        clusters = KMeans(count, n_init=1, random_state=0).fit(self.reference.features.numpy())
        cell_made, cell_fresh = (clusters.predict(features.cpu().numpy()) for features in sets)
        found, weights = [], []
        for cell in range(count):
            one, two = made[cell_made == cell], fresh[cell_fresh == cell]
            if min(len(one), len(two)) >= min(10, len(made), len(fresh)):
                wins = mannwhitneyu(one, two).statistic
                pairs = len(one) * len(two)
                found.append((wins - pairs / 2) / (pairs * (len(one) + len(two) + 1) / 12) ** 0.5)
                weights.append(len(two))
        if not found:
            return {}  # no cell has images of both kinds
        z = np.dot(found, weights) / np.linalg.norm(weights)
        return {"copying_z": scalar(z), "copying_p": scalar(norm.cdf(z))}


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
