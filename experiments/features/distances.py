"""How far apart the small perceptual network finds images: `python -m experiments.features.distances FOLDER`.

FOLDER holds photographs that the network has not seen, such as Kodak's. Prints a table in Markdown: of mean squares of
pixels, of the maps of an untrained network, and of those of the trained one,

- the rank correlation of the distance from a patch to its spoilt copy with how much it was spoilt, over all patches;
- the distance of a shift by one pixel, as a share of that of a blur (standard deviation 1), median over the patches.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional import spearman_corrcoef
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2.functional import gaussian_blur

from experiments.features.perceptual import spoilt
from lit_gans.perceptual import SmallFeatures, SmallNetwork

Maps = Callable[[Tensor], list[Tensor]]
SPOILT = ("blur", "noise", "jpeg", "few pixels", "little contrast")
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def squares(folder: Path, each: int = 8, size: int = 66) -> Tensor:
    """Squares (N, 3, size, size), uint8, at random places of the PNG files of a folder, `each` of each."""
    found = []
    for path in sorted(folder.glob("*.png")):
        image = decode_image(path, ImageReadMode.RGB)
        for _ in range(each):
            top, left = (int(torch.randint(side - size + 1, ())) for side in image.shape[1:])
            found.append(image[:, top : top + size, left : left + size])
    return torch.stack(found)


@torch.inference_mode()
def distances(maps: Maps, ours: Tensor, theirs: Tensor) -> Tensor:
    """(N,), mean squares of the differences of maps, summed over the maps, as in `content_loss`."""
    pairs = zip(maps(ours / 127.5 - 1), maps(theirs / 127.5 - 1), strict=True)
    return sum((one - other).square().mean((1, 2, 3)) for one, other in pairs)


def figures(maps: Maps, wide: Tensor) -> list[float]:
    """The rank correlations, and the share of a shift."""
    whole, found = wide[:, :, 1:-1, 1:-1], []
    for kind in SPOILT:
        torch.manual_seed(0)
        far = [distances(maps, torch.stack([spoilt(one, kind, much) for one in whole]), whole) for much in STRENGTHS]
        found.append(spearman_corrcoef(torch.cat(far), torch.tensor(STRENGTHS).repeat_interleave(len(whole))).item())
    shifts = [distances(maps, shifted, whole) for shifted in (wide[:, :, 1:-1, 2:], wide[:, :, 2:, 1:-1])]
    blur = distances(maps, gaussian_blur(whole, [9, 9], [1, 1]), whole)
    return [*found, (sum(shifts) / 2 / blur).median().item()]


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    torch.manual_seed(0)
    wide = squares(given.folder)
    compared = {"pixels": lambda images: [images], "untrained": SmallNetwork(), "SmallFeatures": SmallFeatures()}
    print("| distance | " + " | ".join([*SPOILT, "shift / blur"]) + " |\n" + "|---" * (2 + len(SPOILT)) + "|")
    for name, maps in compared.items():
        print(f"| {name} | " + " | ".join(f"{figure:.2f}" for figure in figures(maps, wide)) + " |")


if __name__ == "__main__":
    main()
