import time
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lit_gans.errors import UserError


class Checkpoint(Callback):
    """Writes `last.ckpt`, from which a killed run continues exactly, and `best.ckpt` by a metric.

    Both are written between two batches, when the rows and the validation of the batch before are complete: by time,
    by batches where asked, after each validation, at the end, and when the process is told to terminate.

    Args:
        every_n_seconds: Longest time without a checkpoint, in seconds of wall clock.
        every_n_train_steps: Also after each such number of batches; None for by time only.
        monitor: Metric that says which checkpoint is best.
        mode: Whether a smaller or a larger value is better.
    """

    def __init__(
        self,
        *,
        every_n_seconds: float = 60.0,
        every_n_train_steps: int | None = None,
        monitor: str = "val/fid",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        if every_n_train_steps is not None and every_n_train_steps < 1:
            raise UserError(f"checkpoint.every_n_train_steps must be at least 1, not {every_n_train_steps}")
        self.every_n_seconds, self.every_n_train_steps = every_n_seconds, every_n_train_steps
        self.monitor, self.sign = monitor, 1 if mode == "min" else -1
        self.best = float("inf")
        self.due = self.best_due = False
        self.written_at = time.monotonic()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock; what the run begins with need not be written. Removes what a killed process half wrote."""
        self.written_at, self.begun_at = time.monotonic(), trainer.global_step
        if trainer.is_global_zero:
            for torn in self.folder(trainer).glob(".*.tmp"):
                torn.unlink()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Makes a checkpoint due, and the best one too if the metric improved.

        Raises:
            UserError: the metric asked for is not measured.
        """
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self.due = True
        value = trainer.callback_metrics.get(self.monitor)
        if value is None and self.monitor != "val/fid":  # without FID there is no best one, by default
            logged = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
            raise UserError(f"--checkpoint.monitor={self.monitor} was not logged: choose from {logged or 'nothing'}")
        if value is not None and self.sign * value.item() < self.best:
            self.best = self.sign * value.item()
            self.best_due = True

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Writes what is due, before the next batch begins."""
        steps = self.every_n_train_steps
        by_steps = steps is not None and trainer.global_step % steps == 0 and trainer.global_step != self.begun_at
        if self.due or by_steps or self.time_is_up(trainer):
            self.write(trainer, pl_module)

    def time_is_up(self, trainer: L.Trainer) -> bool:
        """Whether a checkpoint is due by time; several devices agree on it at every tenth batch, since asking costs."""
        if trainer.world_size > 1 and trainer.global_step % 10:
            return False
        return trainer.strategy.reduce_boolean_decision(
            time.monotonic() - self.written_at >= self.every_n_seconds, all=False
        )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the final state."""
        self.write(trainer, pl_module)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Writes when told to terminate, which Lightning obeys between two batches; says how to go on."""
        if isinstance(exception, SIGTERMException) and not trainer.validating:  # whose row would then be missing
            self.write(trainer, pl_module)
        last = self.folder(trainer) / "last.ckpt"
        if isinstance(exception, (SIGTERMException, KeyboardInterrupt)) and last.exists():
            rank_zero_info(f"Stopped; the same command continues from {last}.")

    def write(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes `last.ckpt`, and `best.ckpt` if it is due.

        Raises:
            UserError: weights are not finite; the checkpoints before stay.
        """
        pl_module.divergence.check(pl_module.all_gather)
        finite = torch.stack([parameter.isfinite().all() for parameter in pl_module.parameters()]).all()
        if not trainer.strategy.reduce_boolean_decision(bool(finite), all=True):
            raise UserError(
                f"weights are not finite after step {trainer.global_step} ({pl_module.images_seen / 1000:.3f} kimg); "
                "checkpoints keep the last good ones: try a smaller learning rate or gradient clipping"
            )
        folder = self.folder(trainer)
        if self.best_due:
            self.best_due = False
            trainer.save_checkpoint(folder / "best.ckpt", weights_only=False)
        self.due = False
        trainer.save_checkpoint(folder / "last.ckpt", weights_only=False)
        self.written_at = time.monotonic()

    def folder(self, trainer: L.Trainer) -> Path:
        """Where the checkpoints of this run lie."""
        return Path(trainer.default_root_dir) / "checkpoints"

    @property
    def state_key(self) -> str:
        """The best value of one metric is none of another."""
        return self._generate_state_key(monitor=self.monitor, sign=self.sign)

    def state_dict(self) -> dict[str, Any]:
        """The best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the best value so far."""
        self.best = state_dict["best"]
