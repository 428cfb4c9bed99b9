"""Images and what they should become, from files."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.cache import Shape, as_array, decoded
from datamodules.pair_layouts import Files, find_pairs
from datamodules.pairs import Pair, PairData, Pairs, check_channels, drawn_crop, sizes
from datamodules.photographs import MOTIFS, label_maps, patches, photographs
from datamodules.published import PAIRED, check_name, source_of
from datamodules.sources import name_of, open_image
from datamodules.stream import as_floats

Side = Literal["source", "target"]


class PairedImages(PairData):
    """Pairs of images that show the same, for pix2pix (Isola et al., 2017, arXiv:1611.07004).

    The layout is found: two images side by side in one file, A on the left, in folders `train` and `test` (or `val`);
    or two files in folders named A and B, `train/A` (or `trainA`, or `A/train`) and so on, or `A` and `B` alone, of
    which every tenth pair by name, beginning with the first, is for test. The files of a pair have the same name, but
    for what kind of file it is and an ending _A or _B. `root` may be a zip archive of the same.

    Both images of a training pair are resized to `load_size`, whatever their shape was, cropped at the same random
    place, and mirrored together (the jitter of section 6.2). Test pairs are resized to `image_size` alone. Resizing is
    bicubic with antialias, that of label maps takes the nearest pixel, so that they keep their very colours, which the
    authors' codes blend.

    Without `root` and `dataset`, the pairs are patches of two photographs that come with scikit-learn: A is the photo
    in twelve flat colours, B the photo. The third quarter of their columns is for test, the rest for training.

    Args:
        root: the folder or archive; with `dataset`, where that is or goes, by default `data`.
        dataset: facades (A photos, B labels; 400 and 106 pairs) or maps (A aerial photos, B maps; 1,096 and 1,098), as
            CycleGAN's authors publish them.
        download: fetch the dataset if it is missing.
        image_size: height and width in pixels; by default 256, or 32 without `root` and `dataset`.
        load_size: height and width before the crop; by default 286/256 of `image_size`.
        direction: "ab" makes B of A, "ba" makes A of B.
        labels: which of the two is a map of labels.
        source_channels: 3 for colour, 1 for grey.
        target_channels: likewise.
        on_corrupt: a pair that can't be decoded is an error that names it ("raise"), or is left out with a warning.
        **common: see `PairData`.

    Raises:
        UserError: there is no such layout, files have no partners, or one can't be decoded: it is damaged, its two
            images differ in size, or it is a coloured map of labels that should be read in grey.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        dataset: str | None = None,
        download: bool = True,
        image_size: int | None = None,
        load_size: int | None = None,
        direction: Literal["ab", "ba"] = "ab",
        labels: Side | None = None,
        source_channels: int = 3,
        target_channels: int = 3,
        on_corrupt: Literal["raise", "skip"] = "raise",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if dataset is not None:
            check_name(dataset, PAIRED)
        self.root, self.dataset, self.download = root, dataset, download
        self.embedded = root is None and dataset is None
        self.image_size, self.load_size = sizes(image_size, load_size, self.embedded)
        check_channels(self.embedded, source_channels=source_channels, target_channels=target_channels)
        self.channels = {"source": source_channels, "target": target_channels}
        self.direction, self.labels, self.on_corrupt = direction, labels, on_corrupt
        self.name = dataset or ("photographs" if root is None else name_of(root))
        self._found: dict[str, Files] = {}

    @property
    def image_shape(self) -> Shape:
        """(channels, height, width) of a target."""
        return self.channels["target"], self.image_size, self.image_size

    @property
    def source_shape(self) -> Shape:
        """(channels, height, width) of a source."""
        return self.channels["source"], self.image_size, self.image_size

    def targets(self, split: str) -> Tensor:
        """The targets, resized to `image_size`."""
        return self.images(split, self.image_size, ("target",))

    def load_pairs(self, split: str) -> "Aligned":
        """Pairs at `load_size` for training, at `image_size` for test."""
        size = self.load_size if split == "train" else self.image_size
        return Aligned(self.images(split, size, ("source", "target")), self.channels["source"], self.image_size)

    def images(self, split: str, size: int, sides: tuple[Side, ...]) -> Tensor:
        """These sides of all pairs of a split, one behind the other: uint8, (N, channels, size, size)."""
        if self.embedded:
            kinds = (label_maps(), photographs())
            chosen = dict(zip(("source", "target"), kinds if self.direction == "ab" else kinds[::-1], strict=True))
            return patches([torch.cat([chosen[side][motif] for side in sides]) for motif in MOTIFS], split, size)
        source, names = self.files(split)
        decoder = PairDecoder(
            size=size,
            sides=sides,
            channels=tuple(self.channels[side] for side in sides),
            direction=self.direction,
            labels=self.labels,
            on_corrupt=self.on_corrupt,
        )
        return decoded(source, names, decoder, self.num_workers)[0]

    def files(self, split: str) -> Files:
        """Where the pairs of a split are, and their names."""
        if not self._found:
            self._found = find_pairs(source_of(self.dataset, self.root, self.download))
        return self._found[split]


