"""Short trainings on random images."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import torch
from lightning.pytorch.loggers.logger import DummyLogger

from datamodules import ImageData


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


class Stopwatch(L.Callback):
    """Seconds from the first batch to the last."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts."""
        self.began = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops."""
        self.seconds = time.perf_counter() - self.began


def fit(
    model: L.LightningModule, data: ImageData, steps: int, *callbacks: L.Callback, accelerator: str = "cpu"
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
