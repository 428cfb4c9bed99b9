import math
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torchvision.utils import make_grid, save_image

from datamodules.stream import Ordered
from lit_gans.errors import UserError
from lit_gans.files import replacing
from lit_gans.pictures import centred, side_by_side
from lit_gans.randomness import keyed_generator, untouched_randomness

TILE = 64
"""Smaller images are enlarged to about this many pixels, so that a grid can be looked at."""

MOST = 256
"""Of larger images at work, the middle of so many pixels is shown."""


def image_grid(images: Tensor, columns: int) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] as one picture (C, H', W') in [0, 1]; small ones are enlarged without blur."""
    scale = max(1, round(TILE / images.shape[-1]))
    images = images.float().cpu().clamp(-1, 1).add(1).div(2)
    images = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    return make_grid(images, nrow=columns, padding=2, pad_value=1.0)


class SampleGrid(Callback):
    """Pictures of the averaged generator on the same inputs over time: at the start, each validation and the end.

    They go to `samples/` in the run directory and to every logger that takes images. With labels, each row of the grid
    shows one class; of many classes, some from the first to the last. Models without `sample` are shown at work on
    validation images, some from the first to the last: source, output and, if they are trained on pairs, target; large
    ones by their middle.

    Args:
        rows: Rows of the grid; by default one for each of up to 16 classes, 8 without labels, 4 of images at work.
        columns: Images in a row.
    """

    def __init__(self, *, rows: int | None = None, columns: int = 8) -> None:
        if columns < 1 or rows is not None and rows < 1:
            raise UserError("a grid of samples needs at least one row and one column")
        self.rows, self.columns = rows, columns
        self.drawn_at = -1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the untrained generator."""
        if pl_module.images_seen == 0:
            self.draw(trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws at each validation."""
        if not trainer.sanity_checking and trainer.state.fn == TrainerFn.FITTING:
            self.draw(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the last state."""
        self.draw(trainer, pl_module)

    @rank_zero_only
    def draw(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the grid of this moment, once."""
        if self.drawn_at == pl_module.images_seen:
            return
        self.drawn_at = pl_module.images_seen
        if hasattr(pl_module, "sample"):
            grid = image_grid(self.sampled(pl_module), self.columns)
        else:
            grid = self.at_work(trainer, pl_module)
        if grid is None:
            return
        kimg = pl_module.images_seen / 1000
        path = Path(trainer.default_root_dir) / "samples" / f"kimg-{kimg:010.3f}.png"
        with replacing(path) as temporary:
            save_image(grid, temporary, format="png")
        for logger in trainer.loggers:
            if hasattr(logger, "log_picture"):
                logger.log_picture("samples", grid, path, step=pl_module.turn, kimg=kimg)

    def sampled(self, pl_module: L.LightningModule) -> Tensor:
        """Images (N, C, H, W) of the same latents, row by row."""
        classes = pl_module.num_classes
        rows = min(self.rows or 16, classes) if classes else self.rows or 8
        labels = (torch.arange(rows) * classes // rows).repeat_interleave(self.columns) if classes else None
        return pl_module.sample(rows * self.columns, labels, keyed_generator(pl_module.seed, "grid"))

    @torch.no_grad()
    def at_work(self, trainer: L.Trainer, pl_module: L.LightningModule) -> Tensor | None:
        """The picture (C, H, W) of some validation images; None if there are none."""
        loader, groups = trainer.datamodule.val_dataloader(), []
        wide = 3 if getattr(pl_module, "paired", True) else 2
        across = max(self.columns // wide, 1)
        wanted = across * (self.rows or 4)
        with untouched_randomness(pl_module.device):
            batches, each = enumerate(loader), wanted
            if isinstance(loader, Ordered):  # of which iterating would give the batches of this process
                count = math.ceil(loader.count / loader.batch_size)
                numbers = range(0, count, max(count // wanted, 1))
                batches, each = ((number, loader[number]) for number in numbers), math.ceil(wanted / len(numbers))
            for number, batch in batches:
                if len(groups) >= wanted or not len(batch[0]):
                    break
                batch = trainer.precision_plugin.convert_input(type(batch)(*(field[:each] for field in batch)))
                outputs = pl_module.validation_step(trainer.strategy.batch_to_device(batch), number)
                parts = side_by_side(*(outputs[name] for name in ("source", "fake", "real")[:wide]))
                groups += list(torch.stack(parts, 1))  # one of (wide, 3, H, W) for each image
        groups = groups[:wanted]
        sides = [min(max((group.shape[side] for group in groups), default=0), MOST) for side in (-2, -1)]
        tiles = [centred(group, *sides) for group in groups]
        return image_grid(torch.cat(tiles), across * wide) if tiles else None
