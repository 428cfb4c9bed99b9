"""The validation callback of image-to-image models: how near each output is to its target."""

import math
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from torch import Tensor
from torchmetrics.classification import MulticlassJaccardIndex
from torchvision.transforms.v2.functional import pil_to_tensor

from lit_gans.errors import UserError, at_least
from lit_gans.files import replacing
from lit_gans.metrics import lpips as learned
from lit_gans.metrics.baselines import BASELINES, Baselines
from lit_gans.metrics.extremes import Extremes, draw
from lit_gans.metrics.labels import classes, palette
from lit_gans.metrics.pairwise import PAIRWISE, SETTINGS, SMALLEST, compare
from lit_gans.metrics.protocol import Description, tell
from lit_gans.metrics.score import Collected, first_place, home
from lit_gans.pictures import image_channels, levels
from lit_gans.precision import without_autocast, without_tf32
from lit_gans.randomness import untouched_randomness

OUTPUTS = ("", *(f"{name}_" for name in BASELINES))
"""Prefixes of the values: of the model's outputs, of those without a model."""


class Rows(NamedTuple):
    """What is known of each image.

    Attributes:
        values: (N, K), float64, a column for each name; NaN where there is none.
        content: (N,), int64, digests of source and target.
        place: (N,), places in the sequence of all processes' images.
    """

    values: Tensor
    content: Tensor
    place: Tensor


class Table(Collected):
    """The rows of all processes in their order."""

    def __init__(self) -> None:
        super().__init__("values", "content")

    def compute(self) -> Rows:
        """All rows."""
        return Rows(self.collected("values"), self.collected("content"), self.collected("place"))

    def rows(self) -> Rows:
        """All rows, also if it is one: of tensors of one number, `compute` leaves the number."""
        values, content, place = self.compute()
        return Rows(values, content.view(-1), place.view(-1))


