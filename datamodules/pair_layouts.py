"""Where in a folder or archive the pairs of images are."""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from lightning.pytorch.utilities import rank_zero_info

from datamodules.base import SPLITS
from datamodules.sources import Folder, Together, Zip, below, every_tenth
from lit_gans.errors import UserError

FOLDERS = {"train": ("train",), "test": ("test", "val")}  # of each split, the first that is there
FORMS = ("{0}/{1}", "{0}{1}", "{1}/{0}")  # how folders of a split and a side are called


class Files(NamedTuple):
    """Files of a source, two or one of each pair, and the names of some."""

    source: Folder | Zip | Together
    names: list[str]


def of_side(source: Folder | Zip, split: str, side: str) -> dict[str, str]:
    """The images of side "A" or "B" of a split, by their names inside the folder."""
    return below(source, *(form.format(folder, side) for folder in FOLDERS[split] for form in FORMS))


def find_pairs(source: Folder | Zip) -> dict[str, Files]:
    """Where the pairs of each split are, and their names; without a folder for test every tenth pair is kept for it.

    Raises:
        UserError: none of the layouts of `PairedImages` is there, or files have no partners.
    """
    apart = {split: [of_side(source, split, side) for side in "AB"] for split in SPLITS}
    whole = [below(source, side) for side in "AB"]
    if any(apart["train"]):
        twos = {split: partners(source, *sides) for split, sides in apart.items()}
        found = {split: Files(pairs, pairs.names) for split, pairs in twos.items()}
    elif any(whole):
        pairs = partners(source, *whole)
        found = {"train": Files(pairs, pairs.names), "test": Files(pairs, [])}
    else:
        found = {split: Files(source, list(below(source, *FOLDERS[split]).values())) for split in SPLITS}
    training = found["train"]
    if not training.names:
        raise UserError(
            f"no pairs for train in {source.path.absolute()}: it needs folders train and test (or val) with files of"
            " two images side by side, or with folders A and B in them, or else folders A and B alone"
        )
    if not found["test"].names:
        found = {split: Files(training.source, every_tenth(training.names, split)) for split in SPLITS}
        rank_zero_info(
            f"{len(found['test'].names)} of {len(training.names)} pairs are kept for test: there is no folder"
        )
    return found


def partners(source: Folder | Zip, a: dict[str, str], b: dict[str, str]) -> Together:
    """Files of A and of B with the same names.

    Raises:
        UserError: some have no partner, or two the same one.
    """
    firsts, seconds = by_stem(source, a), by_stem(source, b)
    for ones, others, side in ((firsts, seconds, "B"), (seconds, firsts, "A")):
        if alone := sorted(ones.keys() - others.keys()):
            more = f", nor have {len(alone) - 1} more" if len(alone) > 1 else ""
            raise UserError(f"{source.path / ones[alone[0]]} has no partner in {side}{more}: add or remove files")
    return Together(source, {first: (first, seconds[stem]) for stem, first in firsts.items()})


def by_stem(source: Folder | Zip, names: dict[str, str]) -> dict[str, str]:
    """Names in `source` by what those inside the folder have in common with their partners'."""
    stems: dict[str, str] = {}
    for inside, name in names.items():
        stem = re.sub("_[AB]$", "", str(PurePosixPath(inside).with_suffix("")))
        if stem in stems:
            raise UserError(f"{source.path / name} and {stems[stem]} have the same partner: remove one")
        stems[stem] = name
    return stems
