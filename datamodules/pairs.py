"""What all data of paired images has in common: what is random about a pair, and when it comes."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.base import SPLITS, Data
from datamodules.batches import Paired
from datamodules.cache import Shape
from datamodules.stream import Endless, Ordered, keyed_places
from lit_gans.errors import UserError, at_least
from lit_gans.randomness import keyed_generator

Pair = tuple[np.ndarray, np.ndarray]
"""A source and a target, float32, (C, H, W), in [-1, 1]."""


class Pairs(ABC):
    """Pairs of images, numbered from 0 to `len(self) - 1`."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def pair(self, number: int, generator: torch.Generator) -> Pair:
        """The pair of a number; what is random about it is drawn from the generator."""


class PairStream(Endless):
    """The endless keyed order of pairs: the k-th, and all that is random about it, depends on (seed, k) only.

    Args:
        pairs: what the order is of; each pass has each of them once.
        seed: decides the order, the mirroring, and what is random about a pair.
        flip: mirror half of the pairs left to right.
        **share: `batch_size` and the other arguments of `Batches`.
    """

    def __init__(self, pairs: Pairs, *, seed: int, flip: bool, **share: int) -> None:
        super().__init__(len(pairs), **share)
        self.pairs, self.seed, self.flip = pairs, seed, flip

    def samples(self, first: int, count: int) -> Paired:
        """Pairs first..first+count-1 of the order."""
        numbers, mirrored = keyed_places(self.seed, len(self.pairs), first, count)
        keys = range(first, first + count)
        drawn = [
            self.pairs.pair(number, keyed_generator(self.seed, "pair", key))
            for number, key in zip(numbers.tolist(), keys, strict=True)
        ]
        batch = as_batch(drawn)
        if self.flip:
            for side in batch:
                pixels = side.numpy()
                pixels[mirrored] = pixels[mirrored, ..., ::-1]
        return batch


class PairsInOrder(Ordered):
    """Pairs in order, never mirrored; what is random about a pair is the same in every evaluation, for every seed.

    Args:
        pairs: the pairs.
        shapes: of a source and a target, for batches without any.
        **share: `batch_size` and the other arguments of `Batches`.
    """

    def __init__(self, pairs: Pairs, shapes: tuple[Shape, Shape], **share: int) -> None:
        super().__init__(len(pairs), **share)
        self.pairs, self.shapes = pairs, shapes

    def part(self, start: int, stop: int) -> Paired:
        """Pairs start..stop-1."""
        drawn = [self.pairs.pair(number, keyed_generator("pair", number)) for number in range(start, stop)]
        if not drawn:
            return Paired(*(torch.empty(0, *shape) for shape in self.shapes))
        return as_batch(drawn)


class PairData(Data):
    """Sources and the targets that a model should make of them. Batches are `Paired`; the reals of metrics are targets.

    Args:
        batch_size: pairs per batch, over all devices.
        flip: mirror half of the training pairs left to right, both images alike.
        **common: see `Data`.
    """

    batches = Paired

    def __init__(self, *, batch_size: int = 16, flip: bool = True, **common: Any) -> None:
        super().__init__(batch_size=batch_size, flip=flip, **common)
        self._pairs: dict[str, Pairs] = {}

    @property
    @abstractmethod
    def source_shape(self) -> Shape:
        """(channels, height, width) of the images that a model is given."""

    @abstractmethod
    def targets(self, split: str) -> Tensor:
        """The targets of a split as metrics want them: uint8, (N, *image_shape), without anything random."""

    @abstractmethod
    def load_pairs(self, split: str) -> Pairs:
        """The pairs of "train" or "test"; decodes if needed."""

    def pairs(self, split: str) -> Pairs:
        """The pairs of "train" or "test", loaded once."""
        if split not in self._pairs:
            self._pairs[split] = self.load_pairs(split)
        return self._pairs[split]

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """The targets, and zeros as labels."""
        targets = self.targets(split)
        return targets, torch.zeros(len(targets), dtype=torch.long)

    def setup(self, stage: str | None = None) -> None:
        """Loads the targets of both splits and the pairs."""
        super().setup(stage)
        for split in SPLITS:
            self.pairs(split)

    def training(self, **share: int) -> PairStream:
        """The training pairs."""
        return PairStream(self.pairs("train"), seed=self.seed, flip=self.flip, **share)

    def evaluation(self, **share: int) -> PairsInOrder:
        """The test pairs."""
        return PairsInOrder(self.pairs("test"), (self.source_shape, self.image_shape), **share)


def as_batch(pairs: list[Pair]) -> Paired:
    """Pairs of the same shapes as tensors."""
    return Paired(*(torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True)))


def drawn_crop(image: np.ndarray, size: int, generator: torch.Generator) -> np.ndarray:
    """A square of `size` pixels at a random place of an image (..., H, W)."""
    top, left = (int(torch.randint(side - size + 1, (), generator=generator)) for side in image.shape[-2:])
    return image[..., top : top + size, left : left + size]


def sizes(image_size: int | None, load_size: int | None, embedded: bool) -> tuple[int, int]:
    """Of a crop and of what it is cut from, either of which may be left open.

    Raises:
        UserError: one is too small.
    """
    size = image_size if image_size is not None else 32 if embedded else 256
    whole = load_size if load_size is not None else round(size * 286 / 256)
    at_least(1, image_size=size)
    at_least(size, load_size=whole)
    return size, whole


def check_channels(embedded: bool, **channels: int) -> None:
    """Whether images can be had with these numbers of channels.

    Raises:
        UserError: not so.
    """
    for name, count in channels.items():
        if count not in ((3,) if embedded else (1, 3)):
            raise UserError(f"data.{name} must be 3 (colour){'' if embedded else ' or 1 (grey)'}, not {count}")
