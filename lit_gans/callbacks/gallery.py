"""A page of test images with inputs, outputs and targets, to look at and to sort by how near they are."""

import math
import shutil
from html import escape
from pathlib import Path
from secrets import token_hex
from string import Template
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torchvision.io import write_png

from lit_gans.errors import at_least
from lit_gans.files import replacing
from lit_gans.metrics.baselines import BASELINES
from lit_gans.metrics.fidelity import PairQuality
from lit_gans.metrics.score import first_place
from lit_gans.pictures import image_channels, levels

VALUES = {"psnr": ("PSNR (dB)", 2), "ssim": ("SSIM", 4), "l1": ("L1", 4)}
"""What is told of each image: its title, and digits after the point."""


class Gallery(Callback):
    """Writes `gallery/index.html` at the end of a test of an image-to-image model: inputs, outputs and targets.

    The page needs no network; the images lie beside it. Rows carry the place of the image in the split and, where
    `PairQuality` measures, PSNR, SSIM and L1, by which they can be sorted. The page of an earlier test stays whole
    until the new one takes its place.

    Args:
        images: Number of images, the first ones; 0 for no gallery.
    """

    def __init__(self, *, images: int = 500) -> None:
        at_least(0, images=images)
        self.images = images

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Names a new folder for the images, the same for all processes."""
        self.written = 0
        self.titles = ("input", "output", "target")[: 3 if getattr(pl_module, "paired", True) else 2]
        self.folder = Path(trainer.default_root_dir, "gallery", trainer.strategy.broadcast(f"images-{token_hex(4)}"))

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: int
    ) -> None:
        """Writes the images of the batch."""
        if "source" not in (outputs or ()) or (start := first_place(trainer, batch_idx)) >= self.images:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for title, name in zip(self.titles, ("source", "fake", "real"), strict=False):
            images = levels(image_channels(outputs[name], 1))[: self.images - start].cpu()
            for number, image in enumerate(images):
                write_png(image, str(self.folder / file_name(start + number, title)))
        self.written += len(images)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the page, when all processes have written their images."""
        written = torch.tensor(self.written, device=trainer.strategy.root_device)
        count = int(trainer.strategy.reduce(written, reduce_op="sum"))
        if not count or not trainer.is_global_zero:
            return
        measured = next((each.per_image for each in trainer.callbacks if isinstance(each, PairQuality)), {})
        means = {name: value.item() for name, value in trainer.callback_metrics.items()}
        with replacing(self.folder.parent / "index.html") as temporary:
            temporary.write_text(self.page(type(pl_module).__name__, pl_module.images_seen, count, measured, means))
        for folder in self.folder.parent.glob("images-*"):
            if folder != self.folder:
                shutil.rmtree(folder)

    def page(
        self, model: str, images_seen: int, count: int, measured: dict[str, list[float]], means: dict[str, float]
    ) -> str:
        """The page of the first `count` images.

        Args:
            model: Name of its class.
            images_seen: In its training.
            count: Number of rows.
            measured: Values of each image by name, with their `place`; may be empty.
            means: All that the test logged.
        """
        names = [name for name in VALUES if name in measured]
        found = zip(measured.get("place", ()), *(measured[name] for name in names), strict=True)
        by_place = {place: values for place, *values in found}
        heads = [header("image"), *(header(VALUES[name][0]) for name in names), *map(plain_header, self.titles)]
        rows = []
        for place in range(count):
            cells = [number(place, 0)]
            cells += [number(by_place[place][k], VALUES[name][1]) for k, name in enumerate(names)]
            cells += [picture(f"{self.folder.name}/{file_name(place, title)}", title, place) for title in self.titles]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        run = self.folder.absolute().parent.parent.name
        return Template(Path(__file__).with_name("gallery.html").read_text()).substitute(
            title=escape(run),
            about=escape(f"{model} after {images_seen / 1000:.3f} kimg, {count} test images"),
            means=table_of_means(means, names),
            heads="".join(heads),
            rows="\n".join(rows),
        )


def file_name(place: int, title: str) -> str:
    """Of one image."""
    return f"{place:05}-{title}.png"


def table_of_means(means: dict[str, float], names: list[str]) -> str:
    """The means of the model, and of outputs without a model, over all test images; nothing without names."""
    titles = {"": "this model", **{f"{name}_": f"{name}: {what}" for name, what in BASELINES.items()}}
    rows = []
    for prefix, title in titles.items():
        cells = [number(means.get(f"test/{prefix}{name}", math.nan), VALUES[name][1]) for name in names]
        if f"test/{prefix}psnr" in means:
            rows.append(f'<tr><th scope="row">{escape(title)}</th>{"".join(cells)}</tr>')
    heads = "".join(map(plain_header, ["mean of", *(VALUES[name][0] for name in names)]))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>" if names else ""


def header(title: str) -> str:
    """Of a column that can be sorted by."""
    return f'<th scope="col"><button type="button">{escape(title)}</button></th>'


def plain_header(title: str) -> str:
    """Of any other column."""
    return f'<th scope="col">{escape(title)}</th>'


def number(value: float, digits: int) -> str:
    """A cell; JavaScript reads its `data-value`."""
    read = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN" if math.isnan(value) else repr(value))
    shown = "–" if math.isnan(value) else f"{value:.{digits}f}"
    return f'<td data-value="{read}">{shown}</td>'


def picture(path: str, title: str, place: int) -> str:
    """A cell with an image that leads to its file."""
    return f'<td><a href="{path}"><img src="{path}" alt="{title} of image {place}" loading="lazy"></a></td>'
