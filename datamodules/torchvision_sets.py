"""Data that torchvision knows how to download and read."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor
from torchvision.datasets.utils import check_integrity

from datamodules.base import ImageData
from lit_gans.errors import UserError


class TorchvisionData(ImageData):
    """A data set of torchvision, in torchvision's layout under `root`.

    Args:
        image_size: height and width in pixels.
        download: fetch what is missing, with torchvision's checksums.
        **common: see `ImageData`.
    """

    num_classes = 10
    source: type[torchvision.datasets.VisionDataset]

    def __init__(self, *, image_size: int, download: bool = True, **common: Any) -> None:
        super().__init__(image_size=image_size, **common)
        self.download = download

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """The arrays of torchvision as they are, channels first.

        Raises:
            UserError: files are missing and can't be fetched, or are damaged.
        """
        try:
            data = self.source(self.root, train=split == "train", download=self.download)
        except Exception as error:  # torchvision's readers and downloads fail in many ways
            raise UserError(self._trouble(error)) from error
        images = torch.as_tensor(data.data)
        images = images.unsqueeze(1) if self.channels == 1 else images.permute(0, 3, 1, 2).contiguous()
        return images, torch.as_tensor(data.targets)

    def _trouble(self, error: Exception) -> str:
        title, root = self.source.__name__, Path(self.root).absolute()
        if damaged := self.damaged():
            return f"{title}: damaged file {damaged}: delete it, then give --data.download=true or a good copy"
        if not self.download:
            return f"{title} not found in {root}: set --data.root to where it is, or --data.download=true"
        reason = str(error).splitlines()[-1:] or [type(error).__name__]
        return f"{title} not found in {root} and not downloaded ({reason[0]}): set --data.root to where it is"

    @abstractmethod
    def damaged(self) -> Path | None:
        """The first file that is there but can't be right."""


class MNIST(TorchvisionData):
    """70,000 grey handwritten digits of 28 x 28 pixels, 10,000 of them for test.

    Args:
        image_size: height and width in pixels.
        **common: see `TorchvisionData`.
    """

    name = "mnist"
    channels = 1
    source = torchvision.datasets.MNIST

    def __init__(self, *, image_size: int = 28, **common: Any) -> None:
        super().__init__(image_size=image_size, **common)

    def damaged(self) -> Path | None:
        """The first file that doesn't hold what its header says."""
        for path in sorted(Path(self.root, self.source.__name__, "raw").glob("*-ubyte")):
            try:
                read_sn3_pascalvincent_tensor(str(path))
            except Exception:  # see `load`
                return path
        return None


class FashionMNIST(MNIST):
    """70,000 grey pictures of clothing of 28 x 28 pixels, 10,000 of them for test; files as MNIST's.

    Args:
        **common: see `MNIST`.
    """

    name = "fashion_mnist"
    source = torchvision.datasets.FashionMNIST


class CIFAR10(TorchvisionData):
    """60,000 colour photographs of 32 x 32 pixels in 10 classes, 10,000 of them for test.

    Args:
        image_size: height and width in pixels.
        **common: see `TorchvisionData`.
    """

    name = "cifar10"
    channels = 3
    source = torchvision.datasets.CIFAR10

    def __init__(self, *, image_size: int = 32, **common: Any) -> None:
        super().__init__(image_size=image_size, **common)

    def damaged(self) -> Path | None:
        """The first file whose checksum is wrong."""
        files = [
            *self.source.train_list,
            *self.source.test_list,
            (self.source.meta["filename"], self.source.meta["md5"]),
        ]
        for name, checksum in files:
            path = Path(self.root, self.source.base_folder, name)
            if path.exists() and not check_integrity(path, checksum):
                return path
        return None
