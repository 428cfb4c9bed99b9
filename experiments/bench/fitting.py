"""Short trainings on random images."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers.logger import DummyLogger

from datamodules import ImageData, Paired, Unpaired
from datamodules.stream import Endless, as_floats


class Noise(ImageData):
    """Random images in ten classes, as many as a short run needs.

    Args:
        image_size: Height and width in pixels.
        batch_size: Images per batch.
        channels: 1 (grey) or 3 (colour).
        count: Images of each split.
    """

    name, num_classes = "noise", 10

    def __init__(self, *, image_size: int, batch_size: int, channels: int = 3, count: int = 4096) -> None:
        super().__init__(image_size=image_size, batch_size=batch_size)
        self.channels, self.count = channels, count

    def load(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Random bytes and labels."""
        images = torch.randint(256, (self.count, *self.image_shape), dtype=torch.uint8)
        return images, torch.randint(self.num_classes, (self.count,))


class Doubles(Noise):
    """Random images two by two, for translators.

    Args:
        batches: What batches are.
        image_size: Height and width in pixels.
        batch_size: Pairs per batch.
    """

    def __init__(self, batches: type[Paired] | type[Unpaired], *, image_size: int, batch_size: int = 1) -> None:
        super().__init__(image_size=image_size, batch_size=batch_size, count=64)
        self.batches, self.source_shape = batches, self.image_shape

    def training(self, **share: int) -> "TwoByTwo":
        """The first half of the images beside the second."""
        return TwoByTwo(self.batches, self.split("train")[0], **share)


class TwoByTwo(Endless):
    """Each image of the first half with its partner in the second, in order.

    Args:
        kind: What batches are.
        images: uint8, (N, C, H, W).
        **share: `batch_size` and the other arguments of `Batches`.
    """

    def __init__(self, kind: type[Paired] | type[Unpaired], images: torch.Tensor, **share: int) -> None:
        super().__init__(len(images) // 2, **share)
        self.kind, self.halves = kind, images.numpy().reshape(2, self.count, *images.shape[1:])

    def samples(self, first: int, count: int) -> Paired | Unpaired:
        """Pairs first..first+count-1, which begin again after the last."""
        places = np.arange(first, first + count) % self.count
        return self.kind(*(torch.from_numpy(as_floats(half[places])) for half in self.halves))


class Stopwatch(L.Callback):
    """Seconds from the first batch to the last."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts."""
        self.began = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops."""
        self.seconds = time.perf_counter() - self.began


def fit(
    model: L.LightningModule, data: L.LightningDataModule, steps: int, *callbacks: L.Callback, accelerator: str = "cpu"
) -> float:
    """Seconds that our training takes, with a log row as often as by default, and nothing said."""
    watch = Stopwatch()
    trainer = L.Trainer(
        accelerator=accelerator,
        devices=1,
        max_steps=steps,
        logger=DummyLogger(),
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch, *callbacks],
    )
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(model, data)
    return watch.seconds


@contextmanager
def quiet() -> Iterator[None]:
    """Lets Lightning say nothing of what goes well."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
