"""Photos of noise in files, and trained models for them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lit_gans
from lit_gans.callbacks import Checkpoint
from tests.conftest import Noise, trainer
from tests.translation import data_for, translator


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trains a model, once, and names its checkpoint."""
    made = {}

    def trained(name, data=None, **arguments):
        key = (name, repr(arguments))
        if key not in made:
            folder = tmp_path_factory.mktemp(name)
            model = lit_gans.GAN(image_shape=(1, 8, 8)) if name == "GAN" else translator(name, **arguments)
            steps = trainer(max_steps=1, callbacks=[Checkpoint()], default_root_dir=str(folder))
            steps.fit(model, data or (Noise() if name == "GAN" else data_for(name)))
            made[key] = str(folder / "checkpoints" / "last.ckpt")
        return made[key]

    return trained


def photo(path, height=13, width=10, mode="RGB", seed=0, **options):
    """Noise in a file; returns its levels."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    channels = len(Image.new(mode, (1, 1)).getbands())
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    Image.fromarray(levels.squeeze(2) if channels == 1 else levels, mode).save(path, **options)
    return levels


def tensor(levels):
    return torch.from_numpy(np.array(levels)).permute(2, 0, 1)[None]


def read(path):
    with Image.open(path) as image:
        return tensor(np.atleast_3d(np.asarray(image)))


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())
