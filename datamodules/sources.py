"""Image files in a folder or a zip archive, seen alike."""

import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.ImageOps import exif_transpose

from lit_gans.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def is_image(name: str) -> bool:
    """Whether a relative path is one of an image, and neither hidden nor in a hidden folder."""
    return name.lower().endswith(SUFFIXES) and "/." not in f"/{name}"


def open_image(content: bytes, channels: int = 3) -> Image.Image:
    """The image that the content of a file is, the right way up as its EXIF says, in grey (1 channel) or colour (3).

    Raises:
        OSError: its pixels have more than 8 bits, which PIL would clip to white; PIL meets damage with other types too.
    """
    with opened(content) as file:
        return exif_transpose(file).convert("L" if channels == 1 else "RGB")


@contextmanager
def opened(content: bytes) -> Iterator[Image.Image]:
    """Yields the image as it is in the file; see `open_image`."""
    with Image.open(BytesIO(content)) as file:
        if file.mode[0] in "IF":
            raise OSError(f"its pixels have more than 8 bits (mode {file.mode})")
        yield file


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Names the file where something in the block fails, for PIL meets damage with many types.

    Raises:
        UserError: something did.
    """
    try:
        yield
    except Exception as error:
        raise UserError(f"cannot use {path} ({reason_of(error)}): mend or remove it") from error


def reason_of(error: Exception) -> Exception | str:
    """What is wrong with a file; PIL speaks of a place in memory where it is no image."""
    return "it is no image" if isinstance(error, UnidentifiedImageError) else error


class Folder:
    """The images in a folder and its sub-folders.

    Attributes:
        path: the folder.
        names: paths of the images, relative to it, sorted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        files = (Path(folder, name) for folder, _, names in os.walk(path, followlinks=True) for name in names)
        self.names = sorted(name for file in files if is_image(name := file.relative_to(path).as_posix()))

    def fingerprint(self, name: str) -> tuple[int, int]:
        """Changes when the file does: size in bytes and time of change in nanoseconds."""
        status = (self.path / name).stat()
        return status.st_size, status.st_mtime_ns

    @contextmanager
    def reader(self) -> Iterator[Callable[[str], bytes]]:
        """Yields a function that reads the file of a name."""
        yield lambda name: (self.path / name).read_bytes()


class File(Folder):
    """A single image, as a folder that has no others.

    Attributes:
        path: the folder it is in.
        names: its name there.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.names = path.parent, [path.name]


class Zip:
    """The images in a zip archive.

    Attributes:
        path: the archive.
        names: paths of the images inside, sorted.

    Raises:
        UserError: the file is no zip archive, or a damaged one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                entries = [entry for entry in archive.infolist() if is_image(entry.filename)]
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f"cannot read the archive {path}: {error}") from error
        self._entries = {entry.filename: (entry.file_size, entry.CRC) for entry in entries}
        self.names = sorted(self._entries)

    def fingerprint(self, name: str) -> tuple[int, int]:
        """Changes when the entry does: size in bytes and checksum."""
        return self._entries[name]

    @contextmanager
    def reader(self) -> Iterator[Callable[[str], bytes]]:
        """Yields a function that reads the entry of a name; threads may share it."""
        with zipfile.ZipFile(self.path) as archive:
            yield archive.read


class Together:
    """Images of a source in twos: the content of a name is the contents of two files.

    Args:
        source: where the files are.
        twos: the names of two files, by the name of both.

    Attributes:
        path: the folder or archive.
        names: of the twos, sorted.
    """

    def __init__(self, source: Folder | Zip, twos: dict[str, tuple[str, str]]) -> None:
        self.source, self.twos = source, twos
        self.path, self.names = source.path, sorted(twos)

    def fingerprint(self, name: str) -> tuple[tuple[int, int], ...]:
        """Changes when one of the files does."""
        return tuple(self.source.fingerprint(one) for one in self.twos[name])

    @contextmanager
    def reader(self) -> Iterator[Callable[[str], tuple[bytes, ...]]]:
        """Yields a function that reads both files of a name."""
        with self.source.reader() as read:
            yield lambda name: tuple(read(one) for one in self.twos[name])


def source_at(root: str | Path) -> Folder | Zip:
    """The images in a folder or a zip archive.

    Raises:
        UserError: there is neither.
    """
    path = Path(root)
    if not path.exists():
        raise UserError(f"no folder or zip archive {path.absolute()}: set --data.root to where the images are")
    return Folder(path) if path.is_dir() else Zip(path)


def name_of(root: str | Path) -> str:
    """The name of a folder or an archive in small letters and underscores."""
    return re.sub(r"\W+", "_", Path(root).resolve().name.lower().removesuffix(".zip")).strip("_") or "images"


def below(source: Folder | Zip, *folders: str) -> dict[str, str]:
    """The images in the first of these folders that has any: their names in `source` by those inside the folder.

    The folders may all lie in one more, as they do in archives.
    """
    outer = source.names[0].split("/")[0] if source.names else ""
    for folder in folders:
        for start in (f"{folder}/", f"{outer}/{folder}/"):
            if found := {name.removeprefix(start): name for name in source.names if name.startswith(start)}:
                return found
    return {}


def every_tenth(names: list[str], split: str) -> list[str]:
    """Of these names every tenth, beginning with the first, for "test", and the others for "train"."""
    return [name for place, name in enumerate(names) if (place % 10 == 0) == (split == "test")]
