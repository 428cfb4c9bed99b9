import os
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_SILENT"] = "true"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import lightning as L
import pytest
import torch
from torch import Tensor

from datamodules import ImageData
from lit_gans import GAN
from lit_gans.networks import MLPDiscriminator, MLPGenerator
from tests import studies

torch.set_num_threads(1)
warnings.filterwarnings("ignore", module="lightning")


pytest_plugins = ["tests.photos", "tests.compared", "tests.pages"]


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    """No test reads or writes outside its own folder."""
    monkeypatch.setenv("LIT_GANS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch):
    """Drawing them takes longer than a small training."""
    monkeypatch.setattr("lit_gans.callbacks.monitor.draw_curves", lambda rows, panels, path: path.touch())


@pytest.fixture
def small_study(monkeypatch):
    """It lies here, and is trained by a small program."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setattr("lit_gans.study.FIT", studies.FIT)
    monkeypatch.setattr("lit_gans.verbs.study.parse", studies.parse)
    studies.FILE.write_text(studies.STUDY)


class Noise(ImageData):
    """Forty random grey images of 8 x 8 pixels in three classes, and thirteen to test on."""

    name, channels, num_classes = "noise", 1, 3

    def __init__(self, *, image_size: int = 8, batch_size: int = 8, count: int = 40, **common) -> None:
        super().__init__(image_size=image_size, batch_size=batch_size, **common)
        self.count = count

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        count = self.count if split == "train" else 13
        generator = torch.Generator().manual_seed(count)
        images = torch.randint(256, (count, 1, self.image_size, self.image_size), generator=generator)
        return images.to(torch.uint8), torch.arange(count) % 3


def small_generator(image_shape, num_classes=0, attention=0, **kwargs):
    return MLPGenerator(image_shape, num_classes, latent_dim=4, widths=(8,), **kwargs)


def small_discriminator(image_shape, num_classes=0, attention=0, wide=False, **kwargs):
    return MLPDiscriminator(image_shape, num_classes, widths=(8,), **kwargs)


SMALL = {"generator": small_generator, "discriminator": small_discriminator}
"""Networks without batch statistics, for any variant."""


def small_gan(cls=GAN, seed=0, **kwargs):
    torch.manual_seed(seed)
    defaults = {"image_shape": (1, 8, 8), "num_classes": 3}
    return cls(**defaults | SMALL | kwargs)


def trainer(**kwargs) -> L.Trainer:
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "max_steps": 3,
        "default_root_dir": os.getcwd(),
    }
    return L.Trainer(**quiet | kwargs)


def fit(model, *, steps=3, data=None, **kwargs):
    run = trainer(max_steps=steps, **kwargs)
    run.fit(model, data or Noise())
    return run


class SavedAt(L.Callback):
    """Saves before batch `at`, as `Checkpoint` does; the run goes on."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_start(self, trainer, module, *args):
        if trainer.global_step == self.at:
            trainer.save_checkpoint("cut.ckpt")


def same(one, other) -> bool:
    """Whether two trees of tensors and plain values are equal bit for bit."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other
