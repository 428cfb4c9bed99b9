"""Photos of any size in files: where they are, where what is made of them goes, and how they are read and written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from zipfile import is_zipfile

import numpy as np
import torch
from PIL import Image
from PIL.ImageOps import exif_transpose
from torch import Tensor

from datamodules.cache import as_array
from datamodules.sources import SUFFIXES, File, Folder, Zip, opened
from lit_gans.errors import UserError

Format = Literal["keep", "jpg", "png", "webp"]
"""What files are written as; `keep` for what they were."""

LONGEST = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}
"""Pixels of a side that a format can hold, where it is not many more."""

ROWS = 256
"""So many are copied at a time, that there is never another copy of the whole photo."""


def photos_at(path: Path, output: Path) -> Folder | Zip:
    """The photos of a file, a folder or a zip archive; without those that an earlier command may have put in `output`.

    Raises:
        UserError: there are none.
    """
    if not path.exists():
        raise UserError(f"there is no {path}")
    if path.is_dir():
        source, folder, made = Folder(path), path.resolve(), output.resolve()
        if folder in made.parents:
            source.names = [name for name in source.names if made not in (folder / name).parents]
    elif path.suffix.lower() in SUFFIXES:
        source = File(path)
    elif is_zipfile(path):
        source = Zip(path)
    else:
        raise UserError(f"{path} is neither an image (jpg, png, webp, bmp) nor a folder or zip archive of images")
    if not source.names:
        raise UserError(f"there are no images (jpg, png, webp, bmp) in {path}")
    return source


def places_for(source: Folder | Zip, output: Path, form: Format, *others: Path) -> dict[str, Path]:
    """Where what is made of each photo goes, by the names of the photos.

    Args:
        source: Of the photos.
        output: A folder, in which names and sub-folders are kept; for a single file also the name of a file.
        form: Of the files; only it changes their suffix.
        others: Files that are not to be overwritten either.

    Raises:
        UserError: a photo would be overwritten, two would become one file or one lie outside the folder; or the output
            is named after a format that does not fit.
    """
    formats, suffix = Image.registered_extensions(), output.suffix.lower()
    if suffix in formats and not output.is_dir():
        if not isinstance(source, File):
            raise UserError(f"--output={output} is a single file: give a folder for what is made of many")
        if suffix not in SUFFIXES or form != "keep" and formats[suffix] != formats[f".{form}"]:
            wanted = "jpg, png, webp or bmp" if form == "keep" else f"--format={form}"
            raise UserError(f"--output={output} is no name for {wanted}: give another, or a folder")
        places = dict.fromkeys(source.names, output)
    elif form == "keep":
        places = {name: output / name for name in source.names}
    else:
        places = {name: (output / name).with_suffix(f".{form}") for name in source.names}
    inputs, taken = {path.resolve() for path in (*others, *(source.path / name for name in places))}, {}
    for name, place in places.items():
        if not place.is_relative_to(output):
            raise UserError(f"{source.path} has an image named {name}, which is no place in a folder")
        if place in taken:
            raise UserError(f"{taken[place]} and {name} would both become {place}: rename one, or keep the format")
        if place.resolve() in inputs:
            raise UserError(f"{place} is itself one of the images given: name another --output")
        taken[place] = name
    return places


def read_photo(content: bytes, channels: int) -> tuple[Tensor, bytes]:
    """A photo the right way up, as its EXIF says, and over white where it is transparent.

    Args:
        content: Of a file. Only the first of several pictures is read.
        channels: 1 for grey, 3 for colour.

    Returns:
        (1, channels, H, W), uint8, and its ICC profile; an empty one if there is none for so many channels.

    Raises:
        OSError: it is grey of more than 8 bits (of colours Pillow drops the lower 8); damage has other types too.
    """
    with of_any_size(), opened(content) as photo:
        exif_transpose(photo, in_place=True)
        pixels = np.empty((channels, photo.height, photo.width), np.uint8)
        for top in range(0, photo.height, ROWS):
            rows = over_white(photo.crop((0, top, photo.width, min(top + ROWS, photo.height))))
            pixels[:, top : top + ROWS] = as_array(rows.convert("L" if channels == 1 else "RGB"))
        profile = photo.info.get("icc_profile") or b""
    fits = profile[16:20] == (b"GRAY" if channels == 1 else b"RGB ")
    return torch.from_numpy(pixels)[None], profile if fits else b""


def write_photo(path: Path, pixels: Tensor, suffix: str, profile: bytes = b"") -> None:
    """Writes an image, lossy formats at quality 95.

    Args:
        path: Of the file.
        pixels: (1, C, H, W), uint8, grey or colour.
        suffix: Tells the format.
        profile: ICC profile; may be empty.
    """
    _, channels, height, width = pixels.shape
    image = Image.new("L" if channels == 1 else "RGB", (width, height))
    for top in range(0, height, ROWS):
        rows = pixels[0, :, top : top + ROWS].permute(1, 2, 0).contiguous().numpy()
        image.paste(Image.fromarray(rows[..., 0] if channels == 1 else rows), (0, top))
    image.save(path, Image.registered_extensions()[suffix.lower()], quality=95, icc_profile=profile)


def check_side(place: Path, side: int) -> None:
    """Refuses an image that its format cannot hold, before it is made.

    Args:
        place: Where it shall go.
        side: Its longer one, in pixels.

    Raises:
        UserError: says how long it may be.
    """
    most = LONGEST.get(place.suffix.lower(), side)
    if side > most:
        raise UserError(f"{place} would be {side} pixels long, of which its format holds {most}: use --format=png")


def over_white(image: Image.Image) -> Image.Image:
    """What one sees of an image that may be transparent on a white page."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image.convert("RGBA"))
    return page


@contextmanager
def of_any_size() -> Iterator[None]:
    """Lifts Pillow's limit of pixels, which guards servers from the files of strangers."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
