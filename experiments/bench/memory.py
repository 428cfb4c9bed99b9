"""Memory: that of a long run, and the peak of each variant."""

import json
from inspect import isclass

import lightning as L
import torch
import yaml
from jsonargparse import auto_cli
from tqdm import tqdm

import datamodules
import lit_gans
from datamodules.base import Data
from experiments.bench.fitting import Noise, fit
from experiments.bench.processes import HERE, afresh, resident
from experiments.bench.training import shapes
from lit_gans import GAN
from lit_gans.base import AdversarialModule
from lit_gans.variants.translation import Translation

CLASSES = [getattr(lit_gans, name) for name in lit_gans.__all__]
VARIANTS = [cls.__name__ for cls in CLASSES if isclass(cls) and issubclass(cls, AdversarialModule)]


class Growth(L.Callback):
    """Peak resident memory after 500 steps and at the end."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: object) -> None:
        """Looks."""
        self.last = resident()
        if trainer.global_step == 500:
            self.early = self.last


def growth(steps: int) -> str:
    """Growth of a long run of tiny steps."""
    watch = Growth()
    fit(GAN(image_shape=(3, 8, 8)), Noise(image_size=8, batch_size=2), steps, watch)
    return f"Memory: {100 * (watch.last / watch.early - 1):.2f} % growth from step 500 to step {steps}"


def configured(name: str) -> tuple[AdversarialModule, Data]:
    """A variant as in its config for MNIST, with data of that size and batch; or a translator for the photographs."""
    translates = issubclass(getattr(lit_gans, name), Translation)
    folder = "photographs" if translates else "mnist"
    config = yaml.safe_load((HERE / "experiments" / "configs" / folder / f"{name.lower()}.yaml").read_text())
    options = config["data"]["init_args"]
    if translates:
        data = getattr(datamodules, config["data"]["class_path"])(**options)
    else:
        data = Noise(image_size=28, channels=1, batch_size=options["batch_size"])
    model = config["model"] if isinstance(config["model"], dict) else {"class_path": config["model"]}
    settings = model.setdefault("init_args", {})
    settings.update(shapes(data))
    if "pretrain_kimg" in settings:
        settings["pretrain_kimg"] = 0.0  # that both players are seen
    return auto_cli(built, args=["--model", json.dumps(model)], as_positional=False), data


def built(model: AdversarialModule) -> AdversarialModule:
    """The model that the parser has made."""
    return model


def measure(name: str, steps: int) -> str:
    """A row of the table, in a process that has done nothing before."""
    model, data = configured(name)
    data.setup()
    on_gpu = torch.cuda.is_available()
    before = torch.cuda.memory_allocated() / 2**20 if on_gpu else resident()
    fit(model, data, steps, accelerator="cuda" if on_gpu else "cpu")
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else resident()
    return f"| {name} | {data.batch_size} | {peak:.0f} | {peak - before:.0f} |"


def peaks(steps: int) -> str:
    """A table of the memory of each variant as configured, each trained in a process of its own."""
    kind = "allocated on the GPU" if torch.cuda.is_available() else "resident"
    rows = [f"| variant | batch | peak MiB {kind} | of it in training |", "|---|---|---|---|"]
    for name in tqdm(VARIANTS, "memory", leave=False):
        rows.append(afresh(f"from experiments.bench.memory import measure; print(measure({name!r}, {steps}))"))
    return "\n".join(rows)
