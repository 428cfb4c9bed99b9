"""Published sets of images that are known by name, fetched when they are missing."""

from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from tqdm import tqdm

from datamodules.sources import Folder, Zip, source_at
from lit_gans.errors import UserError
from lit_gans.files import replacing

PLACE = "http://efrosgans.eecs.berkeley.edu"
CYCLEGAN = {
    "apple2orange": "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
    "cezanne2photo": "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff",
    "facades": "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
    "horse2zebra": "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
    "iphone2dslr_flower": "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
    "maps": "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
    "monet2photo": "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
    "summer2winter_yosemite": "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    "ukiyoe2photo": "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08",
    "vangogh2photo": "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
}
"""Archives of CycleGAN's authors, with the SHA-256 that TensorFlow Datasets has in `url_checksums/cycle_gan.txt`."""
PAIRED = ("facades", "maps")
"""Those of which both sides show the same, under the same names."""
UNCHECKED = ("cityscapes", "edges2handbags", "edges2shoes", "night2day")
"""Sets of pix2pix's authors without a published checksum, or (cityscapes) with a licence that wants to be read."""


def check_name(dataset: str, names: tuple[str, ...]) -> None:
    """Whether the set can be had by its name.

    Raises:
        UserError: it is none of `names`; says which there are, and how others are had.
    """
    if dataset in names:
        return
    if dataset in UNCHECKED:
        place = f"{PLACE}/pix2pix/datasets/{dataset}.tar.gz"
        raise UserError(f"{dataset} is not fetched by name: unpack {place} and give the folder as --data.root")
    raise UserError(f"there is no data.dataset={dataset!r}: choose from {', '.join(names)}")


def source_of(dataset: str | None, root: str | None, download: bool) -> Folder | Zip:
    """The images of a published set below `root` (by default `data`), or those in `root` itself."""
    return source_at(root) if dataset is None else published(dataset, root or "data", download)


def published(dataset: str, root: str, download: bool) -> Folder | Zip:
    """The images of a published set: a folder of its name in `root`, or an archive, which is fetched when missing.

    The archive stays packed: nothing in it can write anywhere.

    Raises:
        UserError: it is not there and must or can not be fetched, or what came is not what was published.
    """
    folder = Path(root, dataset)
    if folder.is_dir():
        return Folder(folder)
    path = folder.with_suffix(".zip")
    url = f"{PLACE}/cyclegan/datasets/{dataset}.zip"
    if not path.exists():
        where = f"{dataset} not found in {path.parent.absolute()}"
        advice = f"set --data.root to where {dataset}.zip is, or a folder of that name; it is at {url}"
        if not download:
            raise UserError(f"{where}: give --data.download=true, or {advice}")
        try:
            fetch(url, CYCLEGAN[dataset], path)
        except (OSError, HTTPException) as error:
            raise UserError(f"{where} and not downloaded ({error}): {advice}") from error
    return Zip(path)


def fetch(url: str, digest: str, path: Path) -> None:
    """Downloads a file, which appears under its name only when it is complete and right.

    Args:
        url: where it is.
        digest: its SHA-256 in hexadecimal.
        path: where it goes.

    Raises:
        OSError, HTTPException: it can't be had or written, or is another file.
    """
    found = sha256()
    with urlopen(url, timeout=30) as response, replacing(path) as temporary, open(temporary, "wb") as file:
        total = int(response.headers.get("Content-Length") or 0) or None
        with tqdm(total=total, desc=path.name, unit="B", unit_scale=True, disable=None) as progress:
            while block := response.read(1 << 20):
                file.write(block)
                found.update(block)
                progress.update(len(block))
        if found.hexdigest() != digest:
            raise OSError(f"what came is another file, of SHA-256 {found.hexdigest()}")
