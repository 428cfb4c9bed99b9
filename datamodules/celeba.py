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
    `celeba`, as torchvision has it), or in `root` itself. The splits are those of `list_eval_partition.txt` when it
    lies beside the images or among them (validation images are in neither); else the last tenth by name is for test.

    Args:
        image_size: height and width in pixels.
        root: the folder to look in.
        crop: side of the centred square that is kept, in pixels of the 178 x 218 original; scaled for smaller copies.
        attribute: the attribute in `list_attr_celeba.txt` that labels are made of, 1 for faces that have it.
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
        partition = self._beside("list_eval_partition.txt")
        if partition is None:
            train = len(names) - max(len(names) // 10, 1)
            return names[train:] if split == "test" else names[:train]
        parts = dict(line.split() for line in partition.read_text().splitlines())
        wanted = "2" if split == "test" else "0"
        chosen = [name for name in names if parts.get(PurePosixPath(name).name) == wanted]
        if not chosen:
            raise UserError(f"{partition} names none of the {len(names)} images in {self.source.path} for {split!r}")
        return chosen

    def labels(self, names: list[str]) -> list[int]:
        """1 for faces with the attribute, 0 for others."""
        if self.attribute is None:
            return [0] * len(names)
        path, column = self._column()
        rows = (line.split() for line in path.read_text().splitlines()[2:])
        values = {row[0]: int(row[column] == "1") for row in rows}
        files = [PurePosixPath(name).name for name in names]
        if unknown := [file for file in files if file not in values]:
            raise UserError(f"{path} has no line for {unknown[0]} ({len(unknown)} such images)")
        return [values[file] for file in files]

    def _column(self) -> tuple[Path, int]:
        """The attribute file, and where the attribute is in its rows, whose first word is the name of the image."""
        path = self._beside("list_attr_celeba.txt")
        if path is None:
            raise UserError(f"data.attribute needs list_attr_celeba.txt beside {self.source.path}; it is at {HOME}")
        with open(path) as file:
            file.readline()  # the number of images
            attributes = file.readline().split()
        if self.attribute not in attributes:
            near = get_close_matches(self.attribute, attributes, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(attributes)}"
            raise UserError(f"no attribute {self.attribute!r} in {path}: {hint}")
        return path, attributes.index(self.attribute) + 1

    def _beside(self, name: str) -> Path | None:
        folder = self.source.path
        return next((path for path in (folder.parent / name, folder / name) if path.is_file()), None)


def find_faces(root: Path) -> Folder | Zip:
    """The images under `root`, in any of the layouts that people have.

    Raises:
        UserError: there are none.
    """
    names = ("img_align_celeba", "img_align_celeba.zip")
    for path in (*(folder / name for folder in (root / "celeba", root) for name in names), root):
        if path.is_dir() and any(path.glob("*.jpg")):
            return Folder(path)
        if path.is_file():
            return Zip(path)
    raise UserError(
        f"CelebA not found in {root.absolute()}: get img_align_celeba.zip (aligned and cropped images) from {HOME},"
        " put it there, unpacked or not, or set --data.root to where it is"
    )
