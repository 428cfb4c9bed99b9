"""Training samples in an endless keyed order, evaluation samples in the order of the data, both in whole batches.

Batches are cut by NumPy: on work this small, torch's threads mostly wait for each other, and badly on a busy machine.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.batches import Labelled
from lit_gans.randomness import keyed_generator


@lru_cache(maxsize=4)  # drawn once per pass, not once per batch
def keyed_pass(seed: int, turn: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The order of the `turn`-th pass over `size` images, and which of its places are mirrored."""
    order = torch.randperm(size, generator=keyed_generator(seed, "order", turn))
    mirrored = torch.rand(size, generator=keyed_generator(seed, "flip", turn)) < 0.5
    return order.numpy(), mirrored.numpy()


def keyed_places(seed: int, size: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `size` images come at places first..first+count-1 of the endless order, and which are mirrored there.

    At place k comes `order[k % size]` of the `k // size`-th pass.
    """
    last = first + count
    orders, mirrors = [], []
    for turn in range(first // size, (last - 1) // size + 1):
        order, mirrored = keyed_pass(seed, turn, size)
        inside = slice(max(first - turn * size, 0), last - turn * size)
        orders.append(order[inside])
        mirrors.append(mirrored[inside])
    return np.concatenate(orders), np.concatenate(mirrors)


class Batches(ABC):
    """Batches that are made when they are asked for; `self[number]` is the share of this process.

    Not a DataLoader by intention: Lightning replaces the samplers of those when there are several processes.

    Args:
        count: samples in an epoch.
        batch_size: samples per batch, over all processes.
        rank: number of this process, in 0..world_size-1.
        world_size: how many processes share the data.
        num_workers: processes that make batches ahead; 0 makes them in this one.
    """

    def __init__(
        self, count: int, *, batch_size: int, rank: int = 0, world_size: int = 1, num_workers: int = 0
    ) -> None:
        self.count = count
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.num_workers = num_workers

    @abstractmethod
    def __getitem__(self, number: int) -> Any:
        """What this process has of the batch of that number, or the batch that is its own: a named tuple of tensors."""

    def numbered(self, numbers: Iterable[int]) -> Iterable[Any]:
        """The batches of these numbers, in order."""
        return DataLoader(
            self,
            batch_size=None,
            sampler=numbers,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else starting the loader draws from the global one, which the game owns
        )


class Endless(Batches):
    """Training samples without end; subclasses say in `samples` what the k-th is, by their seed and k only.

    Sample k is counted from 0 over all processes. Batch b of size B holds samples b*B..(b+1)*B-1, of which each process
    takes a contiguous part, so B is a multiple of `world_size`. An epoch is `max(count // B, 1)` batches; the order
    goes on over its end. Iterating yields an epoch's number of batches from the present position, which, in batches
    handed out, is the whole state; who stops earlier goes on from there. (Lightning does, in an epoch that it resumes
    or that is limited.)

    Args:
        count: samples in an epoch.
        **share: `batch_size` and the other arguments of `Batches`.
    """

    def __init__(self, count: int, **share: int) -> None:
        super().__init__(count, **share)
        self.position = 0

    @abstractmethod
    def samples(self, first: int, count: int) -> Any:
        """Samples first..first+count-1, as one batch."""

    def __len__(self) -> int:
        return max(self.count // self.batch_size, 1)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.numbered(range(self.position, self.position + len(self))):
            self.position += 1  # counted here and not where batches are made: workers are ahead
            yield batch

    def __getitem__(self, number: int) -> Any:
        share = self.batch_size // self.world_size
        return self.samples(number * self.batch_size + self.rank * share, share)

    def state_dict(self) -> dict[str, int]:
        """The number of batches handed out."""
        return {"batches": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on after `state["batches"]` batches."""
        self.position = state["batches"]


class Ordered(Batches):
    """Every sample once, in order; subclasses say in `part` what they are.

    Of w processes, process r takes the whole batches r, r+w, r+2w... Where batches begin and end does not depend on the
    number of processes; the last may be short. A process for which there is none has an empty one, since all must come
    to the end of an evaluation together.
    """

    @abstractmethod
    def part(self, start: int, stop: int) -> Any:
        """Samples start..stop-1 as one batch, which may be empty."""

    def __len__(self) -> int:
        return len(self._numbers())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.numbered(self._numbers()))

    def __getitem__(self, number: int) -> Any:
        start = min(number * self.batch_size, self.count)
        return self.part(start, min(start + self.batch_size, self.count))

    def _numbers(self) -> range:
        batches = -(-self.count // self.batch_size)
        return range(self.rank, max(batches, self.rank + 1), self.world_size)


class Stream(Endless):
    """The endless keyed order of labelled images: the k-th, and whether it is mirrored, depends on (seed, k) only.

    Each pass has each of the images once (see `keyed_places`); a batch may hold images of two passes.

    Args:
        images: uint8, (n, C, H, W); may be mapped from a file.
        labels: int64, (n,).
        seed: decides the order and the mirroring.
        flip: mirror half of the images left to right.
        **share: `batch_size` and the other arguments of `Batches`.
    """

    def __init__(self, images: Tensor, labels: Tensor, *, seed: int, flip: bool = False, **share: int) -> None:
        super().__init__(len(images), **share)
        self.images, self.labels = images, labels
        self.seed, self.flip = seed, flip

    def samples(self, first: int, count: int) -> Labelled:
        """Images first..first+count-1 of the order."""
        index, mirrored = keyed_places(self.seed, len(self.images), first, count)
        images = self.images.numpy()[index]
        if self.flip:
            images[mirrored] = images[mirrored, ..., ::-1]
        return as_batch(images, self.labels.numpy()[index])


class InOrder(Ordered):
    """Labelled images in the order of the data.

    Args:
        images: uint8, (N, C, H, W); may be mapped from a file.
        labels: int64, (N,).
        **share: `batch_size` and the other arguments of `Batches`.
    """

    def __init__(self, images: Tensor, labels: Tensor, **share: int) -> None:
        super().__init__(len(images), **share)
        self.images, self.labels = images, labels

    def part(self, start: int, stop: int) -> Labelled:
        """Images start..stop-1."""
        return as_batch(self.images[start:stop].numpy(), self.labels[start:stop].numpy())


def as_batch(images: np.ndarray, labels: np.ndarray) -> Labelled:
    """Bytes and classes as tensors."""
    return Labelled(torch.from_numpy(as_floats(images)), torch.from_numpy(labels))


def as_floats(images: np.ndarray) -> np.ndarray:
    """Bytes to float32 of the same shape, in [-1, 1]: 0 becomes -1, 255 becomes 1."""
    pixels = images.astype(np.float32)
    pixels /= 127.5
    pixels -= 1
    return pixels
