"""Photographs and smaller copies of them."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.bicubic import matlab_bicubic
from datamodules.cache import Shape, as_array, decoded_apart
from datamodules.pairs import Pair, PairData, Pairs, PairsInOrder, check_channels
from datamodules.photographs import parts, photographs
from datamodules.sources import Folder, Zip, below, every_tenth, name_of, open_image, source_at
from datamodules.stream import as_floats
from lit_gans.errors import UserError, at_least

Kernel = Literal["matlab", "bicubic"]
MOST = 10_000  # targets that metrics are given

Photos = list[tuple[Tensor, Tensor]]
"""Of each photo the small copy and the photo itself, uint8, (C, H, W)."""


class SuperResolution(PairData):
    """Photographs to be made from copies of a half, a third or a quarter of their size (SRGAN, arXiv:1609.04802).

    The copy of a photo is made once, of the whole photo, cropped at the right and below to a multiple of `scale`; copy
    and photo are then cropped at the same random place, so that training crops know as little of a border as the inside
    of a photo does. Published numbers are of MATLAB's `imresize`, here `kernel="matlab"` (see `matlab_bicubic`), as are
    the copies that come with DIV2K; PIL's bicubic differs near borders.

    A photo comes as often in a pass as crops fit into it side by side, each time with another crop. Test batches are of
    one whole photo, whatever `batch_size` is, for their sizes differ. The reals of metrics are squares of `crop` pixels
    side by side, at most about 10,000 of all photos together, evenly spread.

    Photos in folders `train` and `test` (or `val`) of `root` are of that split, and those of `test_root` are for test;
    where neither is there, every tenth photo by name, beginning with the first, is for test. `root` and `test_root` may
    be zip archives. Without `root`, the photos are the two that come with scikit-learn: the third quarter of their
    columns is for test, what is left and right of it for training.

    Args:
        root: a folder of photos, of any sizes.
        test_root: a folder of photos for test; all of `root` are then for training.
        scale: 2, 3 or 4, how much larger a target is than its source.
        crop: height and width of a training target in pixels, a multiple of `scale`.
        kernel: "matlab", or "bicubic" for PIL's.
        channels: 3 for colour, 1 for grey.
        on_corrupt: a file that can't be decoded is an error that names it ("raise"), or is left out with a warning.
        **common: see `PairData`.

    Raises:
        UserError: an argument is out of range, there are no photos, one is smaller than the crop or can't be decoded.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        test_root: str | None = None,
        scale: Literal[2, 3, 4] = 4,
        crop: int = 96,
        kernel: Kernel = "matlab",
        channels: int = 3,
        on_corrupt: Literal["raise", "skip"] = "raise",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        at_least(1, crop=crop)
        if scale not in (2, 3, 4) or crop % scale:
            raise UserError(f"data.scale must be 2, 3 or 4 and divide data.crop={crop}, not {scale}")
        check_channels(root is None, channels=channels)
        if root is None and test_root is not None:
            raise UserError("data.test_root needs data.root, the photos for training")
        self.root, self.test_root, self.scale, self.crop = root, test_root, scale, crop
        self.kernel, self.channels, self.on_corrupt = kernel, channels, on_corrupt
        self.name = "photographs" if root is None else name_of(root)
        self._photos: dict[str, Photos] = {}

    @property
    def image_shape(self) -> Shape:
        """(channels, height, width) of a training target."""
        return self.channels, self.crop, self.crop

    @property
    def source_shape(self) -> Shape:
        """(channels, height, width) of a training source."""
        return self.channels, self.crop // self.scale, self.crop // self.scale

    def targets(self, split: str) -> Tensor:
        """Squares of the photos, row by row, photo by photo."""
        photos, size = self.photos(split), self.crop
        each = max(MOST // len(photos), 1)
        chosen = []
        for _, photo in photos:
            squares = photo.unfold(1, size, size).unfold(2, size, size).permute(1, 2, 0, 3, 4)
            rows, columns = squares.shape[:2]
            numbers = torch.linspace(0, rows * columns - 1, min(each, rows * columns)).round().long()
            chosen.append(squares[numbers // columns, numbers % columns])
        return torch.cat(chosen).contiguous()

    def load_pairs(self, split: str) -> Pairs:
        """Crops of the photos for training, whole photos for test."""
        photos = self.photos(split)
        return Crops(photos, self.scale, self.crop) if split == "train" else WholePhotos(photos, self.scale)

    def evaluation(self, **share: int) -> PairsInOrder:
        """The test photos, each a batch."""
        return super().evaluation(**share | {"batch_size": 1})

    def photos(self, split: str) -> Photos:
        """The photos of a split and their small copies, loaded once."""
        if split not in self._photos:
            self._photos[split] = self._embedded(split) if self.root is None else self._decoded(split)
        return self._photos[split]

    def _embedded(self, split: str) -> Photos:
        whole = [part for photograph in photographs().values() for part in parts(photograph, split)]
        small = [torch.from_numpy(smaller(part.numpy(), self.scale, self.kernel)) for part in whole]
        return list(zip(small, whole, strict=True))

    def _decoded(self, split: str) -> Photos:
        source, names = self.files(split)
        common = {"channels": self.channels, "on_corrupt": self.on_corrupt}
        decoder = SmallDecoder(scale=self.scale, kernel=self.kernel, **common)
        small, _ = decoded_apart(source, names, decoder, self.num_workers)
        whole, names = decoded_apart(source, names, PhotoDecoder(**common), self.num_workers)
        for photo, name in zip(whole, names, strict=True):
            if min(photo.shape[1:]) < self.crop:
                size = "x".join(map(str, reversed(photo.shape[1:])))
                raise UserError(f"{source.path / name} has {size} pixels, too few for data.crop={self.crop}")
        return list(zip(small, whole, strict=True))

    def files(self, split: str) -> tuple[Folder | Zip, list[str]]:
        """Where the photos of a split are, and their names."""
        elsewhere = split == "test" and self.test_root is not None
        source = source_at(self.test_root if elsewhere else self.root)
        folders = {"train": below(source, "train"), "test": below(source, "test", "val")}
        if self.test_root is not None:
            names = source.names
        elif all(folders.values()):
            names = list(folders[split].values())
        else:
            names = every_tenth(source.names, split)
        if not names:
            raise UserError(f"no photos for {split} in {source.path.absolute()}: it has {len(source.names)} in all")
        return source, names


class WholePhotos(Pairs):
    """Photos that can be made from their small copies.

    Args:
        photos: copies and photos.
        scale: how much larger the photos are.
    """

    def __init__(self, photos: Photos, scale: int) -> None:
        self.photos, self.scale = photos, scale

    def __len__(self) -> int:
        return len(self.photos)

    def pair(self, number: int, generator: torch.Generator) -> Pair:
        """A copy, and as much of the photo as it shows."""
        small, photo = self.photos[number]
        height, width = (self.scale * side for side in small.shape[1:])
        return as_floats(small.numpy()), as_floats(photo.numpy()[:, :height, :width])


class Crops(Pairs):
    """Squares at random places of photos, which have as many numbers each as squares fit into them side by side.

    Args:
        photos: copies and photos.
        scale: how much larger the photos are.
        size: height and width of a square of a photo.
    """

    def __init__(self, photos: Photos, scale: int, size: int) -> None:
        self.photos, self.scale, self.size = photos, scale, size
        counts = [(photo.shape[1] // size) * (photo.shape[2] // size) for _, photo in photos]
        self.owners = np.repeat(np.arange(len(photos)), counts)

    def __len__(self) -> int:
        return len(self.owners)

    def pair(self, number: int, generator: torch.Generator) -> Pair:
        """The same square of a copy and of its photo."""
        small, photo = self.photos[self.owners[number]]
        short = self.size // self.scale
        top, left = (int(torch.randint(side - short + 1, (), generator=generator)) for side in small.shape[1:])
        squares = (
            image.numpy()[:, top * much : (top + short) * much, left * much : (left + short) * much]
            for image, much in ((small, 1), (photo, self.scale))
        )
        return tuple(map(as_floats, squares))


@dataclass(frozen=True, kw_only=True)
class PhotoDecoder:
    """How the content of an image file becomes pixels: as they are.

    Attributes:
        channels: 1 (grey) or 3 (colour).
        on_corrupt: what to do with a file that can't be decoded.
        shape: None, for each image has its own.
    """

    channels: int
    on_corrupt: Literal["raise", "skip"]
    shape: ClassVar[None] = None

    def __call__(self, content: bytes) -> np.ndarray:
        """A (channels, height, width) array."""
        return as_array(open_image(content, self.channels))


@dataclass(frozen=True, kw_only=True)
class SmallDecoder(PhotoDecoder):
    """How the content of an image file becomes a small copy.

    Attributes:
        scale: how much smaller.
        kernel: "matlab" or "bicubic".
    """

    scale: int
    kernel: Kernel

    def __call__(self, content: bytes) -> np.ndarray:
        """A (channels, height // scale, width // scale) array."""
        return smaller(super().__call__(content), self.scale, self.kernel)


def smaller(photo: np.ndarray, scale: int, kernel: Kernel) -> np.ndarray:
    """A copy of a photo (C, H, W), cropped at the right and below if need be, of `1 / scale` of its size."""
    height, width = (side // scale for side in photo.shape[1:])
    photo = photo[:, : height * scale, : width * scale]
    if kernel == "matlab":
        return matlab_bicubic(photo, scale)
    return np.stack([Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC) for one in photo])
