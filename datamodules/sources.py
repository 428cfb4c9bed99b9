"""Image files in a folder or a zip archive, seen alike."""

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_gans.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def is_image(name: str) -> bool:
    """Whether a relative path is one of an image, and neither hidden nor in a hidden folder."""
    return name.lower().endswith(SUFFIXES) and "/." not in f"/{name}"


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
