"""The images of an evaluation that are not files: a model's, and those of a DataModule."""

from collections.abc import Iterator

import torch
from torch import Tensor

from datamodules.base import Data
from lit_gans.base import AdversarialModule
from lit_gans.randomness import keyed_generator

BATCH = 256
"""Images drawn at once; a number's image depends on it."""


class Generated:
    """Images of a model; each number has its image, whatever else is drawn.

    Args:
        model: The model.
        count: How many.
        labels: (count,), what they are asked to be; None for a model without labels.
        seed: Of the latents.
    """

    def __init__(self, model: AdversarialModule, count: int, labels: Tensor | None, seed: int) -> None:
        self.model, self.count, self.labels, self.seed = model, count, labels, seed
        self.classes = 0 if labels is None else model.num_classes

    def __len__(self) -> int:
        return self.count

    def batches(self, count: int, batch_size: int) -> Iterator[Tensor]:
        """The first `count`, in order, at most `batch_size` at a time."""
        for start in range(0, min(count, self.count), BATCH):
            yield from self.batch(start // BATCH)[: count - start].split(batch_size)

    def batch(self, number: int) -> Tensor:
        """The images from `number * BATCH` on."""
        part = slice(number * BATCH, min((number + 1) * BATCH, self.count))
        labels = None if self.labels is None else self.labels[part]
        generator = keyed_generator("evaluate", self.seed, number)
        return self.model.sample(part.stop - part.start, labels, generator)

    def pick(self, numbers: list[int]) -> Tensor:
        """Those of these numbers, (N, C, H, W), float in [-1, 1]."""
        drawn = {batch: self.batch(batch) for batch in {number // BATCH for number in numbers}}
        return torch.stack([drawn[number // BATCH][number % BATCH] for number in numbers])


class Real:
    """A split of a DataModule.

    Args:
        data: The DataModule.
        split: "train" or "test".
    """

    def __init__(self, data: Data, split: str) -> None:
        self.images, _ = data.split(split)

    def pick(self, numbers: list[int]) -> Tensor:
        """Those of these numbers, (N, C, H, W), float in [-1, 1]."""
        return self.images[numbers] / 127.5 - 1
