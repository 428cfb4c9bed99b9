"""The images of a folder or zip archive as they are, for comparing two of them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datamodules.sources import Folder, Zip, decoding, is_image, open_image
from lit_gans.errors import UserError
from lit_gans.randomness import keyed_generator


class PlainImages:
    """Image files of one size, neither cropped nor resized, in the order of their names, in colour.

    Args:
        path: A folder or a zip archive of jpg, png, webp or bmp files; sub-folders are searched.
        threads: Files decoded at once.

    Attributes:
        name: "images": there is no feature network of their own.

    Raises:
        UserError: there is no such folder, or it holds no images; when read: a file that cannot be decoded, or of
            another size than the first.
    """

    name = "images"

    def __init__(self, path: Path, threads: int = 4) -> None:
        if not path.exists():
            raise UserError(f"no folder or zip archive of images at {path}")
        if path.is_file() and is_image(path.name):
            raise UserError(f"{path} is one image: give a folder or a zip archive of images")
        self.source, self.threads = Folder(path) if path.is_dir() else Zip(path), threads
        self.names = self.source.names
        if not self.names:
            raise UserError(f"there are no images (jpg, png, webp, bmp) in {path}")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, height, width) of the first."""
        return tuple(self.pick([0]).shape[1:])

    @property
    def key(self) -> str:
        """A hash of the content of all files, in order."""
        digest = sha256()
        with self.source.reader() as read:
            for name in self.names:
                digest.update(sha256(read(name)).digest())
        return digest.hexdigest()

    def mixed(self) -> "PlainImages":
        """The same in a random order, always the same one: names often go by classes."""
        other = copy(self)
        order = torch.randperm(len(self), generator=keyed_generator("mixed files"))
        other.names = [self.names[number] for number in order]
        return other

    def part(self, count: int | None) -> "PlainImages":
        """A random part of `count` images, always the same one; all, in their order, if there are not more."""
        if count is None or count >= len(self):
            return self
        some = self.mixed()
        some.names = some.names[:count]
        return some

    def batches(self, count: int, batch_size: int) -> Iterator[Tensor]:
        """The first `count` images, (N, 3, H, W), float in [-1, 1]."""
        for start in range(0, min(count, len(self)), batch_size):
            yield self.pick(range(start, min(start + batch_size, count, len(self))))

    def pick(self, numbers: Sequence[int]) -> Tensor:
        """The images of these numbers, (N, 3, H, W), float in [-1, 1]."""
        names = [self.names[number] for number in numbers]
        with self.source.reader() as read, ThreadPoolExecutor(self.threads) as pool:
            pixels = list(pool.map(lambda name: self.decode(name, read), names))
            first = pixels[0] if names[0] == self.names[0] else self.decode(self.names[0], read)
        for name, image in zip(names, pixels, strict=True):
            if image.shape != first.shape:
                sizes = (f"{shape[1]}x{shape[0]}" for shape in (image.shape, first.shape))
                raise UserError(
                    f"{self.source.path / name} has {next(sizes)} pixels, {self.names[0]} has {next(sizes)}: "
                    "bring all images to one size"
                )
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 127.5 - 1

    def decode(self, name: str, read: Callable[[str], bytes]) -> np.ndarray:
        """The file of a name to (H, W, 3), uint8."""
        with decoding(self.source.path / name):
            return np.asarray(open_image(read(name)))
