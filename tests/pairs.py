"""Pairs of images, and the smallest model that translates one into the other."""

import lightning as L
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from datamodules.batches import Paired
from datamodules.stream import Ordered
from lit_gans.base import AdversarialModule
from lit_gans.metrics import PairQuality
from tests.conftest import trainer


class Dealt(Ordered):
    """Whole batches in order, dealt to the processes in turn."""

    def __init__(self, pairs, batch_size, rank, world_size):
        super().__init__(len(pairs), batch_size=batch_size, rank=rank, world_size=world_size)
        self.pairs = pairs

    @property
    def images(self):
        return levels(torch.cat([target for _, target in self.pairs]))

    def part(self, start, stop):
        part = self.pairs[start:stop]
        empty = [torch.empty(0, *one.shape[1:]) for one in self.pairs[0]]
        return Paired(*(torch.cat(side) for side in zip(*part, strict=True))) if part else Paired(*empty)


class Shared(Dealt):
    """All batches, of an even number of images, of which each process takes its half."""

    def __len__(self):
        return -(-len(self.pairs) // self.batch_size)

    def __getitem__(self, number):
        whole, world = super().__getitem__(number), self.world_size
        return Paired(*(side.chunk(world)[self.rank] for side in whole))

    def __iter__(self):
        return map(self.__getitem__, range(len(self)))


class Pairs(L.LightningDataModule):
    """The same pairs [(source (1, c, h, w), target (1, C, H, W)), ...] to train and to test on."""

    name = "pairs"

    def __init__(self, pairs, batch_size=2):
        super().__init__()
        self.pairs, self.batch_size = pairs, batch_size

    def reference_dataloader(self, split):
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return Dealt(self.pairs, self.batch_size, rank, world_size)

    def train_dataloader(self):
        of_all = self.reference_dataloader("train")
        even = self.pairs[: max(len(self.pairs) // 2 * 2, 1)]
        return Shared(even, of_all.batch_size, of_all.rank, of_all.world_size)

    val_dataloader = test_dataloader = lambda self: self.reference_dataloader("test")


class PlainPairs(Pairs):
    """With torch's own loader for validation, which draws a seed when it is iterated."""

    def val_dataloader(self):
        def join(rows):
            return Paired(*map(torch.cat, zip(*rows, strict=True)))

        return DataLoader(self.pairs, self.batch_size, collate_fn=join)


class Shift(nn.Module):
    """Adds a learned number, and enlarges without blur."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.number = scale, nn.Parameter(torch.tensor(0.1))

    def forward(self, images):
        images = images.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        return (images + self.number).clamp(-1, 1)


class Translator(AdversarialModule):
    """Shifts sources; what its discriminator says does not matter."""

    def __init__(self, *, scale: int = 1, paired: bool = True, channels: int = 3):
        super().__init__(generator=Shift(scale), discriminator=nn.Linear(1, 1), generator_lr=0.04, ema_half_life=0)
        self.paired, self.channels = paired, channels

    def discriminator_loss(self, batch):
        return {"weight": self.discriminator.weight.square().sum()}

    def generator_loss(self, batch):
        return {"l1": F.l1_loss(self.generator(batch.source[:, : self.channels]), batch.target)}

    def validation_step(self, batch, batch_idx):
        fake = self.ema(batch.source[:, : self.channels])
        return {"source": batch.source, "fake": fake, "real": batch.target}


def levels(images):
    return (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


def from_levels(images):
    return images.float() / 127.5 - 1


def noise(count, channels=3, size=16, *, seed=0, scale=1):
    """`count` pairs of smooth noise, sources smaller by `scale`."""
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for _ in range(count):
        target = torch.rand(1, channels, size, size, generator=generator)
        source = F.avg_pool2d(target + 0.1 * torch.rand(target.shape, generator=generator), scale)
        pairs.append(tuple(from_levels(levels(one.clamp(0, 1) * 2 - 1)) for one in (source, target)))
    return pairs


WHOLE = {"limit_val_batches": 1.0, "limit_test_batches": 1.0}


def validated(model, pairs, *, batch_size=2, callback=None, **kwargs):
    """What a validation logs, without `val/`, and the callback."""
    callback = callback or PairQuality(shown=0)
    run = trainer(callbacks=[callback], **WHOLE, **kwargs)
    run.validate(model, Pairs(pairs, batch_size), verbose=False)
    return {name.removeprefix("val/"): value.item() for name, value in run.callback_metrics.items()}, callback


def fitted(model, pairs, *, steps=4, callbacks=(), ckpt_path=None, batch_size=2, **kwargs):
    run = trainer(
        max_steps=steps, callbacks=callbacks, val_check_interval=2, check_val_every_n_epoch=None, **WHOLE, **kwargs
    )
    run.fit(model, Pairs(pairs, batch_size), ckpt_path=ckpt_path)
    return {name: value.item() for name, value in run.callback_metrics.items()}
