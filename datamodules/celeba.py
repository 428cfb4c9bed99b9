"""Aligned faces of celebrities."""

from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from datamodules.image_folder import ImageFiles
from datamodules.sources import Folder, Zip
from lit_gans.errors import UserError

WIDTH = 178  # of an original image; its height is 218
HOME = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


class CelebA(ImageFiles):
    """CelebA's aligned faces (Liu et al. 2015, "Deep Learning Face Attributes in the Wild"), at any scale.

    The images are found as `img_align_celeba.zip`, in a folder `img_align_celeba` (either one may lie in a folder
    `celeba`, as torchvision has it, and the folder may hold another of its name, as Kaggle's does), or in `root`
    itself. The splits are those of `list_eval_partition` (.txt, or Kaggle's .csv) when it lies beside the images or
    among them (validation images are in neither); else the last tenth by name is for test.

    Args:
        image_size: height and width in pixels.
        root: the folder to look in.
        crop: side of the centred square that is kept, in pixels of the 178 x 218 original; scaled for smaller copies.
        attribute: the attribute in `list_attr_celeba` (.txt or .csv) that labels are made of, 1 for faces that have it.
        **common: see `ImageFiles`.

    Raises:
        UserError: no images under `root`, `crop` is out of 1..178, no attribute file, no such attribute.
    """

    name = "celeba"
    channels = 3

    def __init__(
        self,
        *,
        image_size: int = 64,
        root: str = "data",
        crop: int = WIDTH,
        attribute: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(image_size=image_size, root=root, **common)
        if not 1 <= crop <= WIDTH:
            raise UserError(f"data.crop must be in 1..{WIDTH} (pixels of the original), not {crop}")
        self.crop = crop / WIDTH
        self.source = find_faces(Path(root))
        self.attribute = attribute
        if attribute is not None:
            self._column()
            self.num_classes = 2

    def names(self, split: str) -> list[str]:
        """The names of the partition file, or all but the last tenth for training and the last tenth for test."""
        names = self.source.names
        partition = self._beside("list_eval_partition")
        if partition is None:
            train = len(names) - max(len(names) // 10, 1)
            return names[train:] if split == "test" else names[:train]
        parts, wanted = read_table(partition)[1], ["2" if split == "test" else "0"]
        chosen = [name for name in names if parts.get(PurePosixPath(name).name) == wanted]
        if not chosen:
            raise UserError(f"{partition} names none of the {len(names)} images in {self.source.path} for {split!r}")
        return chosen

    def labels(self, names: list[str]) -> list[int]:
        """1 for faces with the attribute, 0 for others."""
        if self.attribute is None:
            return [0] * len(names)
        path, rows, column = self._column()
        files = [PurePosixPath(name).name for name in names]
        if unknown := [file for file in files if file not in rows]:
            raise UserError(f"{path} has no line for {unknown[0]} ({len(unknown)} such images)")
        return [int(rows[file][column] == "1") for file in files]

    def _column(self) -> tuple[Path, dict[str, list[str]], int]:
        """The attribute file, its rows, and where the attribute is in them."""
        path = self._beside("list_attr_celeba")
        if path is None:
            raise UserError(f"data.attribute needs list_attr_celeba.txt beside {self.source.path}; it is at {HOME}")
        attributes, rows = read_table(path)
        if self.attribute not in attributes:
            near = get_close_matches(self.attribute, attributes, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(attributes)}"
            raise UserError(f"no attribute {self.attribute!r} in {path}: {hint}")
        return path, rows, attributes.index(self.attribute)

    def _beside(self, name: str) -> Path | None:
        """The table of that name among the images, beside their folder, or (Kaggle's layout) one further up."""
        folder = self.source.path
        folders = (folder.parent, folder, *([folder.parent.parent] if folder.parent.name == folder.name else []))
        paths = (place / f"{name}{suffix}" for place in folders for suffix in (".txt", ".csv"))
        return next((path for path in paths if path.is_file()), None)


def read_table(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The names of the columns (where the file has them) and the row of each image.

    Args:
        path: Words between spaces or commas, the image's name first; above the rows the columns and, in the original
            files, the number of images.

    Raises:
        UserError: the rows are not of one length.
    """
    lines = [line.replace(",", " ").split() for line in path.read_text().splitlines()]
    rows = {line[0]: line[1:] for line in lines if line and line[0].endswith(".jpg")}
    headers = [line for line in lines[:2] if line and line[0] not in rows]
    if len({len(row) for row in rows.values()}) > 1:
        raise UserError(f"{path} is damaged: it has rows of unlike length")
    return [name for name in (headers or [[]])[-1] if name != "image_id"], rows


def find_faces(root: Path) -> Folder | Zip:
    """The images under `root`, in any of the layouts that people have.

    Raises:
        UserError: there are none.
    """
    names = ("img_align_celeba", "img_align_celeba.zip", "img_align_celeba/img_align_celeba")
    for path in (*(folder / name for folder in (root / "celeba", root) for name in names), root):
        if path.is_dir() and any(path.glob("*.jpg")):
            return Folder(path)
        if path.is_file():
            return Zip(path)
    raise UserError(
        f"CelebA not found in {root.absolute()}: get img_align_celeba.zip (aligned and cropped images) from {HOME},"
        " put it there, unpacked or not, or set --data.root to where it is"
    )
