import csv
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from lit_gans.files import replacing


class Throughput(Callback):
    """Adds `speed/images_per_second` to each row: real images of all devices, validation left out, waiting not."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the watch."""
        self.began, self.seconds, self.images_before = time.perf_counter(), 0.0, pl_module.images_seen

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts it again."""
        self.began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the time since the batch before, and logs the mean since the row before."""
        now = time.perf_counter()
        self.seconds, self.began = self.seconds + now - self.began, now
        if trainer.log_every_n_steps and pl_module.turn % trainer.log_every_n_steps == 0:
            pl_module.log("speed/images_per_second", (pl_module.images_seen - self.images_before) / self.seconds)
            self.seconds, self.images_before = 0.0, pl_module.images_seen


class Curves(Callback):
    """Draws `curves.png` from `metrics.csv` at each validation and at the end: losses, accuracies, metrics."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws."""
        if not trainer.sanity_checking and trainer.state.fn == TrainerFn.FITTING:
            self.draw(Path(trainer.default_root_dir))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the last time."""
        self.draw(Path(trainer.default_root_dir))

    @rank_zero_only
    def draw(self, run_dir: Path) -> None:
        """Reads the rows and writes the picture."""
        path = run_dir / "metrics.csv"
        if path.exists():
            with open(path, newline="") as file:
                rows = list(csv.DictReader(file))
            if panels := drawable(rows):
                with replacing(run_dir / "curves.png") as temporary:
                    draw_curves(rows, panels, temporary)


PANELS = {
    "losses": ("generator/adversarial", "discriminator/adversarial"),
    "discriminator's mean verdict": ("discriminator/real_score", "discriminator/fake_score"),
    "discriminator's accuracy": (
        "discriminator/real_accuracy",
        "discriminator/fake_accuracy",
        "discriminator/ranking_accuracy",
    ),
    "strength of the augmentation": ("augment/p",),
    "gradient norms": ("generator/gradient_norm", "discriminator/gradient_norm"),
    "FID (less is better)": ("val/fid",),
    "Inception Score (more is better)": ("val/is",),
    "KID (less is better)": ("val/kid",),
    "PSNR (more is better)": ("val/psnr", "val/bicubic_psnr", "val/copy_psnr", "val/mean_psnr"),
    "SSIM (more is better)": ("val/ssim", "val/bicubic_ssim", "val/copy_ssim", "val/mean_ssim"),
    "L1 (less is better)": ("val/l1", "val/bicubic_l1", "val/copy_l1", "val/mean_l1"),
    "LPIPS (less is better)": ("val/lpips", "val/lpips_vgg"),
    "IoU of classes (more is better)": ("val/miou",),
    "fakes among reals, reals among fakes": ("val/precision", "val/recall", "val/density", "val/coverage"),
    "fakes of the class asked for (1 / classes if labels are ignored)": ("val/label_accuracy",),
}
"""Title of each panel, and the columns drawn in it."""


def drawable(rows: list[dict[str, str]]) -> dict[str, list[str]]:
    """The panels of which the rows have any value, and the columns that do."""
    panels = {title: [name for name in names if any(row.get(name) for row in rows)] for title, names in PANELS.items()}
    return {title: names for title, names in panels.items() if names}


def draw_curves(rows: list[dict[str, str]], panels: dict[str, list[str]], path: Path) -> None:
    """Draws columns of `metrics.csv` over kimg, a panel for each title."""
    from matplotlib.figure import Figure  # half a second that only a run which draws should pay

    height = -(-len(panels) // 2)
    figure = Figure(figsize=(11, 3.2 * height), layout="constrained")
    for index, (title, names) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(height, 2, index)
        for name in names:
            points = [(float(row["kimg"]), float(row[name])) for row in rows if row.get(name)]
            axes.plot(*zip(*points, strict=True), label=name, marker="o" if len(points) < 40 else None, markersize=3)
        if all("accuracy" in name for name in names):  # at a glance, whatever the values
            axes.set_ylim(-0.03, 1.03)
        axes.set_title(title)
        axes.set_xlabel("kimg (thousand real images seen)")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110, format="png")
