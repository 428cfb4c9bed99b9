import csv
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from lit_gans.files import replacing


class Curves(Callback):
    """Draws `curves.png` from `metrics.csv` at each validation and at the end: losses, accuracies, metrics."""

    def __init__(self) -> None:
        self.drawn = 0  # bytes of the rows that the picture shows

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
        if path.exists() and (size := path.stat().st_size) != self.drawn:  # a training may end with a validation
            with open(path, newline="") as file:
                rows = list(csv.DictReader(file))
            if panels := drawable(rows):
                with replacing(run_dir / "curves.png") as temporary:
                    draw_curves(rows, panels, temporary)
                self.drawn = size


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
