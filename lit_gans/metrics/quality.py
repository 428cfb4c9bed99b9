"""The validation callback: how close the generated images are to the real ones."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from tqdm import tqdm

from lit_gans.errors import UserError
from lit_gans.metrics.features import FeatureNetwork, default_features
from lit_gans.metrics.scores import FeatureScores
from lit_gans.randomness import keyed_generator


class ImageQuality(Callback):
    """Logs FID and IS of the averaged generator at each validation and test, made alike whatever the hardware.

    The fakes are those of `validation_step` (or `test_step`), which returns them as `{"fake": images}`, and then as
    many of `model.sample` as are missing; a model without `sample` is measured on its validation fakes alone. The
    reals are the first of the DataModule's `reference_dataloader(reference)`, embedded once. Both come as whole
    batches dealt to the processes in turn, so the values don't depend on how many there are (as long as no
    `limit_val_batches`, which counts on each, is in between). The training's random state stays as it is, and nothing
    of this is in a checkpoint but the best FID.

    Logged are `val/fid_<network>` and `val/is_<network>`, for the first network also `val/fid` and `val/is`, and while
    fitting `best/fid`; in a test `test/` takes the place of `val/`.

    Of a model with labels (`num_classes` above 0), `validation_step` returns those of its fakes as `"label"`, and the
    samples get those of the reals in turn, so that both sets have the same share of each class. Where a network
    classifies the very classes of the data, `val/label_accuracy` and `val/label_accuracy_<network>` are the share of
    fakes that it takes for what they were asked to be: 1 / `num_classes` of a model that ignores its labels.

    Args:
        features: feature networks; by default the one shipped for the dataset, or else Inception; [] for no metrics.
        n_real: number of reals; all there are if there are fewer.
        n_fake: number of fakes.
        reference: split of the reals.
        batch_size: images drawn and embedded at a time.
        per_class: also log the FID of each class by itself, `val/fid_<network>_class<k>`.

    Attributes:
        protocol: how the latest plain numbers were made; empty before the first.

    Raises:
        UserError: too few images; when the run starts: no DataModule, feature weights that cannot be had, or
            `per_class` of a model without labels.
    """

    def __init__(
        self,
        *,
        features: list[FeatureNetwork] | None = None,
        n_real: int = 10_000,
        n_fake: int = 10_000,
        reference: Literal["train", "test"] = "train",
        batch_size: int = 256,
        per_class: bool = False,
    ) -> None:
        if min(n_real, n_fake) < 2 or batch_size < 1:
            raise UserError(f"FID needs at least 2 real and 2 fake images, not {n_real=}, {n_fake=}, {batch_size=}")
        self.features, self.n_real, self.n_fake = features, n_real, n_fake
        self.reference, self.batch_size, self.per_class = reference, batch_size, per_class
        self.best_fid = math.inf
        self.protocol: dict[str, str | int | bool] = {}
        self._scores: list[FeatureScores] = []

    def networks(self, data: LightningDataModule, model: LightningModule) -> list[FeatureNetwork]:
        """The feature networks for these data.

        Raises:
            UserError: their weights cannot be had, or each class is to be measured and the model has none.
        """
        if self.per_class and not getattr(model, "num_classes", 0):
            raise UserError("metrics.per_class=true: this model takes no labels, so its fakes are of no class")
        return default_features(data.name) if self.features is None else self.features

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Builds networks and metrics here, in the worker: spawned processes would share the memory of earlier ones."""
        if trainer.datamodule is None:
            raise UserError("image quality is measured against the reals of a DataModule, and none was given")
        for first in (True, False):  # of its machine: it fetches weights that are missing, the others find them
            if first == (trainer.local_rank == 0):
                networks = self.networks(trainer.datamodule, pl_module)
            trainer.strategy.barrier("feature networks")
        classes = getattr(pl_module, "num_classes", 0)
        self._scores = [
            FeatureScores(
                network,
                trainer.strategy.root_device,
                knows_labels=(network.name, network.num_classes) == (trainer.datamodule.name, classes),
                fid_classes=classes if self.per_class else 0,
            )
            for network in networks
        ]

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: int
    ) -> None:
        """Embeds the fakes of the batch."""
        if not trainer.sanity_checking:
            start = _start(trainer, batch_idx, trainer.val_dataloaders.batch_size)
            self._add(outputs["fake"], outputs.get("label"), start, real=False)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: int
    ) -> None:
        """Embeds the fakes of the batch."""
        start = _start(trainer, batch_idx, trainer.test_dataloaders.batch_size)
        self._add(outputs["fake"], outputs.get("label"), start, real=False)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Completes the two sets, computes and logs."""
        if not trainer.sanity_checking:
            self._evaluate(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Completes the two sets, computes and logs."""
        self._evaluate(trainer, pl_module, "test")

    def state_dict(self) -> dict[str, float]:
        """The best FID so far."""
        return {"best_fid": self.best_fid}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Takes up the best FID of an earlier run."""
        self.best_fid = state_dict["best_fid"]

    def _evaluate(self, trainer: Trainer, pl_module: LightningModule, prefix: str) -> None:
        if not self._scores:
            return
        device = trainer.strategy.root_device
        # A data loader and a careless `sample` draw from the global random state.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.inference_mode():
            if self._count(trainer, real=True) == 0:
                self._add_reals(trainer)
            if hasattr(pl_module, "sample"):
                with torch.autocast(device.type, enabled=False):
                    self._add_samples(trainer, pl_module)
            self._note_protocol(trainer)
            values = {}
            for scores in reversed(self._scores):  # the first network comes last: the plain names stay its
                values |= {f"{prefix}/{name}": value for name, value in scores.compute().items()}
        if trainer.state.fn == TrainerFn.FITTING:
            self.best_fid = values["best/fid"] = min(self.best_fid, values["val/fid"])
        pl_module.log_dict(values, sync_dist=True)

    def _add_reals(self, trainer: Trainer) -> None:
        loader = trainer.datamodule.reference_dataloader(self.reference)
        batches = math.ceil(self.n_real / (loader.batch_size * trainer.world_size))
        for index, batch in zip(range(batches), _bar(trainer, loader, "real images"), strict=False):
            self._add(batch.image, batch.label, _start(trainer, index, loader.batch_size), real=True)

    def _add_samples(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tops the fakes up to `n_fake`; the k-th batch of samples is always the same, whoever draws it."""
        first = self._count(trainer, real=False)
        batches = range(trainer.global_rank, math.ceil((self.n_fake - first) / self.batch_size), trainer.world_size)
        labels = None
        if getattr(pl_module, "num_classes", 0):
            of_reals = trainer.datamodule.reference_dataloader(self.reference).labels[: self.n_real]
            labels = of_reals[torch.arange(self.n_fake) % len(of_reals)]  # fake i is asked to be what real i is
        for k in _bar(trainer, batches, "fake images"):
            start = first + k * self.batch_size
            count = min(self.batch_size, self.n_fake - start)
            asked = None if labels is None else labels[start : start + count]
            self._add(pl_module.sample(count, asked, keyed_generator("evaluation", k)), asked, start, real=False)

    @torch.inference_mode()  # throughout: what the metrics sum up may not be touched outside it
    def _add(self, images: Tensor, labels: Tensor | None, start: int, *, real: bool) -> None:
        stop = min(len(images), (self.n_real if real else self.n_fake) - start)
        for place in range(0, stop, self.batch_size):
            part = slice(place, min(place + self.batch_size, stop))
            for scores in self._scores:
                scores.update(images[part], None if labels is None else labels[part], start=start + place, real=real)

    def _count(self, trainer: Trainer, *, real: bool) -> int:
        fid = self._scores[0].fid
        local = fid.real_features_num_samples if real else fid.fake_features_num_samples
        return int(trainer.strategy.reduce(local.clone(), reduce_op="sum"))

    def _note_protocol(self, trainer: Trainer) -> None:
        network = self._scores[0].network
        self.protocol = {
            "features": network.name,
            "sha256": network.sha256,
            "resize": network.resize,
            "n_real": self._count(trainer, real=True),
            "n_fake": self._count(trainer, real=False),
            "reference": self.reference,
            "ema": True,
            "precision": str(trainer.precision),
        }
        if min(self.protocol["n_real"], self.protocol["n_fake"]) < 2:
            raise UserError(
                f"FID needs at least 2 real and 2 fake images; the data gave {self.protocol['n_real']} "
                f"and the model {self.protocol['n_fake']}"
            )


def _start(trainer: Trainer, batch_idx: int, batch_size: int) -> int:
    """Place of a process's batch in the sequence of all: whole batches are dealt in turn."""
    return (batch_idx * trainer.world_size + trainer.global_rank) * batch_size


def _bar(trainer: Trainer, items: Iterable, description: str) -> Iterable:
    """Shows progress when it takes longer than a few seconds and the trainer shows its own."""
    shown = trainer.global_rank == 0 and getattr(trainer.progress_bar_callback, "is_enabled", False)
    return tqdm(items, description, delay=5, leave=False, disable=not shown)
