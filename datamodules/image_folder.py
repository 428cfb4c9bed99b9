"""Any folder or zip archive of images."""

from abc import abstractmethod
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import torch
from torch import Tensor

from datamodules.base import ImageData
from datamodules.cache import Decoder, decoded
from datamodules.sources import Folder, Zip, every_tenth, name_of, source_at
from lit_gans.errors import UserError
from lit_gans.randomness import keyed_generator


class ImageFiles(ImageData):
    """Image files that are decoded once, into a cache from which batches are read.

    Args:
        image_size: height and width in pixels.
        on_corrupt: a file that can't be decoded is an error that names it ("raise"), or is left out with a warning.
        **common: see `ImageData`.
    """

    source: Folder | Zip
    crop: float = 1.0

    def __init__(self, *, image_size: int, on_corrupt: Literal["raise", "skip"] = "raise", **common: Any) -> None:
        super().__init__(image_size=image_size, **common)
        self.on_corrupt = on_corrupt

    @abstractmethod
    def names(self, split: str) -> list[str]:
        """Names in `source` of the images of a split."""

    @abstractmethod
    def labels(self, names: list[str]) -> list[int]:
        """The classes of these images."""

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Images from the cache, which is made first if need be."""
        decoder = Decoder(size=self.image_size, channels=self.channels, crop=self.crop, on_corrupt=self.on_corrupt)
        images, names = decoded(self.source, self.names(split), decoder, self.num_workers)
        return images, torch.tensor(self.labels(names))


class ImageFolder(ImageFiles):
    """Images (jpg, png, webp, bmp) in a folder and its sub-folders, or in a zip archive, cropped to centred squares.

    Every tenth image by name, beginning with the first, is in the test split. Both splits come in a fixed mixed order,
    so that the first images of either, which metrics may be content with, are of all classes.

    Args:
        image_size: height and width in pixels.
        root: the folder, or the archive.
        channels: 3 for colour, 1 for grey.
        labels: the folder that an image lies in is its class, and classes are numbered by name; every image must then
            lie in a sub-folder. Without, there are no classes and sub-folders mean nothing.
        limit: take only the first so many images by name.
        **common: see `ImageFiles`.

    Raises:
        UserError: `root` is missing, or holds fewer than two images; an image outside of sub-folders has no label.
    """

    def __init__(
        self,
        *,
        image_size: int = 64,
        root: str = "data",
        channels: int = 3,
        labels: bool = False,
        limit: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(image_size=image_size, root=root, **common)
        if channels not in (1, 3):
            raise UserError(f"data.channels must be 1 (grey) or 3 (colour), not {channels}")
        if limit is not None and limit < 2:
            raise UserError(f"data.limit must leave an image for training and one for test, not {limit}")
        self.source = source_at(root)
        self.channels = channels
        self.name = name_of(root)
        self._names = self.source.names[:limit]
        if len(self._names) < 2:
            raise UserError(f"{len(self._names)} images in {Path(root).absolute()}: an image folder needs at least 2")
        self._classes = self._found_classes() if labels else []
        self.num_classes = len(self._classes)

    def _found_classes(self) -> list[str]:
        folders = {str(PurePosixPath(name).parent): name for name in self._names}
        if "." in folders:
            raise UserError(f"data.labels needs every image in a sub-folder, but {folders['.']} lies outside")
        return sorted(folders)

    def names(self, split: str) -> list[str]:
        """Every tenth name for test, the others for training."""
        names = every_tenth(self._names, split)
        return [names[place] for place in torch.randperm(len(names), generator=keyed_generator("mixed", split))]

    def labels(self, names: list[str]) -> list[int]:
        """The numbers of the folders that the images lie in."""
        numbers = {folder: number for number, folder in enumerate(self._classes)}
        return [numbers.get(str(PurePosixPath(name).parent), 0) for name in names]
