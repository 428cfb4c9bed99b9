"""Image files decoded once, into one file of bytes that is mapped into memory."""

import json
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from itertools import zip_longest
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop, resize
from tqdm import tqdm

from datamodules.sources import Folder, Zip
from lit_gans.errors import UserError
from lit_gans.files import cache_dir, replacing

FORMAT = 1  # in every key: raise it when the same files would give other bytes
CHUNK = 256  # images decoded ahead of the writer, so that memory is bounded


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
    def shape(self) -> tuple[int, int, int]:
        """Of one image: (channels, height, width)."""
        return self.channels, self.size, self.size

    def __call__(self, content: bytes) -> bytes:
        """The bytes of a (channels, height, width) array from the content of an image file."""
        with Image.open(BytesIO(content)) as file:
            if file.mode[0] in "IF":  # which PIL would clip to white
                raise OSError(f"its pixels have more than 8 bits (mode {file.mode})")
            image = file.convert("L" if self.channels == 1 else "RGB")
        image = center_crop(image, [max(round(self.crop * min(image.size)), 1)])
        pixels = np.asarray(resize(image, [self.size, self.size]))
        return pixels.reshape(self.size, self.size, self.channels).transpose(2, 0, 1).tobytes()


def decoded(source: Folder | Zip, names: list[str], decoder: Decoder, threads: int) -> tuple[Tensor, list[str]]:
    """The images of these names, decoded now or earlier.

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
    made_of = (FORMAT, decoder, [(name, source.fingerprint(name)) for name in names])
    folder = cache_dir() / "images" / sha256(repr(made_of).encode()).hexdigest()[:32]
    kept = stored_names(folder, decoder)
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
    pixels = np.memmap(folder / "images.bin", np.uint8, "r", shape=(len(kept), *decoder.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has no read-only tensors and says so; nobody writes to this one
        return torch.from_numpy(pixels), kept


def stored_names(folder: Path, decoder: Decoder) -> list[str] | None:
    """The names in a complete cache; None when there is none, or when it is damaged."""
    try:
        names = json.loads((folder / "names.json").read_text())
        complete = (folder / "images.bin").stat().st_size == len(names) * prod(decoder.shape)
    except (OSError, ValueError):
        return None
    return names if complete else None


def write(folder: Path, source: Folder | Zip, names: list[str], decoder: Decoder, threads: int) -> list[str]:
    """Decodes into `folder` and returns the names that could be; `names.json` comes last and makes it complete."""
    kept = []
    try:
        with replacing(folder / "images.bin") as temporary, open(temporary, "wb") as file:
            for name, pixels in decode(source, names, decoder, threads):
                if pixels is not None:
                    file.write(pixels)
                    kept.append(name)
        with replacing(folder / "names.json") as temporary:
            temporary.write_text(json.dumps(kept))
    except OSError as error:
        raise UserError(f"cannot keep decoded images ({error}): free {folder} or set LIT_GANS_CACHE") from error
    return kept


def decode(
    source: Folder | Zip, names: list[str], decoder: Decoder, threads: int
) -> Iterator[tuple[str, bytes | None]]:
    """Yields each name with its pixels, or with None when they are to be skipped."""

    def pixels(name: str) -> bytes | None:
        try:
            return decoder(read(name))
        except Exception as error:  # PIL and zipfile meet damage with many types
            if decoder.on_corrupt == "skip":
                return None
            raise UserError(
                f"cannot decode {source.path / name} ({error}): mend or remove it, or set --data.on_corrupt=skip"
            ) from error

    progress = tqdm(total=len(names), desc=f"decoding {source.path.name}", unit=" images", disable=None)
    with progress, source.reader() as read, ThreadPoolExecutor(max(threads, 1)) as pool:
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            yield from zip(chunk, pool.map(pixels, chunk), strict=True)
            progress.update(len(chunk))