class Aligned(Pairs):
    """Pairs that are cropped at the same random place.

    Args:
        images: uint8, (N, C, H, W): the channels of the source, then those of the target.
        source_channels: how many are the source's.
        size: height and width of the crop.
    """

    def __init__(self, images: Tensor, source_channels: int, size: int) -> None:
        self.images, self.source_channels, self.size = images.numpy(), source_channels, size

    def __len__(self) -> int:
        return len(self.images)

    def pair(self, number: int, generator: torch.Generator) -> Pair:
        """The same square of both images."""
        both = as_floats(drawn_crop(self.images[number], self.size, generator))
        return both[: self.source_channels], both[self.source_channels :]


@dataclass(frozen=True, kw_only=True)
class PairDecoder:
    """How a file with two images side by side, or two files, become one image with the channels of both.

    Attributes:
        size: height and width of the result in pixels.
        sides: which of the images are wanted, in this order.
        channels: of each of them.
        direction: "ab" if A (on the left, or the first file) is the source.
        labels: the side that is resized without mixing colours.
        on_corrupt: what to do with a file that can't be decoded.
    """

    size: int
    sides: tuple[Side, ...]
    channels: tuple[int, ...]
    direction: Literal["ab", "ba"]
    labels: Side | None
    on_corrupt: Literal["raise", "skip"]

    @property
    def shape(self) -> Shape:
        """Of one result."""
        return sum(self.channels), self.size, self.size

    def __call__(self, content: bytes | tuple[bytes, bytes]) -> np.ndarray:
        """A (channels, size, size) array.

        Raises:
            OSError: the two images differ in size, or colours of labels would be lost.
        """
        a, b = halves(open_image(content)) if isinstance(content, bytes) else opened(content)
        if a.size != b.size:
            sizes = ("x".join(map(str, side.size)) for side in (a, b))
            raise OSError(f"A has {next(sizes)} pixels, B {next(sizes)}")
        images = dict(zip(("source", "target"), (a, b) if self.direction == "ab" else (b, a), strict=True))
        return np.concatenate(
            [
                as_array(self.resized(images[side], side, count))
                for side, count in zip(self.sides, self.channels, strict=True)
            ]
        )

    def resized(self, image: Image.Image, side: Side, channels: int) -> Image.Image:
        """One of the images, as large as wanted."""
        if channels == 1:
            if side == self.labels and (np.ptp(np.asarray(image), axis=2) > 0).any():
                raise OSError(f"its labels are colours, which data.{side}_channels=1 would mix up")
            image = image.convert("L")
        how = Image.Resampling.NEAREST if side == self.labels else Image.Resampling.BICUBIC
        return image.resize((self.size, self.size), how)


def halves(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The left and the right half."""
    width, height = image.size
    if width % 2:
        raise OSError(f"two images side by side can't be {width} pixels wide")
    return image.crop((0, 0, width // 2, height)), image.crop((width // 2, 0, width, height))


def opened(contents: tuple[bytes, bytes]) -> tuple[Image.Image, Image.Image]:
    """The images of two files."""
    first = open_image(contents[0])
    try:
        return first, open_image(contents[1])
    except Exception as error:  # PIL meets damage with many types
        raise OSError(f"its partner in B: {error}") from error
