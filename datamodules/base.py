"""What all data has in common: splits, loaders, shares of several processes."""

from abc import ABC, abstractmethod
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from datamodules.batches import Labelled
from datamodules.stream import Endless, InOrder, Ordered, Stream
from lit_gans.errors import UserError, at_least
from lit_gans.randomness import keyed_generator

SPLITS = ("train", "test")


class Data(L.LightningDataModule, ABC):
    """Batches to train on, batches to evaluate on, and the real images that metrics compare with.

    Training batches follow a keyed order (see `Endless`), evaluation batches the order of the data (see `Ordered`).
    Without a trainer everything works as in a single process.

    Args:
        batch_size: images per batch, over all devices.
        num_workers: processes that make batches ahead, and threads that decode; 0 makes batches in the main process.
        flip: mirror half of the training images left to right.
        seed: decides the order of training images and all that is random about them, but not the splits.

    Attributes:
        name: short name of the data, for file names.
        batches: what batches are.
        source_shape: (channels, height, width) of the images that a model is given; None where it makes its own.
        num_classes: number of classes; 0 where there are no labels.

    Raises:
        UserError: an argument is out of range, the batch can't be shared evenly, or the data is missing or damaged.
    """

    name: str
    batches: type[tuple] = Labelled
    source_shape: tuple[int, int, int] | None = None
    num_classes: int = 0

    def __init__(self, *, batch_size: int = 64, num_workers: int = 0, flip: bool = False, seed: int = 0) -> None:
        super().__init__()
        at_least(1, batch_size=batch_size)
        at_least(0, num_workers=num_workers)
        self.batch_size, self.num_workers = batch_size, num_workers
        self.flip, self.seed = flip, seed
        self._loaded: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the images that a model makes."""

    @abstractmethod
    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Images, uint8 (N, C, H, W), and labels, int64 (N,), of "train" or "test"; downloads or decodes if needed."""

    @abstractmethod
    def training(self, **share: int) -> Endless:
        """The endless order of training batches, for one process; takes the arguments of `Batches`."""

    @abstractmethod
    def evaluation(self, **share: int) -> Ordered:
        """The test split in order, for one process; takes the arguments of `Batches`."""

    def prepare_data(self) -> None:
        """Downloads and decodes; Lightning calls it on one process per node, so that the others find all in place."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Loads both splits, once."""
        self._share()
        for split in SPLITS:
            self.split(split)

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """Images, uint8 (N, C, H, W), and labels, int64 (N,), of the split "train" or "test"."""
        if name not in SPLITS:
            raise UserError(f"no split {name!r} in the data: choose from {', '.join(SPLITS)}")
        if name not in self._loaded:
            images, labels = self.load(name)
            if len(images) != len(labels):
                raise UserError(f"{self.name}: {len(images)} images but {len(labels)} labels in split {name!r}")
            self._loaded[name] = images, labels
        return self._loaded[name]

    def train_dataloader(self) -> Endless:
        """The endless order of training batches, at the model's turn."""
        stream = self.training(**self._share())
        if stream.count < self.batch_size:
            rank_zero_warn(f"each batch of {self.batch_size} has some of the {stream.count} training images repeatedly")
        # A model that has seen batches goes on after them, also where a new trainer or epoch asks for a new loader.
        stream.position = getattr(getattr(self.trainer, "lightning_module", None), "turn", 0)
        return stream

    def val_dataloader(self) -> Ordered:
        """The test split in order."""
        return self.evaluation(**self._share())

    def test_dataloader(self) -> Ordered:
        """The test split in order."""
        return self.evaluation(**self._share())

    def reference_dataloader(self, split: str) -> InOrder:
        """The split "train" or "test" in order, each image once and never mirrored: what metrics compare with."""
        return InOrder(*self.split(split), **self._share())

    def _share(self) -> dict[str, int]:
        """How the batch is shared: the arguments of `Batches`."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if self.batch_size % world_size:
            raise UserError(f"data.batch_size={self.batch_size} can't be shared evenly by {world_size} processes")
        return {
            "batch_size": self.batch_size,
            "rank": rank,
            "world_size": world_size,
            "num_workers": self.num_workers,
        }


class ImageData(Data):
    """Square images, with classes or without; subclasses say in `load` where they come from. Batches are `Labelled`.

    Args:
        image_size: height and width in pixels; images of another size are resized once, bilinear with antialias.
        root: folder of the data.
        n_train: number of images to train on, drawn once and for all whatever the seed, and a smaller number from
            within a larger one; None for all. Metrics compare with all of the split, so their numbers stay comparable.
        **common: see `Data`.

    Attributes:
        channels: 1 (grey) or 3 (colour).
    """

    channels: int

    def __init__(self, *, image_size: int, root: str = "data", n_train: int | None = None, **common: Any) -> None:
        super().__init__(**common)
        at_least(1, image_size=image_size, **{} if n_train is None else {"n_train": n_train})
        self.image_size, self.root, self.n_train = image_size, root, n_train

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.image_size, self.image_size

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """Images, uint8 (N, C, H, W), of the size wanted, and labels, int64 (N,), of the split "train" or "test"."""
        if name not in self._loaded:
            images, labels = super().split(name)
            self._loaded[name] = self._resized(images), labels
        return self._loaded[name]

    def setup(self, stage: str | None = None) -> None:
        """Loads both splits, once.

        Raises:
            UserError: there are fewer images than `n_train`.
        """
        super().setup(stage)
        if self.n_train and self.n_train > (there := len(self.split("train")[0])):
            raise UserError(f"data.n_train={self.n_train}, but {self.name} has {there} training images")

    def training(self, **share: int) -> Stream:
        """The training images and their labels, or `n_train` of them."""
        images, labels = self.split("train")
        if self.n_train:
            some = torch.randperm(len(images), generator=keyed_generator("n_train"))[: self.n_train]
            images, labels = images[some], labels[some]
        return Stream(images, labels, seed=self.seed, flip=self.flip, **share)

    def evaluation(self, **share: int) -> InOrder:
        """The test images and their labels."""
        return InOrder(*self.split("test"), **share)

    def _resized(self, images: Tensor) -> Tensor:
        size = [self.image_size, self.image_size]
        if list(images.shape[-2:]) == size:
            return images
        return torch.cat([resize(part, size, antialias=True) for part in images.split(1024)])
