"""Where files go and how they are replaced: never half-written, never lost."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex


def cache_dir() -> Path:
    """The folder of all shared caches (decoded images, feature weights): `$LIT_GANS_CACHE`, or `~/.cache/lit_gans`."""
    return Path(os.environ.get("LIT_GANS_CACHE") or Path.home() / ".cache" / "lit_gans")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; when the block succeeds, its file takes the place of `path` at once.

    The file is on the disk (fsync) before the name changes, so that whoever reads `path`, even after a crash, sees
    either the old content or the new. When the block fails, the temporary file is removed and `path` is untouched.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{token_hex(8)}.tmp")  # several hosts may write into one folder
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
