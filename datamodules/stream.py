"""Training images in an endless keyed order, evaluation images in the order of the data, both in whole batches.

Batches are cut by NumPy: on work this small, torch's threads mostly wait for each other, and badly on a busy machine.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.batches import Labelled
from lit_gans.randomness import keyed_generator


@lru_cache(maxsize=4)  # drawn once per pass, not once per batch
def keyed_pass(seed: int, turn: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The order of the `turn`-th pass over `count` images, and which of its places are mirrored."""
    order = torch.randperm(count, generator=keyed_generator(seed, "order", turn))
    mirrored = torch.rand(count, generator=keyed_generator(seed, "flip", turn)) < 0.5
    return order.numpy(), mirrored.numpy()


class Batches:
    """Images and labels, from which subclasses cut their batches; `self[number]` is the share of this process.

    Not a DataLoader by intention: Lightning replaces the samplers of those when there are several processes.

    Args:
        images: uint8, (N, C, H, W); may be mapped from a file.
        labels: int64, (N,).
        batch_size: images per batch, over all processes.
        rank: number of this process, in 0..world_size-1.
        world_size: how many processes share the data.
        num_workers: processes that make batches ahead; 0 makes them in this one.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
    ) -> None:
        self.images, self.labels = images, labels
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.num_workers = num_workers

    def __getitem__(self, number: int) -> Labelled:
        raise NotImplementedError

    def numbered(self, numbers: Iterable[int]) -> Iterable[Labelled]:
        """The batches of these numbers, in order."""
        return DataLoader(
            self,
            batch_size=None,
            sampler=numbers,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else starting the loader draws from the global one, which the game owns
        )


class Stream(Batches):
    """The endless order of training images: the k-th, and whether it is mirrored, depends on (seed, k) only.

    Image k, counted from 0 over all processes, is `order[k % n]` of the `k // n`-th pass over the n images. Batch b of
    size B holds images b*B..(b+1)*B-1, of which each process takes a contiguous part. An epoch is `max(n // B, 1)`
    batches; the order goes on over its end, so that a batch may hold images of two passes. Iterating yields
    an epoch's number of batches from the present position, which, in batches handed out, is the whole state; who stops
    earlier goes on from there. (Lightning does, in an epoch that it resumes or that is limited.)

    Args:
        images: uint8, (n, C, H, W).
        labels: int64, (n,).
        seed: decides the order and the mirroring.
        flip: mirror half of the images left to right.
        **share: `batch_size`, a multiple of `world_size`, and the other arguments of `Batches`.
    """

    def __init__(self, images: Tensor, labels: Tensor, *, seed: int, flip: bool = False, **share: int) -> None:
        super().__init__(images, labels, **share)
        self.seed, self.flip = seed, flip
        self.position = 0

    def __len__(self) -> int:
        return max(len(self.images) // self.batch_size, 1)

    def __iter__(self) -> Iterator[Labelled]:
        for batch in self.numbered(range(self.position, self.position + len(self))):
            self.position += 1  # counted here and not where batches are made: workers are ahead
            yield batch

    def __getitem__(self, number: int) -> Labelled:
        share = self.batch_size // self.world_size
        index, mirrored = self._places(number * self.batch_size + self.rank * share, share)
        images = self.images.numpy()[index]
        if self.flip:
            images[mirrored] = images[mirrored, ..., ::-1]
        return as_batch(images, self.labels.numpy()[index])

    def _places(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Which images come at places first..first+count-1 of the stream, and which of them are mirrored."""
        size, last = len(self.images), first + count
        orders, mirrors = [], []
        for turn in range(first // size, (last - 1) // size + 1):
            order, mirrored = keyed_pass(self.seed, turn, size)
            inside = slice(max(first - turn * size, 0), last - turn * size)
            orders.append(order[inside])
            mirrors.append(mirrored[inside])
        return np.concatenate(orders), np.concatenate(mirrors)

    def state_dict(self) -> dict[str, int]:
        """The number of batches handed out."""
        return {"batches": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on after `state["batches"]` batches."""
        self.position = state["batches"]


class InOrder(Batches):
    """Every image once, in the order of the data; of w processes, process r takes the whole batches r, r+w, r+2w...

    Where batches begin and end does not depend on the number of processes; the last may be short. A process for which
    there is none has an empty one, since all must come to the end of an evaluation together.
    """

    def __len__(self) -> int:
        return len(self._numbers())

    def __iter__(self) -> Iterator[Labelled]:
        return iter(self.numbered(self._numbers()))

    def __getitem__(self, number: int) -> Labelled:
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return as_batch(self.images[part].numpy(), self.labels[part].numpy())

    def _numbers(self) -> range:
        count = -(-len(self.images) // self.batch_size)
        return range(self.rank, max(count, self.rank + 1), self.world_size)


def as_batch(images: np.ndarray, labels: np.ndarray) -> Labelled:
    """Bytes to floats: 0 becomes -1, 255 becomes 1."""
    pixels = images.astype(np.float32)
    pixels /= 127.5
    pixels -= 1
    return Labelled(torch.from_numpy(pixels), torch.from_numpy(labels))
