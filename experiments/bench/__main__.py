"""Speed and memory as ratios inside one run: `python -m experiments.bench [--quick]`.

Each comparison alternates the two sides, so that a machine that slows down slows both; the medians are compared.
"""

import argparse
import copy
import logging
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from torch.nn.functional import softplus
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from tqdm import tqdm

from datamodules import ImageData, Labelled
from datamodules.stream import Stream
from lit_gans import DCGAN, GAN
from lit_gans.ema import ema_decay, update_ema

BATCH = 64


class Noise(ImageData):
    """Random colour images, as many as a short run needs."""

    name, channels, num_classes = "noise", 3, 10

    def load(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Random bytes and labels."""
        images = torch.randint(256, (4096, 3, self.image_size, self.image_size), dtype=torch.uint8)
        return images, torch.randint(10, (4096,))


def plain_steps(model: DCGAN, batches: list[Labelled]) -> None:
    """The same arithmetic in a plain loop: D's step, G's step, the averaged generator."""
    generator, discriminator = model.generator, model.discriminator
    optimizers = [torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999)) for network in (generator, discriminator)]
    seen = 0
    for batch in batches:
        generator.requires_grad_(False)
        optimizers[1].zero_grad(set_to_none=True)
        fake = generator(torch.randn(len(batch.image), 100))
        loss = softplus(-discriminator(batch.image)).mean() + softplus(discriminator(fake)).mean()
        loss.backward()
        optimizers[1].step()
        generator.requires_grad_(True)
        discriminator.requires_grad_(False)
        optimizers[0].zero_grad(set_to_none=True)
        softplus(-discriminator(generator(torch.randn(len(batch.image), 100)))).mean().backward()
        optimizers[0].step()
        discriminator.requires_grad_(True)
        seen += len(batch.image)
        update_ema(model.ema, generator, ema_decay(len(batch.image), 10_000, seen, 0.05))


class Stopwatch(L.Callback):
    """Seconds from the first batch to the last."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts."""
        self.began = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops."""
        self.seconds = time.perf_counter() - self.began


def fit(model: L.LightningModule, data: ImageData, steps: int, *callbacks: L.Callback) -> float:
    """Seconds that our training takes, with a log row as often as by default."""
    watch = Stopwatch()
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=DummyLogger(),
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch, *callbacks],
    )
    trainer.fit(model, data)
    return watch.seconds


def seconds(work: Callable[[], object]) -> float:
    """Wall clock of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def training(image_size: int, steps: int, rounds: int) -> str:
    """Images per second of our step against the plain loop's."""
    data = Noise(image_size=image_size, batch_size=BATCH)
    data.setup()
    batches = list(islice(cycle(data.train_dataloader()), steps))
    model = DCGAN(image_shape=data.image_shape, num_classes=10)
    ours, plain = [], []
    for _round in tqdm(range(rounds), f"training at {image_size} pixels", leave=False):
        copies = [copy.deepcopy(model) for _side in range(2)]
        plain.append(seconds(lambda: plain_steps(copies[0], batches)))  # noqa: B023 (called at once)
        ours.append(fit(copies[1], data, steps))
    ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
    speed = steps * BATCH / statistics.median(ours)
    return f"DCGAN {image_size}: {ratio:.3f} of the plain loop's images/s ({speed:.0f} images/s)"


class Bare(L.LightningModule):
    """What any two-player module costs in Lightning: manual optimization with nothing but the two steps."""

    def __init__(self, game: GAN) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.game, self.seen = game, 0

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """As in the plain loop."""
        return self.game.configure_optimizers()

    def training_step(self, batch: Labelled, batch_idx: int) -> None:
        """The discriminator's step and the generator's."""
        generator, discriminator = self.game.generator, self.game.discriminator
        of_generator, of_discriminator = self.optimizers()
        with self.toggled_optimizer(of_discriminator):
            fake = generator(torch.randn(len(batch.image), 100))
            loss = softplus(-discriminator(batch.image)).mean() + softplus(discriminator(fake)).mean()
            self.step(of_discriminator, loss)
        with self.toggled_optimizer(of_generator):
            fake = generator(torch.randn(len(batch.image), 100))
            self.step(of_generator, softplus(-discriminator(fake)).mean())
        self.seen += len(batch.image)
        update_ema(self.game.ema, generator, ema_decay(len(batch.image), 10_000, self.seen, 0.05))

    def step(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        """One player moves."""
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        optimizer.step()


def overhead(steps: int, rounds: int) -> str:
    """What Trainer, phases and log rows add to a step that has next to nothing to compute."""
    data = Noise(image_size=8, batch_size=2)
    data.setup()
    batches = list(islice(cycle(data.train_dataloader()), steps))
    model = GAN(image_shape=data.image_shape)
    plain, bare, ours = [], [], []
    for _round in tqdm(range(rounds), "overhead", leave=False):
        plain.append(seconds(lambda: plain_steps(copy.deepcopy(model), batches)))
        bare.append(fit(Bare(copy.deepcopy(model)), data, 2 * steps))  # Lightning counts both optimizers
        ours.append(fit(copy.deepcopy(model), data, steps))
    extra = [1000 * statistics.median(o - p for o, p in zip(side, plain, strict=True)) / steps for side in (ours, bare)]
    return (
        f"Trainer and logging: {extra[0]:.2f} ms per step, {extra[1]:.2f} ms of it Lightning's own; "
        f"the plain step takes {1000 * statistics.median(plain) / steps:.2f} ms"
    )


def loading(count: int, rounds: int) -> str:
    """MNIST alone: our loader against torchvision's dataset in a DataLoader, on generated bytes of the same size."""
    images, labels = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8), torch.zeros(count, dtype=torch.long)
    stream = Stream(images, labels, seed=0, batch_size=128)
    with tempfile.TemporaryDirectory() as folder:
        theirs = torchvision_mnist(Path(folder), images, labels)
        loader = DataLoader(theirs, batch_size=128, shuffle=True)
        ratios = []
        for _round in tqdm(range(rounds), "loading", leave=False):
            slow = seconds(lambda: [None for _batch in loader])
            ratios.append(slow / seconds(lambda: [None for _batch in stream]))
    return f"MNIST loader: {statistics.median(ratios):.0f} times torchvision's with a DataLoader"


def torchvision_mnist(folder: Path, images: torch.Tensor, labels: torch.Tensor) -> datasets.MNIST:
    """Torchvision's MNIST over these images, in the file format of the original."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        header = b"".join(number.to_bytes(4, "big") for number in (0x803, len(images), 28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + images.numpy().tobytes())
        header = b"".join(number.to_bytes(4, "big") for number in (0x801, len(labels)))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.byte().numpy().tobytes())
    scale = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    return datasets.MNIST(folder, transform=scale)


class Memory(L.Callback):
    """Peak resident memory after 500 steps and at the end."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: object) -> None:
        """Looks."""
        self.last = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if trainer.global_step == 500:
            self.early = self.last


def memory(steps: int) -> str:
    """Growth of a long run of tiny steps."""
    watch = Memory()
    fit(GAN(image_shape=(3, 8, 8)), Noise(image_size=8, batch_size=2), steps, watch)
    return f"Memory: {100 * (watch.last / watch.early - 1):.2f} % growth from step 500 to step {steps}"


def main() -> None:
    """Runs all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that it works")
    rounds = 1 if parser.parse_args().quick else 7
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    print(f"torch {torch.__version__}, lightning {L.__version__}, {torch.get_num_threads()} threads")
    print(memory(600 if rounds == 1 else 10_000), flush=True)
    print(overhead(50 * rounds, rounds), flush=True)
    print(loading(1280 if rounds == 1 else 60_000, min(rounds, 3)), flush=True)
    print(training(32, 2 if rounds == 1 else 20, rounds), flush=True)
    print(training(64, 1 if rounds == 1 else 10, rounds), flush=True)


if __name__ == "__main__":
    main()
