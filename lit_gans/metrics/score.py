"""What all scores have in common: they see each fake once, as features, and compare with a reference."""

from typing import NamedTuple

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lit_gans.errors import UserError
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.reference import Reference, check_finite
from lit_gans.randomness import keyed_generator


class Embedded(NamedTuple):
    """Images after their one pass through a feature network.

    Attributes:
        features: (N, F), float32.
        logits: (N, K), float32; K is 0 for a network that classifies nothing.
        label: (N,), what the images are or were asked to be; -1 where there are no labels.
        place: (N,), places in the sequence of all processes' images, by which their order is restored.
    """

    features: Tensor
    logits: Tensor
    label: Tensor
    place: Tensor


class Collected(Metric):
    """Embedded images of all processes, in their order.

    Args:
        fields: Which parts of them.
    """

    full_state_update = False

    def __init__(self, *fields: str) -> None:
        super().__init__()
        for field in (*fields, "place"):
            self.add_state(field, [], dist_reduce_fx="cat")

    def update(self, embedded: Embedded) -> None:
        """Takes some more images."""
        for field in self._defaults:
            getattr(self, field).append(getattr(embedded, field).to(self.device))

    def collected(self, field: str) -> Tensor:
        """All that were taken, of all processes while computing."""
        return dim_zero_cat(getattr(self, field))[dim_zero_cat(self.place).argsort()]

    def compute(self) -> Tensor:
        """The features (N, F)."""
        return self.collected("features")


class Score(Collected):
    """A score of fakes against a reference.

    `compute` gives one value, or several as a dict whose keys are their names.

    Args:
        reference: The real images, on the device of the fakes.
        fields: Parts of the fakes that the score looks at.

    Attributes:
        name: Of the value.
        values: Names of the values, where there are several and they are always the same.
        least: Real images, and fakes, that it takes.
        labelled: Whether fakes must have been asked to be of the classes of the data.
        way_out: What to do where there are fewer.
        settings: Numbers that change the value; they are part of its protocol.
    """

    name: str
    values: tuple[str, ...] = ()
    least = 2
    labelled = False
    way_out = "take more"
    settings: dict[str, int | float]

    def __init__(self, reference: Reference, *fields: str, **settings: int | float) -> None:
        super().__init__(*fields)
        self.reference, self.settings = reference, settings

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The value, float64, over the fakes of all processes."""
        raise NotImplementedError

    def fakes(self) -> Tensor:
        """Features (N, F) of the fakes of all processes.

        Raises:
            UserError: they are too few, or not finite.
        """
        fakes = self.collected("features")
        self.check(len(fakes))
        check_finite(fakes, "fake")
        return fakes

    def check(self, fakes: int) -> None:
        """Whether so many fakes will do, and the reals there are.

        Raises:
            UserError: they are too few.
        """
        if min(fakes, reals := len(self.reference.features)) < self.least:
            raise UserError(
                f"{type(self).__name__} needs at least {self.least} real and {self.least} fake images, "
                f"not {reals} and {fakes}: {self.way_out}"
            )


def scalar(value: float) -> Tensor:
    """A value that was computed outside of torch."""
    return torch.tensor(value, dtype=torch.float64)


def embedded(network: FeatureNetwork, images: Tensor, label: Tensor | None, start: int) -> Embedded:
    """Images through the network, on their device; they are number `start` and the next of the whole sequence.

    Args:
        network: On the device of the images.
        images: (N, C, H, W), float in [-1, 1]; N may be 0.
        label: (N,), or None.
        start: Place of the first.
    """
    place = torch.arange(start, start + len(images), device=images.device)
    label = torch.full_like(place, -1) if label is None else label.to(images.device)
    nothing = (images.new_empty(0, size) for size in (network.num_features, network.num_classes))
    return Embedded(*(network(images) if len(images) else nothing), label, place)


def first_place(trainer: Trainer, batch_idx: int) -> int:
    """Place of the first image of a validation or test batch in the sequence of all processes' images.

    Whole batches are dealt to the processes in turn.
    """
    loader = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
    return (batch_idx * trainer.world_size + trainer.global_rank) * loader.batch_size


def drawn_labels(labels: Tensor, count: int) -> Tensor:
    """Labels (count,) for fakes: drawn from those of real images, with replacement, the same at each call."""
    return labels[torch.randint(len(labels), (count,), generator=keyed_generator("labels of fakes"))]


def home(device: torch.device) -> torch.device:
    """Where scores of a device's images are computed: there, but Apple's has no float64."""
    return torch.device("cpu") if device.type == "mps" else device
