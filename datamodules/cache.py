"""Image files decoded once, into one file of bytes that is mapped into memory."""

import json
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop, resize
from tqdm import tqdm

from datamodules.sources import open_image, reason_of
from lit_gans.errors import UserError
from lit_gans.files import cache_dir, replacing

FORMAT = 2  # in every key: raise it when the same files would give other bytes
CHUNK = 256  # images decoded ahead of the writer, so that memory is bounded


Shape = tuple[int, int, int]
"""Of an image: (channels, height, width)."""


class Source(Protocol):
    """Image files under names; each has a content, of which a decoder makes one image."""

    path: Path

    def fingerprint(self, name: str) -> Any:
        """Changes when the file does."""

    def reader(self) -> AbstractContextManager[Callable[[str], Any]]:
        """Yields a function that reads the content of a name; threads may share it."""


class ContentDecoder(Protocol):
    """How the content of a source becomes an image; its `repr` says all that the result depends on.

    Attributes:
        on_corrupt: what to do with a file that can't be decoded.
        shape: of every result; None where each has its own.
    """

    on_corrupt: Literal["raise", "skip"]
    shape: Shape | None

    def __call__(self, content: Any) -> np.ndarray:
        """An image, uint8, (C, H, W)."""


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """How the content of an image file becomes pixels: cropped to a centred square, then resized with antialias.

    Attributes:
        size: height and width of the result in pixels.
        channels: 1 (grey) or 3 (colour).
        crop: side of the square, as a share of the shorter side of the image.
        on_corrupt: what to do with a file that can't be decoded.
    """

    size: int
    channels: int
    crop: float
    on_corrupt: Literal["raise", "skip"]

    @property
    def shape(self) -> Shape:
        """Of one image."""
        return self.channels, self.size, self.size

    def __call__(self, content: bytes) -> np.ndarray:
        """A (channels, height, width) array from the content of an image file."""
        image = open_image(content, self.channels)
        image = center_crop(image, [max(round(self.crop * min(image.size)), 1)])
        return as_array(resize(image, [self.size, self.size]))


def as_array(image: Image.Image) -> np.ndarray:
    """A grey or colour image as bytes, (C, H, W)."""
    pixels = np.asarray(image)
    return (pixels[..., None] if pixels.ndim == 2 else pixels).transpose(2, 0, 1)


def decoded(source: Source, names: list[str], decoder: ContentDecoder, threads: int) -> tuple[Tensor, list[str]]:
    """The images of these names, all of one shape, decoded now or earlier.

    Args:
        source: where the files are.
        names: which of them, in this order.
        decoder: how they become pixels.
        threads: how many decode at once.

    Returns:
        Images, uint8 (N, C, H, W), mapped read-only from the cache, and the N names that could be decoded.

    Raises:
        UserError: a file can't be decoded (unless `decoder.on_corrupt` is "skip"), no image is left, or the cache
            can't be written.
    """
    pixels, kept = mapped(source, names, decoder, threads)
    return pixels.view(len(kept), *decoder.shape), list(kept)


def decoded_apart(
    source: Source, names: list[str], decoder: ContentDecoder, threads: int
) -> tuple[list[Tensor], list[str]]:
    """As `decoded`, but each image has its own shape: uint8 (C, H, W)."""
    pixels, kept = mapped(source, names, decoder, threads)
    parts = pixels.split([prod(shape) for shape in kept.values()])
    return [part.view(shape) for part, shape in zip(parts, kept.values(), strict=True)], list(kept)


def mapped(source: Source, names: list[str], decoder: ContentDecoder, threads: int) -> tuple[Tensor, dict[str, Shape]]:
    """The bytes of all images in a row, mapped read-only, and the shape of each name that could be decoded."""
    made_of = (FORMAT, decoder, [(name, source.fingerprint(name)) for name in names])
    folder = cache_dir() / "images" / sha256(repr(made_of).encode()).hexdigest()[:32]
    kept = stored_shapes(folder, decoder)
    if kept is None:
        kept = write(folder, source, names, decoder, threads)
    if not kept:
        raise UserError(f"none of {len(names)} images in {source.path} can be decoded")
    if len(kept) < len(names):
        first = next(name for name, there in zip_longest(names, kept) if name != there)
        warnings.warn(
            f"skipped {len(names) - len(kept)} of {len(names)} images in {source.path} that cannot be decoded,"
            f" the first is {first}",
            stacklevel=2,
        )
    pixels = np.memmap(folder / "images.bin", np.uint8, "r")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has no read-only tensors and says so; nobody writes to this one
        return torch.from_numpy(pixels), kept


def stored_shapes(folder: Path, decoder: ContentDecoder) -> dict[str, Shape] | None:
    """The shapes by name in a complete cache; None when there is none, or when it is damaged."""
    try:
        names = json.loads((folder / "names.json").read_text())
        shapes = json.loads((folder / "shapes.json").read_text()) if decoder.shape is None else None
        kept = dict(zip(names, shapes or [decoder.shape] * len(names), strict=True))
        complete = (folder / "images.bin").stat().st_size == sum(map(prod, kept.values()))
    except (OSError, ValueError):
        return None
    return kept if complete else None


def write(folder: Path, source: Source, names: list[str], decoder: ContentDecoder, threads: int) -> dict[str, Shape]:
    """Decodes into `folder` and returns the shapes by name; `names.json` comes last and makes it complete."""
    kept = {}
    try:
        with replacing(folder / "images.bin") as temporary, open(temporary, "wb") as file:
            for name, pixels in decode(source, names, decoder, threads):
                if pixels is not None:
                    file.write(pixels.tobytes())
                    kept[name] = pixels.shape
        if decoder.shape is None:
            with replacing(folder / "shapes.json") as temporary:
                temporary.write_text(json.dumps(list(kept.values())))
        with replacing(folder / "names.json") as temporary:
            temporary.write_text(json.dumps(list(kept)))
    except OSError as error:
        raise UserError(f"cannot keep decoded images ({error}): free {folder} or set LIT_GANS_CACHE") from error
    return kept


def decode(
    source: Source, names: list[str], decoder: ContentDecoder, threads: int
) -> Iterator[tuple[str, np.ndarray | None]]:
    """Yields each name with its pixels, or with None when they are to be skipped."""

    def pixels(name: str) -> np.ndarray | None:
        try:
            return decoder(read(name))
        except Exception as error:  # PIL and zipfile meet damage with many types
            if decoder.on_corrupt == "skip":
                return None
            told = f"{source.path / name} ({reason_of(error)})"
            raise UserError(f"cannot use {told}: mend or remove it, or set --data.on_corrupt=skip") from error

    progress = tqdm(total=len(names), desc=f"decoding {source.path.name}", unit=" images", disable=None)
    with progress, source.reader() as read, ThreadPoolExecutor(max(threads, 1)) as pool:
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            yield from zip(chunk, pool.map(pixels, chunk), strict=True)
            progress.update(len(chunk))
