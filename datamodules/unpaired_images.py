"""Images of two kinds, from files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from datamodules.base import SPLITS, Data
from datamodules.batches import Unpaired
from datamodules.cache import Shape, as_array, decoded, decoded_apart
from datamodules.pair_layouts import of_side
from datamodules.pairs import check_channels, drawn_crop, sizes
from datamodules.photographs import MOTIFS, digits, patches, photographs
from datamodules.published import CYCLEGAN, check_name, source_of
from datamodules.sources import every_tenth, name_of, open_image
from datamodules.stream import Endless, Ordered, as_floats, keyed_places
from lit_gans.errors import UserError
from lit_gans.randomness import keyed_generator, keyed_seed


class UnpairedImages(Data):
    """Images of two kinds, A and B, for CycleGAN (Zhu et al., 2017, arXiv:1703.10593). Batches are `Unpaired`.

    They lie in folders `trainA`, `trainB`, `testA` and `testB` (or `train/A` and so on; `root` may be a zip archive).
    The shorter side of each is resized to `load_size`, bicubic with antialias, and a square at a random place is taken
    for training; the authors' code, which resizes all to squares, differs for images that are none. Test images are
    resized to `image_size` and cropped in the centre.

    A and B come in keyed orders of their own (see `Endless`): which two meet is random. An epoch is as long as the
    larger set. In evaluation the shorter set starts over until the other is through, as in the authors' code. The reals
    of metrics are those of B.

    Without `root` and `dataset`, they are patches of the two photographs that come with scikit-learn, a temple and a
    flower. The third quarter of their columns is for test, the rest for training. `dataset=digits` has handwritten
    digits in their place, on black and, other ones, on patches of the photographs (see `digits`); it needs no files
    either, and wants `flip=false`.

    Args:
        root: the folder or archive; with `dataset`, where that is or goes, by default `data`.
        dataset: digits, or one of the sets that CycleGAN's authors publish, such as horse2zebra.
        download: fetch the dataset if it is missing.
        image_size: height and width in pixels; by default 256, or 32 for digits and without `root` and `dataset`.
        load_size: shorter side before the crop; by default 286/256 of `image_size`.
        channels: 3 for colour, 1 for grey.
        on_corrupt: a file that can't be decoded is an error that names it ("raise"), or is left out with a warning.
        batch_size: images of each kind per batch, over all devices.
        flip: mirror half of the training images left to right, those of A and of B independently.
        **common: see `Data`.

    Raises:
        UserError: a folder is missing or empty, or a file can't be decoded.
    """

    batches = Unpaired

    def __init__(
        self,
        *,
        root: str | None = None,
        dataset: str | None = None,
        download: bool = True,
        image_size: int | None = None,
        load_size: int | None = None,
        channels: int = 3,
        on_corrupt: Literal["raise", "skip"] = "raise",
        batch_size: int = 16,
        flip: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, flip=flip, **common)
        if dataset is not None:
            check_name(dataset, ("digits", *CYCLEGAN))
        self.root, self.dataset, self.download = root, dataset, download
        self.embedded = dataset == "digits" or (root is None and dataset is None)
        self.image_size, self.load_size = sizes(image_size, load_size, self.embedded)
        check_channels(self.embedded, channels=channels)
        self.channels, self.on_corrupt = channels, on_corrupt
        self.name = dataset or ("photographs" if root is None else name_of(root))
        self._sides: dict[tuple[str, str], Sequence[Tensor]] = {}

    @property
    def image_shape(self) -> Shape:
        """(channels, height, width) of an image of B."""
        return self.channels, self.image_size, self.image_size

    @property
    def source_shape(self) -> Shape:
        """(channels, height, width) of an image of A: the same."""
        return self.image_shape

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """The images of B as test images are, and zeros as labels."""
        images = self.images(split, "B", self.image_size, square=True)
        return images, torch.zeros(len(images), dtype=torch.long)

    def setup(self, stage: str | None = None) -> None:
        """Loads both kinds of both splits."""
        super().setup(stage)
        for split in SPLITS:
            self.sides(split)

    def training(self, **share: int) -> "UnpairedStream":
        """The training images of A and B."""
        return UnpairedStream(*self.sides("train"), size=self.image_size, seed=self.seed, flip=self.flip, **share)

    def evaluation(self, **share: int) -> "UnpairedInOrder":
        """The test images of A and B."""
        return UnpairedInOrder(*self.sides("test"), **share)

    def sides(self, split: str) -> list[Sequence[Tensor]]:
        """The images of A and those of B, uint8: for "train" each as it was resized, for "test" squares."""
        square, size = (False, self.load_size) if split == "train" else (True, self.image_size)
        for side in "AB":
            if (split, side) not in self._sides:
                self._sides[split, side] = self.images(split, side, size, square)
        return [self._sides[split, side] for side in "AB"]

    def images(self, split: str, side: str, size: int, square: bool) -> Sequence[Tensor]:
        """All images of one kind, uint8, their shorter side `size` pixels: (N, C, size, size), or each (C, H, W)."""
        if self.dataset == "digits":
            return digits(split, side, size)
        if self.embedded:
            return patches([photographs()[MOTIFS["AB".index(side)]]], split, size)
        source = source_of(self.dataset, self.root, self.download)
        kept = not any(of_side(source, "test", either) for either in "AB")
        names = list(of_side(source, "train" if kept else split, side).values())
        if not names:
            place = f"folder {'train' if kept else split}{side} in {source.path.absolute()}"
            raise UserError(f"no images in a {place}: it needs trainA and trainB, and testA and testB or neither")
        names = every_tenth(names, split) if kept else names
        decoder = SideDecoder(size=size, channels=self.channels, square=square, on_corrupt=self.on_corrupt)
        return (decoded if square else decoded_apart)(source, names, decoder, self.num_workers)[0]


@dataclass(frozen=True, kw_only=True)
class SideDecoder:
    """How the content of an image file becomes pixels: resized with antialias, its shape kept or cropped to a square.

    Attributes:
        size: length of the shorter side of the result in pixels.
        channels: 1 (grey) or 3 (colour).
        square: keep only the centred square.
        on_corrupt: what to do with a file that can't be decoded.
    """

    size: int
    channels: int
    square: bool
    on_corrupt: Literal["raise", "skip"]

    @property
    def shape(self) -> Shape | None:
        """Of one image, if all have the same."""
        return (self.channels, self.size, self.size) if self.square else None

    def __call__(self, content: bytes) -> np.ndarray:
        """A (channels, height, width) array."""
        image = open_image(content, self.channels)
        scale = self.size / min(image.size)
        image = image.resize([max(round(side * scale), 1) for side in image.size], Image.Resampling.BICUBIC)
        return as_array(center_crop(image, [self.size]) if self.square else image)


class UnpairedStream(Endless):
    """Two endless keyed orders side by side: the k-th of each, and its crop, depends on (seed, k) only.

    Args:
        a: uint8 images (C, H, W) of at least `size` pixels either way; each pass has each of them once.
        b: likewise.
        size: height and width of the crops.
        seed: decides the orders, the mirroring and the places of the crops.
        flip: mirror half of the images left to right.
        **share: `batch_size` and the other arguments of `Batches`.
    """

    def __init__(
        self, a: Sequence[Tensor], b: Sequence[Tensor], *, size: int, seed: int, flip: bool, **share: int
    ) -> None:
        super().__init__(max(len(a), len(b)), **share)
        self.sides = {keyed_seed(seed, "a"): a, keyed_seed(seed, "b"): b}
        self.size, self.flip = size, flip

    def samples(self, first: int, count: int) -> Unpaired:
        """Images first..first+count-1 of both orders."""
        return Unpaired(*(self.side(images, seed, first, count) for seed, images in self.sides.items()))

    def side(self, images: Sequence[Tensor], seed: int, first: int, count: int) -> Tensor:
        """Images first..first+count-1 of one order."""
        numbers, mirrored = keyed_places(seed, len(images), first, count)
        generators = (keyed_generator(seed, "crop", key) for key in range(first, first + count))
        crops = [
            drawn_crop(images[number].numpy(), self.size, generator)
            for number, generator in zip(numbers.tolist(), generators, strict=True)
        ]
        pixels = as_floats(np.stack(crops))
        if self.flip:
            pixels[mirrored] = pixels[mirrored, ..., ::-1]
        return torch.from_numpy(pixels)


class UnpairedInOrder(Ordered):
    """The images of two sets in order; the shorter set starts over until the other is through.

    Args:
        a: uint8, (N, C, H, W).
        b: uint8, (M, C, H, W).
        **share: `batch_size` and the other arguments of `Batches`.
    """

    def __init__(self, a: Tensor, b: Tensor, **share: int) -> None:
        super().__init__(max(len(a), len(b)), **share)
        self.sides = a, b

    def part(self, start: int, stop: int) -> Unpaired:
        """Images start..stop-1 of both."""
        numbers = np.arange(start, stop)
        return Unpaired(*(torch.from_numpy(as_floats(side.numpy()[numbers % len(side)])) for side in self.sides))
