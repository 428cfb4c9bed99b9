"""The Frechet inception distance, how sure it is, and what it would be for infinitely many images."""

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lit_gans.errors import UserError, at_least
from lit_gans.metrics.reference import Reference, moments
from lit_gans.metrics.score import Embedded, Score
from lit_gans.randomness import keyed_generator


def frechet_distance(reference: Reference, mean: Tensor, covariance: Tensor) -> Tensor:
    """|m - m'|^2 + Tr(C + C' - 2 (C C')^(1/2)) for a mean (F,) and a covariance (F, F), float64.

    Heusel et al., 2017 (arXiv:1706.08500), eq. 6. With C = L L^T, the eigenvalues of C C' are those of the symmetric
    matrix L^T C' L, so that no root of a matrix is needed.
    """
    factor = reference.factor
    shared = torch.linalg.eigvalsh(lower_half(factor, covariance)).clamp(min=0).sqrt().sum()
    distance = (reference.mean - mean).square().sum() + factor.square().sum() + covariance.trace() - 2 * shared
    return distance.clamp(min=0)  # equal sets give -1e-14


def lower_half(factor: Tensor, covariance: Tensor) -> Tensor:
    """L^T C L (R, R) on and below the diagonal, for a lower triangular L (F, R) and a symmetric C (F, F).

    Block by block of columns, what L has above its diagonal is left out: a third of the work.
    """
    product = torch.zeros_like(covariance[: factor.shape[1], : factor.shape[1]])
    for start in range(0, len(product), 256):
        rest, part = slice(start, None), slice(start, start + 256)
        product[rest, part] = factor[rest, rest].T @ (covariance[rest, rest] @ factor[rest, part])
    return product


def distance_of_sums(reference: Reference, count: int, total: Tensor, products: Tensor) -> Tensor:
    """The distance of `count` fakes, from the sums of their features (F,) and of their products (F, F).

    Both are of features from which the mean of the reals was taken, where digits are not lost.
    """
    shift = total / count
    covariance = (products - count * shift.outer(shift)) / (count - 1)
    return frechet_distance(reference, reference.mean + shift, covariance)


class FID(Score):
    """The Frechet distance of two Gaussians that fit the features (Heusel et al., 2017, arXiv:1706.08500, eq. 6).

    Only sums over the fakes, in float64, and their places are kept. The value falls with the number of images (see
    `FIDInfinity`): it compares between equal protocols only.

    Args:
        reference: The real images.
    """

    name = "fid"
    higher_is_better = False

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference)
        width = reference.features.shape[1]
        self.add_state("broken", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(width, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("products", torch.zeros(width, width, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, embedded: Embedded) -> None:
        """Adds to the sums; they are taken around the mean of the reals, where digits are not lost."""
        self.place.append(embedded.place)
        self.broken += (~embedded.features.isfinite().all(1)).sum()
        centred = embedded.features.double() - self.reference.mean
        self.total += centred.sum(0)
        self.products.addmm_(centred.T, centred)

    def compute(self) -> Tensor:
        """The distance."""
        count = len(self.collected("place"))
        self.check(count)
        if self.broken:
            raise UserError(f"the features of {self.broken} of {count} fake images are not finite: nor are the images?")
        return distance_of_sums(self.reference, count, self.total, self.products)


class FIDInterval(Score):
    """How far the FID would move if other fakes were drawn: a 95 % interval, `fid_low` to `fid_high`.

    By the jackknife: the fakes are dealt to groups, each of which is left out once (Shao & Wu, 1989, "A general theory
    for jackknife variance estimation"). Near equal distributions, where FID is not linear in the moments, it is up to a
    third too wide. The reals stay as they are, since the protocol names them.

    Args:
        reference: The real images.
        groups: Number of groups.
    """

    name = "fid_interval"
    values = ("fid_low", "fid_high")
    least = 20

    def __init__(self, reference: Reference, *, groups: int = 30) -> None:
        at_least(2, groups=groups)
        super().__init__(reference, "features", groups=groups)

    def compute(self) -> dict[str, Tensor]:
        """Both ends."""
        fakes = self.fakes().double() - self.reference.mean
        total, products, count = fakes.sum(0), fakes.T @ fakes, len(fakes)
        whole, without = distance_of_sums(self.reference, count, total, products), []
        order = torch.randperm(count, generator=keyed_generator("fid interval")).to(fakes.device)
        for group in fakes[order].chunk(self.settings["groups"]):
            rest = count - len(group), total - group.sum(0), products - group.T @ group
            without.append(distance_of_sums(self.reference, *rest))
        spread = torch.stack(without).std(correction=0) * (len(without) - 1) ** 0.5
        return {"fid_low": (whole - 1.96 * spread).clamp(min=0), "fid_high": whole + 1.96 * spread}


class FIDInfinity(Score):
    """The FID without the bias of few fakes (Chong & Forsyth, 2020, arXiv:1911.07023, section 3.2).

    For many fakes, some times as many as features, the FID of N is a straight line in 1 / N: it is measured for some N
    and followed to zero. The bias of the reals remains. Random subsets are used, where the paper also draws fakes by
    quasi-random latents. With fewer than five times as many fakes as features the value is too low, which a warning
    says.

    Args:
        reference: The real images.
        points: Number of subset sizes, from a tenth of the fakes, but thrice the features or half of the fakes, to all.
    """

    name = "fid_infinity"
    least = 20
    higher_is_better = False

    def __init__(self, reference: Reference, *, points: int = 15) -> None:
        at_least(2, points=points)
        super().__init__(reference, "features", points=points)

    def compute(self) -> Tensor:
        """The value where the line ends; it may be below zero."""
        fakes = self.fakes()
        count, width = fakes.shape
        if count < 5 * width:
            rank_zero_warn(
                f"fid_infinity of {width} features wants {5 * width} fakes or more: that of {count} is too low"
            )
        least = max(count / 10, min(3 * width, count / 2))
        sizes = torch.linspace(least, count, self.settings["points"]).round().long()
        subsets = [subset(fakes, size, "fid infinity", size) for size in sizes.tolist()]
        values = torch.stack([frechet_distance(self.reference, *moments(part)) for part in subsets])
        line = torch.stack([torch.ones_like(values), 1 / sizes.to(values)], dim=1)
        return torch.linalg.lstsq(line, values[:, None]).solution[0, 0]


def subset(features: Tensor, size: int, *key: object) -> Tensor:
    """A random part (size, F) of features (N, F), the same for equal keys."""
    return features[torch.randperm(len(features), generator=keyed_generator(*key))[:size].to(features.device)]
