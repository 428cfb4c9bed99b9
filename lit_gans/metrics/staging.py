"""Published weights: where they are looked for, and what a user is told who has to bring them."""

from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import torch

from lit_gans.errors import UserError
from lit_gans.files import cache_dir, replacing

NO_FEATURES = "measure nothing with --metrics.features=[]"


def staged(url: str, digest: str, *, name: str = "", fetch: bool = False, otherwise: str = NO_FEATURES) -> Path:
    """The path of a published file: below `cache_dir()/features`, else in torch hub's cache, else fetched.

    Args:
        url: Where it is published.
        digest: Its SHA-256 in hexadecimal, or as many of the first digits as its authors tell.
        name: What the caches call it; by default as the URL does.
        fetch: Whether a missing file is downloaded, once, into this project's cache.
        otherwise: What a user can do who does not want it.

    Raises:
        UserError: it is nowhere and not fetched, or not what was published; says what to download to which place.
    """
    name = name or url.rpartition("/")[2]
    own = cache_dir() / "features" / name
    advice = f"download {url} to {own}, or {otherwise}"
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
