"""Our metrics against torchmetrics and torch-fidelity, as shares of their time."""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import lightning as L
import torch
from torch import Tensor, nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance

from datamodules import ImageData, Labelled
from experiments.bench.fitting import Noise, quiet
from experiments.bench.processes import afresh, resident
from experiments.bench.training import against
from lit_gans import DCGAN
from lit_gans.metrics import FID, ImageQuality, Neighbours, Reference, SmallClassifier
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.score import Embedded, Score

TORCHMETRICS = "torchmetrics'"


# -- a validation ------------------------------------------------------------------------------------------------------


class Documented(L.Callback):
    """torchmetrics' FID of the same images, as its documentation shows it: reals and fakes at each validation.

    Args:
        network: Of the features.
    """

    def __init__(self, network: FeatureNetwork) -> None:
        self.metric = FrechetInceptionDistance(FeaturesOnly(network), normalize=True)

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: dict[str, Tensor], *_: object
    ) -> None:
        """Embeds both."""
        self.metric.update(outputs["real"], real=True)
        self.metric.update(outputs["fake"], real=False)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Computes, logs and forgets."""
        pl_module.log("val/fid", self.metric.compute())
        self.metric.reset()


class FeaturesOnly(nn.Module):
    """A feature network as torchmetrics wants it.

    Args:
        network: Gives features and logits.
    """

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        self.network, self.num_features = network, network.num_features

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (N, C, H, W), float in [-1, 1], to features (N, num_features)."""
        return self.network(images)[0]


class Given(L.LightningModule):
    """A model whose fakes cost nothing: what is left of its validation is the metric's."""

    def validation_step(self, batch: Labelled, batch_idx: int) -> dict[str, Tensor]:
        """The reals mirrored."""
        return {"real": batch.image, "fake": batch.image.flip(-1)}


def validate(model: L.LightningModule, data: ImageData, metric: L.Callback) -> float:
    """The FID that a validation logs."""
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=os.environ["LIT_GANS_CACHE"],
        callbacks=[metric],
    )
    with quiet():
        return trainer.validate(model, data, verbose=False)[0]["val/fid"]


def validations(model: L.LightningModule, count: int) -> dict[str, Callable[[], float]]:
    """What validates, by whose metric it is, on the same images with the same network; ours also computes the IS."""
    data, network = Noise(image_size=28, batch_size=128, channels=1, count=count), SmallClassifier("mnist")
    ours = ImageQuality(features=[network], n_real=count, n_fake=count, reference="test")
    return {
        "ours": partial(validate, model, data, ours),
        TORCHMETRICS: partial(validate, model, data, Documented(network)),
    }


def validation(count: int, rounds: int) -> str:
    """A whole validation at 28 pixels, with the fakes made in it and with fakes that are there."""
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, LIT_GANS_CACHE=folder):
        made = against(validations(DCGAN(image_shape=(1, 28, 28)), count), rounds)
        given = against(validations(Given(), count), rounds)
    return f"Validation with {count} images, fakes by DCGAN: {made}; fakes given: {given}"


# -- scores of given features ------------------------------------------------------------------------------------------


def features_of(count: int, width: int) -> Tensor:
    """Random features (count, width) with a random covariance."""
    return torch.randn(count, width) @ torch.randn(width, width) / width**0.5


def filled(score: Score, features: Tensor) -> Score:
    """The score after it has seen the features of fakes, without memory of what it has computed."""
    place = torch.arange(len(features))
    score.update(Embedded(features, features[:, :0], torch.full_like(place, -1), place))
    score.compute_with_cache = False
    return score


def distances(real: Tensor, fake: Tensor) -> dict[str, Callable[[], object]]:
    """What computes the FID, by whose it is; statistics are there, as is what the reals alone decide."""
    ours = filled(FID(Reference(real)), fake)
    ours.compute()
    given = nn.Identity()
    given.num_features = real.shape[1]
    metric = FrechetInceptionDistance(given, compute_with_cache=False)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    statistics_of = [fid_features_to_statistics(features.double()) for features in (real, fake)]
    return {
        "ours": ours.compute,
        TORCHMETRICS: metric.compute,
        "torch-fidelity's": partial(fid_statistics_to_metric, *statistics_of, False),
    }


def fid(count: int, width: int, rounds: int) -> str:
    """The computing of a FID, of more images than features and of fewer."""
    lines = []
    for n in (count, width // 2):
        compared = against(distances(features_of(n, width), features_of(n, width)), rounds)
        lines.append(f"FID of {n} x {width} features: {compared}")
    return "\n".join(lines)


def shares_of_neighbours(real: Tensor, fake: Tensor) -> dict[str, Callable[[], object]]:
    """What computes precision and recall, by whose it is; nothing is known before, and ours has two values more."""
    options = {"prc_neighborhood": 3, "prc_batch_size": 10_000, "verbose": False}
    return {
        "ours": lambda: filled(Neighbours(Reference(real)), fake).compute(),
        "torch-fidelity's": partial(prc_features_to_metric, fake, real, save_cpu_ram=False, **options),
        "torch-fidelity's sparing": partial(prc_features_to_metric, fake, real, save_cpu_ram=True, **options),
    }


def neighbours(count: int, width: int, rounds: int) -> str:
    """Precision and recall: time, and the memory that ours takes."""
    compared = against(shares_of_neighbours(features_of(count, width), features_of(count, width)), rounds)
    memory = afresh(f"from experiments.bench.metrics import memory_of_neighbours as m; print(m({count}, {width}))")
    return f"Precision, recall, density, coverage of {count} x {width} features: {compared}, {memory} MiB of 2048"


def memory_of_neighbours(count: int, width: int) -> str:
    """Growth of this process, in MiB, when ours has its two sets of features."""
    real, fake = torch.randn(count, width), torch.randn(count, width)
    before = resident()
    filled(Neighbours(Reference(real)), fake).compute()
    return f"{resident() - before:.0f}"
