import sys

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar


class Progress(TQDMProgressBar):
    """Lightning's bar with the numbers that matter; where nobody watches (a log file), it moves every 100 batches."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=1 if sys.stderr.isatty() else 100)

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, int | str | float]:
        """Leaves the loggers' version out."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}
