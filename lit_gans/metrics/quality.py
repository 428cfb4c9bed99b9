"""The validation callback: how close the generated images are to the real ones."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from tqdm import tqdm

from lit_gans.errors import UserError, at_least
from lit_gans.metrics.classes import ClassFID
from lit_gans.metrics.custom import feature_networks
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.fid import FID
from lit_gans.metrics.measurement import Measurement, ScoreFactory, add, check, measurements
from lit_gans.metrics.protocol import Description, Protocol, Split, by_network, tell
from lit_gans.metrics.reals import reference_of
from lit_gans.metrics.reference import Reference
from lit_gans.metrics.score import drawn_labels, first_place
from lit_gans.precision import without_autocast
from lit_gans.randomness import keyed_generator, untouched_randomness


class ImageQuality(Callback):
    """Logs scores of the averaged generator at each validation and test, made alike whatever the hardware.

    The fakes are those of `validation_step` (or `test_step`), which returns them as `{"fake": images}`, and then as
    many of `model.sample` as are missing; a model without `sample` is measured on its validation fakes alone. The
    reals are the first of the DataModule's `reference_dataloader(reference)`; their features are kept on disk for all
    runs. Both come as whole batches dealt to the processes in turn, so the values don't depend on how many there are
    (as long as no `limit_val_batches`, which counts on each, is in between). The training's random state stays as it
    is, and nothing of this is in a checkpoint but the best FID.

    Logged are `val/<score>_<network>[_<protocol>]`, for the first network also `val/<score>`, and while fitting
    `best/fid` with `best/of`, the number of validations that it is the smallest of: the smallest of many noisy values
    flatters. In a test `test/` takes the place of `val/`. `protocols.json` in the run directory tells of each value the
    hash of its protocol, and of each hash the protocol; equal hashes compare.

    Of a model with labels (`num_classes` above 0), `validation_step` returns those of its fakes as `"label"`, and the
    samples get labels drawn from those of the reals, with replacement: if fakes had the very labels of the reals they
    are compared with, both sets would vary together, and look nearer than those of a model without labels. Where a
    network classifies the very classes of the data, `val/label_accuracy` is the share of fakes that it takes for what
    they were asked to be: 1 / `num_classes` of a model that ignores its labels.

    Args:
        features: Feature networks, or own modules (see `CustomFeatures`); by default the one shipped for the dataset,
            or else Inception; [] for no metrics.
        n_real: Number of reals; all there are if there are fewer.
        n_fake: Number of fakes.
        reference: Split of the reals.
        batch_size: Images drawn and embedded at a time.
        per_class: Also log the FID of each class by itself, `val/fid_class<k>`.
        scores: Further ones besides FID and IS, such as KID or Neighbours.
        protocols: Further ones, such as Lucic2018, measured on the same fakes.

    Attributes:
        descriptions: How each of the latest values was made, by name; empty before the first.

    Raises:
        UserError: too few images; when the run starts: no DataModule, feature weights that cannot be had, fewer images
            than a score needs, or `per_class` of a model without labels.
    """

    def __init__(
        self,
        *,
        features: list[FeatureNetwork | nn.Module] | None = None,
        n_real: int = 10_000,
        n_fake: int = 10_000,
        reference: Split = "train",
        batch_size: int = 256,
        per_class: bool = False,
        scores: list[ScoreFactory] = (),
        protocols: list[Protocol] = (),
    ) -> None:
        at_least(1, batch_size=batch_size)
        Protocol(n_real=n_real, n_fake=n_fake)  # or says what is wrong with them
        self.features, self.n_real, self.n_fake = features, n_real, n_fake
        self.reference, self.batch_size, self.per_class = reference, batch_size, per_class
        self.scores, self.further = [*scores, *[ClassFID] * per_class], protocols
        self.best_fid, self.validations = math.inf, 0
        self.descriptions: dict[str, Description] = {}
        self._protocols: list[Protocol] = []
        self._measured: list[tuple[FeatureNetwork, list[Measurement]]] = []
        self._added = 0

    def protocols(self, data: LightningDataModule, model: LightningModule) -> list[Protocol]:
        """All protocols for these data, with their networks.

        Raises:
            UserError: weights cannot be had, or a score needs more images, or a model with labels.
        """
        try:
            networks = feature_networks(self.features, data.name, data.image_shape)
        except UserError as error:
            raise UserError(f"{error}, or measure nothing with --metrics.features=[]") from error
        counts = {"n_real": self.n_real, "n_fake": self.n_fake, "reference": self.reference}
        protocols = [*(Protocol(features=network, **counts) for network in networks), *self.further]
        by_network(protocols)  # or says what is wrong with them
        for protocol in protocols:
            there = len(data.reference_dataloader(protocol.reference).images)
            reals = Reference(torch.zeros(min(there, protocol.n_real or there), 2))  # as many as there will be
            scores = [make(reals) for make in (FID, *self.scores)]
            check(scores, protocol, protocol.n_fake, labelled=getattr(model, "num_classes", 0) > 0)
        return protocols

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Builds networks here, in the worker: spawned processes would share the memory of earlier ones."""
        if trainer.datamodule is None:
            raise UserError("image quality is measured against the reals of a DataModule, and none was given")
        for first in (True, False):  # of its machine: it fetches weights that are missing, the others find them
            if first == (trainer.local_rank == 0):
                self._protocols, self._measured = self.protocols(trainer.datamodule, pl_module), []
            trainer.strategy.barrier("feature networks")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Embeds the reals, or finds that they were; once."""
        self._added = 0
        for measurement in self._measurements():
            measurement.reset()  # of a pass that was broken off
        if not trainer.sanity_checking:
            self._prepare(trainer, pl_module)

    on_test_start = on_validation_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: int
    ) -> None:
        """Embeds the fakes of the batch.

        Raises:
            UserError: they are of another size than the reals, such as whole photos against crops.
        """
        if self._measured and not trainer.sanity_checking:
            sizes = outputs["fake"].shape[2:], trainer.datamodule.image_shape[1:]
            if tuple(sizes[0]) != tuple(sizes[1]):
                fake, real = ("x".join(map(str, size)) for size in sizes)
                raise UserError(f"fakes of {fake} pixels don't compare with reals of {real}: --metrics.features=[]")
            with untouched_randomness(trainer.strategy.root_device):
                self._add(outputs["fake"], outputs.get("label"), first_place(trainer, batch_idx))

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Completes the fakes, computes and logs."""
        if self._measured and not trainer.sanity_checking:
            self._evaluate(trainer, pl_module)

    on_test_epoch_end = on_validation_epoch_end

    def state_dict(self) -> dict[str, float]:
        """The best FID so far, and of how many."""
        return {"best_fid": self.best_fid, "validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Takes up the best FID of an earlier run."""
        self.best_fid, self.validations = state_dict["best_fid"], state_dict.get("validations", 0)

    def _prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._measured or not self._protocols:
            return
        device, data = trainer.strategy.root_device, trainer.datamodule
        classes = getattr(pl_module, "num_classes", 0)
        refer = partial(
            reference_of,
            data,
            device=device,
            batch_size=self.batch_size,
            everyone=lambda yes: trainer.strategy.reduce_boolean_decision(yes, all=True),
            bar=lambda items, title: _bar(trainer, items, title),
        )
        with untouched_randomness(device), torch.inference_mode():
            self._measured = measurements(self._protocols, self.scores, refer, device=device, labelled=classes > 0)

    def _evaluate(self, trainer: Trainer, pl_module: LightningModule) -> None:
        device = trainer.strategy.root_device
        values, prefix = {}, "test" if trainer.testing else "val"
        with untouched_randomness(device), torch.inference_mode(), without_autocast(device):
            if hasattr(pl_module, "sample"):
                self._add_samples(trainer, pl_module)
            for measurement in self._measurements():
                found = measurement.compute(pl_module, ema=True, precision=str(trainer.precision))
                if not values:  # the first protocol has plain names, too
                    plain = {name.removesuffix(measurement.suffix): name for name in found}
                values |= found
                self.descriptions |= measurement.descriptions
        values |= {short: values[name] for short, name in plain.items()}
        self.descriptions |= {short: self.descriptions[name] for short, name in plain.items()}
        values = {f"{prefix}/{name}": value for name, value in values.items()}
        if trainer.state.fn == TrainerFn.FITTING:
            self.validations += 1
            self.best_fid = min(self.best_fid, values["val/fid"])
            values |= {"best/fid": self.best_fid, "best/of": float(self.validations)}
            tell(trainer, {f"val/{name}": made for name, made in self.descriptions.items()})
        pl_module.log_dict(values, sync_dist=True)

    def _add_samples(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tops the fakes up to the most that a protocol wants; the k-th batch is always the same, whoever draws it."""
        wanted, added = self._wanted(), torch.tensor(self._added, device=trainer.strategy.root_device)
        first = int(trainer.strategy.reduce(added, reduce_op="sum"))
        batches = range(trainer.global_rank, math.ceil((wanted - first) / self.batch_size), trainer.world_size)
        labels = None
        if getattr(pl_module, "num_classes", 0):
            labels = drawn_labels(trainer.datamodule.reference_dataloader(self.reference).labels, wanted)
        for k in _bar(trainer, batches, "fake images"):
            start = first + k * self.batch_size
            count = min(self.batch_size, wanted - start)
            asked = None if labels is None else labels[start : start + count]
            self._add(pl_module.sample(count, asked, keyed_generator("evaluation", k)), asked, start)

    def _measurements(self) -> list[Measurement]:
        return [measurement for _, group in self._measured for measurement in group]

    def _wanted(self) -> int:
        return max(protocol.n_fake for protocol in self._protocols)

    @torch.inference_mode()  # throughout: what the metrics sum up may not be touched outside it
    def _add(self, images: Tensor, labels: Tensor | None, start: int) -> None:
        count = max(min(len(images), self._wanted() - start), 0)
        self._added += count
        for place in range(0, count, self.batch_size):
            part = slice(place, min(place + self.batch_size, count))
            add(self._measured, images[part], None if labels is None else labels[part], start + place)


def _bar(trainer: Trainer, items: Iterable, description: str) -> Iterable:
    """Shows progress when it takes longer than a few seconds and the trainer shows its own."""
    shown = trainer.global_rank == 0 and getattr(trainer.progress_bar_callback, "is_enabled", False)
    return tqdm(items, description, delay=5, leave=False, disable=not shown)
