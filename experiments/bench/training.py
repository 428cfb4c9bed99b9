"""Our training against the plain loops."""

import copy
import gc
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from typing import Any, NamedTuple

import lightning as L
import torch
from torch.nn.functional import softplus
from tqdm import tqdm

from datamodules import Labelled, Paired, Unpaired
from datamodules.base import Data
from experiments.bench import plain
from experiments.bench.fitting import Doubles, Noise, fit
from lit_gans import DCGAN, GAN, R3GAN, SNGAN, BigGAN, CycleGAN, Pix2Pix
from lit_gans.base import AdversarialModule
from lit_gans.ema import update_ema
from lit_gans.networks import (
    BigGANDiscriminator,
    BigGANGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)

CONSTANT = {"generator_lr": 2e-4, "discriminator_lr": 2e-4, "ema_half_life": 10_000, "ema_ramp": None}
"""Numbers for which some papers have a schedule."""


class Pair(NamedTuple):
    """A variant, made from the shapes of the data, the plain loop of the same arithmetic, and data of some size."""

    model: Callable[..., AdversarialModule]
    loop: Callable[..., None]
    data: Callable[..., Data] = partial(Noise, batch_size=64)


PAIRS = {
    "DCGAN": Pair(partial(DCGAN, **CONSTANT), plain.dcgan),
    "SNGAN": Pair(
        partial(
            SNGAN,
            generator=partial(ResNetGenerator, width=12),
            discriminator=partial(ResNetDiscriminator, width=12),
            **CONSTANT,
        ),
        plain.sngan,
    ),
    "BigGAN": Pair(
        partial(
            BigGAN,
            generator=partial(BigGANGenerator, width=8, shared_dim=32),
            discriminator=partial(BigGANDiscriminator, width=8),
            **CONSTANT,
        ),
        plain.biggan,
    ),
    "R3GAN": Pair(
        partial(
            R3GAN,
            generator=partial(R3GANGenerator, width=16, blocks=1),
            discriminator=partial(R3GANDiscriminator, width=16, blocks=1),
            gamma=0.05,
            beta2=0.9,
            **CONSTANT,
        ),
        plain.r3gan,
    ),
    "Pix2Pix": Pair(Pix2Pix, plain.pix2pix, partial(Doubles, Paired)),
    "CycleGAN": Pair(CycleGAN, plain.cyclegan, partial(Doubles, Unpaired)),
}
"""The papers' networks: those for 32 pixels with residual blocks narrow enough for a CPU, translators in full."""


def seconds(work: Callable[[], object]) -> float:
    """Wall clock of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compared(sides: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, float], float]:
    """The share that the first side's time is of each other's, and its seconds.

    Medians of rounds, each in the other order, after one that does not count.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in tqdm(range(rounds + 1), "against each other", leave=False):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            times[name].append(seconds(sides[name]))
    ours, *others = (times[name][1:] for name in sides)
    shares = [statistics.median(o / t for o, t in zip(ours, theirs, strict=True)) for theirs in others]
    return dict(zip(list(sides)[1:], shares, strict=True)), statistics.median(ours)


def against(sides: dict[str, Callable[[], object]], rounds: int) -> str:
    """The same in words."""
    shares, ours = compared(sides, rounds)
    return f"{', '.join(f'{share:.2f} of {name} time' for name, share in shares.items())} ({ours:.2f} s)"


def shapes(data: Data) -> dict[str, Any]:
    """What a variant is told of the data."""
    of_source = {"source_shape": data.source_shape} if data.source_shape else {"num_classes": data.num_classes}
    return {"image_shape": data.image_shape} | of_source


def training(name: str, image_size: int, steps: int, rounds: int) -> str:
    """Images per second of our step against the plain loop's."""
    pair = PAIRS[name]
    data = pair.data(image_size=image_size)
    data.setup()
    batches = list(islice(cycle(data.train_dataloader()), steps))
    model = pair.model(**shapes(data))
    ours, theirs = [], []
    for number in tqdm(range(rounds), f"{name} at {image_size} pixels", leave=False):
        sides = [
            (theirs, lambda: seconds(partial(pair.loop, copy.deepcopy(model), batches))),
            (ours, lambda: fit(copy.deepcopy(model), data, steps)),
        ]
        for times, run in sides[:: -1 if number % 2 else 1]:  # who comes second finds its memory warm
            times.append(run())
            gc.collect()  # a trainer and its model hold each other
    ratio = statistics.median(p / o for p, o in zip(theirs, ours, strict=True))
    speed = steps * data.batch_size / statistics.median(ours)
    return f"{name} {image_size}: {ratio:.3f} of the plain loop's images/s ({speed:.3g} images/s)"


class Bare(L.LightningModule):
    """What any two-player module costs in Lightning: manual optimization with nothing but the two steps."""

    def __init__(self, game: GAN) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.game = game

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
        update_ema(self.game.ema, generator, 0.5 ** (len(batch.image) / 10_000))

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
    model = GAN(image_shape=data.image_shape, **CONSTANT)
    theirs, bare, ours = [], [], []
    for _round in tqdm(range(rounds), "overhead", leave=False):
        theirs.append(seconds(partial(plain.dcgan, copy.deepcopy(model), batches)))
        bare.append(fit(Bare(copy.deepcopy(model)), data, 2 * steps))  # Lightning counts both optimizers
        ours.append(fit(copy.deepcopy(model), data, steps))
    extra = [
        1000 * statistics.median(o - p for o, p in zip(side, theirs, strict=True)) / steps for side in (ours, bare)
    ]
    return (
        f"Trainer and logging: {extra[0]:.2f} ms per step, {extra[1]:.2f} ms of it Lightning's own; "
        f"the plain step takes {1000 * statistics.median(theirs) / steps:.2f} ms"
    )