class PairQuality(Callback):
    """Logs at each validation and test how near outputs are to their targets; for image-to-image models with pairs.

    Those return from `validation_step` (or `test_step`) `{"source": images, "fake": outputs, "real": targets}`; others,
    and those whose `paired` is False, are left alone. Each image has its own value, whatever its size and whichever
    process measured it, and what is logged is the mean: `val/psnr`, `psnr_y`, `ssim`, `ssim_y`, `ms_ssim` and `l1`, see
    `compare`. Images too small for one of them don't count in it. Beside them stand those of outputs without a model:
    `val/bicubic_psnr` and so on of the enlarged source where outputs are larger; else `val/copy_...` of the source
    itself, where it has the channels of the target, and `val/mean_...` of the mean training image.

    While fitting, `best/psnr` is the largest so far, `best/psnr_of` the number of validations that it is the best of,
    and `samples/extremes-kimg-<kimg>.png` shows the outputs of smallest and largest PSNR with their values. In a test
    `test/` takes the place of `val/`. `protocols.json` in the run directory tells of each value how it was made; equal
    hashes compare. The training's random state stays as it is.

    Args:
        shave: Width in pixels of the border that `psnr_y` and `ssim_y` leave out; by default the factor by which
            outputs are larger than sources, and 0 where they are not.
        lpips: Also log `val/lpips` ("alex") or `val/lpips_vgg` ("vgg"), whose weights must be there.
        miou: For targets whose colours stand for classes: also log `val/miou`, the mean over classes of intersection
            over union, summed over all images; each pixel is of the class of the nearest colour.
        baselines: Whether to measure outputs without a model.
        shown: Number of worst and of best outputs that are shown.

    Attributes:
        descriptions: How each of the latest values was made, by name; empty before the first.
        per_image: The latest values of each image in order, by name, and its `place` among them.

    Raises:
        UserError: when the run starts: weights of LPIPS cannot be had; when measuring: outputs have not the shape of
            their targets, or `miou` of targets whose colours stand for nothing.
    """

    def __init__(
        self,
        *,
        shave: int | None = None,
        lpips: learned.Backbone | None = None,
        miou: bool = False,
        baselines: bool = True,
        shown: int = 8,
    ) -> None:
        at_least(0, shave=shave or 0, shown=shown)
        self.shave, self.lpips, self.miou, self.baselines, self.shown = shave, lpips, miou, baselines, shown
        self.best_psnr, self.validations = -math.inf, 0
        self.descriptions: dict[str, Description] = {}
        self.per_image: dict[str, list[float]] = {}
        self._settings: dict[str, Description] = dict(SETTINGS)
        self._names = [*PAIRWISE, *{"alex": ["lpips"], "vgg": ["lpips_vgg"]}.get(lpips, [])]
        self._columns = [prefix + name for prefix in OUTPUTS for name in self._names] + ["shave"]
        self._warned: set[str] = set()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Builds LPIPS, and forgets what is known of the data: they may be others now."""
        self._constant: dict[str, dict[str, float]] = {}
        self._palettes: dict[str, Tensor] = {}
        self._without_model = Baselines(trainer.datamodule)
        if self.lpips:
            self._distance = learned.LPIPS(self.lpips).to(trainer.strategy.root_device)
            self._settings[self._names[-1]] = self._distance.settings

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins with empty tables."""
        self._measures, self.per_image = False, {}
        if trainer.sanity_checking or not getattr(pl_module, "paired", True):
            return
        device, stage = trainer.strategy.root_device, _stage(trainer)
        nothing = torch.empty(0, dtype=torch.long)
        with torch.inference_mode():
            self._table, self._extremes = Table().to(home(device)), Extremes(self.shown).to(device)
            self._table.update(Rows(torch.empty(0, len(self._columns)).double(), nothing, nothing))
            if self.miou:
                if stage not in self._palettes:
                    loader = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
                    with untouched_randomness(device):
                        self._palettes[stage] = palette(
                            (batch.target for batch in loader),
                            lambda counts: trainer.strategy.reduce(counts.to(device), reduce_op="sum"),
                        )
                count = len(self._palettes[stage])
                self._agreement = {each: MulticlassJaccardIndex(count).to(device) for each in OUTPUTS}
                for agreement in self._agreement.values():
                    agreement.update(nothing.to(device), nothing.to(device))

    on_test_start = on_validation_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: int
    ) -> None:
        """Measures the images of the batch."""
        if trainer.sanity_checking or not getattr(pl_module, "paired", True) or "source" not in (outputs or ()):
            return
        self._measures = True
        images = [outputs[key] for key in ("source", "fake", "real")]
        if len(images[0]):
            with torch.inference_mode(), without_autocast(images[0].device), without_tf32():
                self._add(trainer, first_place(trainer, batch_idx), *images)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Computes the means over all processes, and logs."""
        if self._measures:
            with torch.inference_mode():
                values = self._evaluate(trainer, pl_module)
            pl_module.log_dict(values, sync_dist=True)

    on_test_epoch_end = on_validation_epoch_end

    def state_dict(self) -> dict[str, float]:
        """The best PSNR so far, and of how many."""
        return {"best_psnr": self.best_psnr, "validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Takes up the best PSNR of an earlier run."""
        self.best_psnr, self.validations = state_dict["best_psnr"], state_dict["validations"]

    def _add(self, trainer: Trainer, start: int, source: Tensor, fake: Tensor, real: Tensor) -> None:
        place, target = torch.arange(start, start + len(real)), levels(real)
        larger = fake.shape[-1] // source.shape[-1]
        shave = self.shave if self.shave is not None else larger * (larger > 1)
        columns = {"shave": torch.full((len(real),), float(shave))}
        outputs = {"": levels(fake)}
        if self.baselines and _stage(trainer) not in self._constant:  # which later passes would find the same
            outputs |= {f"{name}_": images for name, images in self._without_model(source, real).items()}
        for prefix, output in outputs.items():
            values = compare(output.to(home(output.device)), target.to(home(target.device)), shave)
            if self.lpips and min(target.shape[-2:]) >= learned.SMALLEST:
                values[self._names[-1]] = self._distance(*(image_channels(one, 3) for one in (output, target)))
            if self.miou:
                colours = self._palettes[_stage(trainer)]
                self._agreement[prefix].update(classes(output, colours), classes(target, colours))
            columns |= {prefix + name: value for name, value in values.items()}
        missing = torch.full((len(real),), torch.nan)
        values = [columns.get(name, missing).double().cpu() for name in self._columns]
        self._table.update(Rows(torch.stack(values, 1), _digests(levels(source), target), place))
        if self.shown and trainer.state.fn == TrainerFn.FITTING:
            self._extremes.offer(columns["psnr"].tolist(), start, source, fake, real)

    def _evaluate(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        rows, stage = self._table.rows(), _stage(trainer)
        if not len(rows.place):
            raise UserError(f"{stage}: there are no images to measure")
        columns = dict(zip(self._columns, rows.values.cpu().T, strict=True))
        numbers = {name: int((~column.isnan()).sum()) for name, column in columns.items()}
        values = {name: column.nanmean().item() for name, column in columns.items() if numbers[name]}
        if self.miou:
            self._settings["miou"] = {"colours": " ".join(bytes(rgb.tolist()).hex() for rgb in self._palettes[stage])}
            found = {f"{prefix}miou": agreement.compute().item() for prefix, agreement in self._agreement.items()}
            found = {name: value for name, value in found.items() if name.replace("miou", "psnr") in values}
            values, numbers = values | found, numbers | dict.fromkeys(found, len(rows.place))
        self._warn({name: numbers[name] for name in SMALLEST}, len(rows.place))
        content = blake2b(rows.content.cpu().numpy().tobytes(), digest_size=8).hexdigest()
        self._describe(trainer, numbers, shave=int(values.pop("shave", 0)), content=content)
        constant = {name: value for name, value in values.items() if name.startswith(OUTPUTS[1:])}
        values |= self._constant.setdefault(stage, constant)
        self.per_image = {name: columns[name].tolist() for name in self._names if numbers[name]}
        self.per_image["place"] = rows.place.tolist()
        logged = {f"{stage}/{name}": value for name, value in values.items()}
        if trainer.state.fn == TrainerFn.FITTING:
            self.validations += 1
            self.best_psnr = max(self.best_psnr, values["psnr"])
            logged |= {"best/psnr": self.best_psnr, "best/psnr_of": float(self.validations)}
            tell(trainer, {f"val/{name}": made for name, made in self.descriptions.items()})
            if self.shown:
                self._show(trainer, pl_module, self._extremes.gather())
        return logged

    def _describe(self, trainer: Trainer, numbers: dict[str, int], *, shave: int, content: str) -> None:
        data = {"data": getattr(trainer.datamodule, "name", ""), "content": content}
        model = {"ema": True, "precision": str(trainer.precision)}
        for prefix in OUTPUTS:
            output = {"output": BASELINES[prefix[:-1]]} if prefix else model
            for name, settings in self._settings.items():
                if number := numbers.get(prefix + name):
                    border = {"shave": shave} if name.endswith("_y") else {}
                    self.descriptions[prefix + name] = {**data, "n": number, **output, **border, **settings}

    def _warn(self, numbers: dict[str, int], count: int) -> None:
        for name in [name for name, number in numbers.items() if number < count and name not in self._warned]:
            self._warned.add(name)
            rank_zero_warn(
                f"{name} wants images of at least {SMALLEST[name]} x {SMALLEST[name]} pixels: "
                f"{numbers[name] or 'none'} of {count} are counted"
            )

    @rank_zero_only
    def _show(self, trainer: Trainer, pl_module: LightningModule, tiles: dict[int, Tensor]) -> None:
        """Draws the extremes of all processes, the worst first and the best first."""
        order = sorted(range(len(self.per_image["place"])), key=self.per_image["psnr"].__getitem__)
        places = [self.per_image["place"][row] for row in order]
        captions = {}
        for row in order:
            found = {name: self.per_image[name][row] for name in ("psnr", "ssim", "l1") if name in self.per_image}
            values = "  ".join(f"{name} {value:.4g}" for name, value in found.items())
            captions[self.per_image["place"][row]] = f"#{self.per_image['place'][row]}  {values}"
        count = min(self.shown, max(len(places) // 2, 1))
        picture = draw(places[:count], places[::-1][:count], tiles, captions)
        kimg = pl_module.images_seen / 1000
        path = Path(trainer.default_root_dir) / "samples" / f"extremes-kimg-{kimg:010.3f}.png"
        with replacing(path) as temporary:
            picture.save(temporary, format="png")
        for logger in trainer.loggers:
            if hasattr(logger, "log_picture"):
                logger.log_picture("extremes", pil_to_tensor(picture) / 255, path, step=pl_module.turn, kimg=kimg)


def _stage(trainer: Trainer) -> str:
    return "test" if trainer.testing else "val"


def _digests(*images: Tensor) -> Tensor:
    """Numbers (N,) that stand for what is in the images of all batches (N, C, H, W), uint8."""
    found = []
    for parts in zip(*(batch.cpu() for batch in images), strict=True):
        digest = blake2b(digest_size=8)
        for part in parts:
            digest.update(f"{tuple(part.shape)}".encode() + part.numpy().tobytes())
        found.append(int.from_bytes(digest.digest(), "little", signed=True))
    return torch.tensor(found)
