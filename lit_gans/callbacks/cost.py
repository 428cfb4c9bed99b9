import sys
import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn


def peak_memory(device: torch.device) -> float:
    """Most memory held so far, in GiB: tensors of the process on a GPU, the whole process on a CPU (NaN on Windows)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if sys.platform == "win32":
        return float("nan")
    from resource import RUSAGE_SELF, getrusage

    return getrusage(RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


class Cost(Callback):
    """Adds to the rows what they cost.

    `speed/images_per_second` is that of real images on all devices, since the row before; validation is left out,
    waiting for data is not. `cost/hours` is the wall time of training and validation that led here, over all parts of
    a continued run: what a killed process did after its last checkpoint is done again and counts once.
    `cost/memory_gib` is the most that the first process held (see `peak_memory`).
    """

    def __init__(self) -> None:
        self.hours_before = 0.0

    @property
    def hours(self) -> float:
        """Wall time so far."""
        return self.hours_before + (time.perf_counter() - self.started) / 3600

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the watches."""
        self.started = self.began = time.perf_counter()
        self.seconds, self.images_before = 0.0, pl_module.images_seen

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Adds the cost to the row of the validation."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self.log_cost(pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the watch of the batches again."""
        self.began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the time since the batch before, and logs the mean since the row before."""
        now = time.perf_counter()
        self.seconds, self.began = self.seconds + now - self.began, now
        if trainer.log_every_n_steps and pl_module.turn % trainer.log_every_n_steps == 0:
            pl_module.log("speed/images_per_second", (pl_module.images_seen - self.images_before) / self.seconds)
            self.log_cost(pl_module)
            self.seconds, self.images_before = 0.0, pl_module.images_seen

    def log_cost(self, pl_module: L.LightningModule) -> None:
        """Adds time and memory to the row."""
        pl_module.log_dict({"cost/hours": self.hours, "cost/memory_gib": peak_memory(pl_module.device)})

    def state_dict(self) -> dict[str, float]:
        """The time so far."""
        return {"hours": self.hours}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Goes on counting from there."""
        self.hours_before = state_dict["hours"]
