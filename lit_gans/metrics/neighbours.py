"""Precision, recall, density and coverage: fakes among the neighbours of reals, and the other way round."""

import torch
from torch import Tensor

from lit_gans.errors import at_least
from lit_gans.metrics.reference import BLOCK, Reference, neighbours
from lit_gans.metrics.score import Score


class Neighbours(Score):
    """How many fakes look real, and how much of the reals the fakes make.

    `precision` is the share of fakes within the ball of some real, whose radius is the distance to its k-th nearest
    other one, and `recall` the share of reals within the ball of some fake (Kynkaanniemi et al., 2019,
    arXiv:1904.06991, eq. 1 and 2). `density` counts in how many balls of reals a fake is, over k, and may exceed 1;
    `coverage` is the share of reals with a fake within their ball (Naeem et al., 2020, arXiv:2002.09797, eq. 3 and 4).

    Args:
        reference: The real images.
        k: Which neighbour, for precision and recall.
        density_k: Which neighbour, for density and coverage.

    Raises:
        UserError: when computed: there are not more than k images, or features are not finite.
    """

    name = "neighbours"
    values = ("precision", "recall", "density", "coverage")

    def __init__(self, reference: Reference, *, k: int = 3, density_k: int = 5) -> None:
        at_least(1, k=k, density_k=density_k)
        super().__init__(reference, "features", k=k, density_k=density_k)
        self.least = max(k, density_k) + 1

    def compute(self) -> dict[str, Tensor]:
        """The four shares."""
        reals, fakes = self.reference.centred(self.reference.features), self.reference.centred(self.fakes())
        k, density_k = self.settings["k"], self.settings["density_k"]
        fake_radii = neighbours(fakes, k)[:, -1]
        near = self.reference.neighbours(max(k, density_k))
        precise = torch.zeros(len(fakes), dtype=torch.bool, device=fakes.device)
        recalled = covered = balls = torch.zeros((), dtype=torch.int64, device=fakes.device)
        blocks = (values.split(BLOCK) for values in (reals, near[:, k - 1], near[:, density_k - 1]))
        for part, radius, density_radius in zip(*blocks, strict=True):
            distances = torch.cdist(part, fakes)
            precise |= (distances <= radius[:, None]).any(0)
            recalled = recalled + (distances <= fake_radii).any(1).sum()
            balls = balls + (distances < density_radius[:, None]).sum()  # strictly, as in the published code
            covered = covered + (distances.amin(1) < density_radius).sum()
        return {
            "precision": precise.double().mean(),
            "recall": recalled.double() / len(reals),
            "density": balls.double() / (density_k * len(fakes)),
            "coverage": covered.double() / len(reals),
        }
