"""All that one feature network tells of the fakes under one protocol."""

from collections.abc import Callable, Sequence

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torchmetrics import SumMetric

from lit_gans.errors import UserError
from lit_gans.metrics.classes import LabelAccuracy, ModeCoverage
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.fid import FID
from lit_gans.metrics.inception_score import InceptionScore
from lit_gans.metrics.path_length import PathLength
from lit_gans.metrics.protocol import Description, Protocol, by_network
from lit_gans.metrics.reference import Reference
from lit_gans.metrics.score import Embedded, Score, embedded

ScoreFactory = Callable[[Reference], Score]
"""Makes a score for a reference."""


class Measurement:
    """Scores of one network under one protocol; an image passes the network once and serves all.

    Args:
        network: The network.
        protocol: Which images are compared.
        reference: The reals of the protocol.
        scores: Besides FID and, if the network classifies, IS.
        labelled: Whether the fakes were asked to be of the classes of the data.

    Attributes:
        suffix: Of the names of its values.
        descriptions: How each of the latest values was made, by name.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        protocol: Protocol,
        reference: Reference,
        scores: Sequence[ScoreFactory] = (),
        *,
        labelled: bool = False,
    ) -> None:
        self.network, self.protocol, self.reference, self.labelled = network, protocol, reference, labelled
        knows = (network.name, network.num_classes) == (reference.name, reference.num_classes)
        always = [FID, *[InceptionScore] * (network.num_classes > 0), *[LabelAccuracy] * (knows and labelled)]
        self.scores = [make(reference).to(reference.device) for make in (*always, *scores)]
        if not knows and any(isinstance(score, ModeCoverage) for score in self.scores):
            classes = f"the {reference.num_classes} of {reference.name}" if reference.num_classes else "no classes"
            rank_zero_warn(f"no mode coverage: the real images have {classes}, which {network.name} does not tell")
            self.scores = [score for score in self.scores if not isinstance(score, ModeCoverage)]
        self.count = SumMetric().to(reference.device)
        self.suffix = f"_{network.name}" + f"_{protocol.name}" * bool(protocol.name)
        self.descriptions: dict[str, Description] = {}

    def check(self, fakes: int) -> None:
        """Whether so many fakes will do; see `check`."""
        check(self.scores, self.protocol, fakes, self.labelled)

    def update(self, fakes: Embedded) -> None:
        """Takes those of some fakes whose places are within the protocol's number."""
        wanted = fakes.place < self.protocol.n_fake
        fakes = Embedded(*(part[wanted].to(self.reference.device) for part in fakes))
        self.count.update(len(fakes.place))
        for score in self.scores:
            score.update(fakes)

    def compute(self, model: nn.Module | None, **conditions: str | bool) -> dict[str, float]:
        """The values of all scores over all processes, which must all call this; forgets the fakes.

        Args:
            model: What made the fakes, where it is known.
            conditions: More about how they were made, for the descriptions.

        Returns:
            `<score>_<network>[_<protocol>]` and its value. `descriptions` tells of each how it was made.

        Raises:
            UserError: a score needs more fakes, or their features are not finite.
        """
        network, place = self.network, torch.empty(0, dtype=torch.long)
        nothing = (torch.empty(0, size) for size in (network.num_features, network.num_classes))
        self.update(Embedded(*nothing, place, place))  # a process that had no batch joins the exchange with none
        n_fake = int(self.count.compute())
        self.check(n_fake)
        if (fewest := min(n_fake, len(self.reference.features))) <= network.num_features:
            rank_zero_warn(
                f"FID of {network.num_features} features from {fewest} images depends on their number more than on "
                f"the images: take more than {network.num_features}"
            )
        description = {
            "features": network.name,
            "sha256": network.sha256,
            "resize": network.resize,
            "n_real": len(self.reference.features),
            "n_fake": n_fake,
            "data": self.reference.name,
            "image_size": self.reference.image_size,
            "content": self.reference.content,
            "reference": self.reference.split,
            **conditions,
        }
        values = {}
        for score in self.scores:
            if isinstance(score, PathLength):
                score.look_at(model, network)
            found = score.compute()
            for name, value in (found if isinstance(found, dict) else {score.name: found}).items():
                values[name + self.suffix] = value.item()
                self.descriptions[name + self.suffix] = description | score.settings
        self.reset()
        return values

    def reset(self) -> None:
        """Forgets the fakes."""
        for metric in (self.count, *self.scores):
            metric.reset()


def check(scores: Sequence[Score], protocol: Protocol, fakes: int, labelled: bool) -> None:
    """Whether scores have what they need.

    Args:
        scores: With their reals.
        protocol: Says how many fakes are measured at most.
        fakes: How many there are.
        labelled: Whether they were asked to be of the classes of the data.

    Raises:
        UserError: one needs labels, or more images.
    """
    named = f"protocol {protocol.name}: " * bool(protocol.name)
    for score in scores:
        if score.labelled and not labelled:
            raise UserError(f"{type(score).__name__} is of fakes that were asked to be of a class, and these are not")
        try:
            score.check(min(fakes, protocol.n_fake))
        except UserError as error:
            raise UserError(f"{named}{error}") from error


def add(
    networks: Sequence[tuple[FeatureNetwork, Sequence[Measurement]]], images: Tensor, label: Tensor | None, start: int
) -> Embedded:
    """Lets all measurements take some fakes, each of which passes each network once.

    Args:
        networks: Those of `measurements`.
        images: (N, C, H, W), float in [-1, 1], on the networks' device.
        label: (N,), or None.
        start: Place of the first in the whole sequence.

    Returns:
        What the first network told of them.
    """
    found = [embedded(network, images, label, start) for network, _ in networks]
    for fakes, (_, group) in zip(found, networks, strict=True):
        for measurement in group:
            measurement.update(fakes)
    return found[0]


def measurements(
    protocols: Sequence[Protocol],
    scores: Sequence[ScoreFactory],
    refer: Callable[[Protocol, FeatureNetwork], Reference],
    *,
    device: torch.device,
    labelled: bool,
) -> list[tuple[FeatureNetwork, list[Measurement]]]:
    """Each network, on the device, with the measurements of its protocols; equal networks are one.

    Args:
        protocols: Those without a network have that of the first.
        scores: Besides FID and IS.
        refer: Gives the reals of a protocol, embedded by a network.
        device: Where images are embedded.
        labelled: Whether the fakes were asked to be of the classes of the data.
    """
    return [
        (network, [Measurement(network, one, refer(one, network), scores, labelled=labelled) for one in group])
        for network, group in ((network.to(device), group) for network, group in by_network(protocols))
    ]
