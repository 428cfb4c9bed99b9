"""Published weights: where they are looked for, and what a user is told who has to bring them; weights of our own."""

from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import torch
from safetensors import safe_open
from torch import Tensor

from lit_gans.errors import UserError
from lit_gans.files import cache_dir, replacing


def staged(url: str, digest: str, *, name: str = "", fetch: bool = False) -> Path:
    """The path of a published file: below `cache_dir()/features`, else in torch hub's cache, else fetched.

    Args:
        url: Where it is published.
        digest: Its SHA-256 in hexadecimal, or as many of the first digits as its authors tell.
        name: What the caches call it; by default as the URL does.
        fetch: Whether a missing file is downloaded, once, into this project's cache.

    Raises:
        UserError: it is nowhere and not fetched, or not what was published; says what to download to which place.
    """
    name = name or url.rpartition("/")[2]
    own = cache_dir() / "features" / name
    advice = f"download {url} to {own}"
    for path in (own, Path(torch.hub.get_dir(), "checkpoints", name)):
        if path.is_file():
            if not (found := sha256_of(path)).startswith(digest):
                raise UserError(f"{path} is damaged or another file (SHA-256 {found}): delete it and {advice}")
            return path
    if not fetch:
        raise UserError(f"the weights {name} are needed: {advice}")
    try:
        _fetch(url, digest, own)
    except (OSError, HTTPException) as error:
        raise UserError(f"the weights {name} are needed and could not be fetched ({error}): {advice}") from error
    return own


def shipped(path: Path, digest: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights that come with this package, and how they were made.

    Args:
        path: Of their file.
        digest: Its SHA-256 in hexadecimal.

    Raises:
        UserError: the file is another one.
    """
    if (found := sha256_of(path)) != digest:
        raise UserError(f"{path} is not the published file (SHA-256 {found}); install lit-gans again")
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 (not a dict)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _fetch(url: str, digest: str, path: Path) -> None:
    with urlopen(url, timeout=10) as response, replacing(path) as temporary:
        temporary.write_bytes(response.read())
        if not sha256_of(temporary).startswith(digest):
            raise OSError("what came was another file")
