from pathlib import Path

import torch
from torchvision.utils import save_image

from lit_gans.callbacks.samples import image_grid
from lit_gans.errors import UserError
from lit_gans.files import replacing
from lit_gans.loading import load_sampler


def sample(
    run: Path,
    *,
    output: Path,
    n: int = 64,
    seed: int = 0,
    label: int | None = None,
    truncation: float | None = None,
    columns: int = 8,
) -> None:
    """Draws images from a trained model; the same seed gives the same images.

    Args:
        run: Run directory (its best checkpoint, else its last one) or checkpoint file.
        output: A .png file for one grid, or a folder for one PNG per image.
        n: Number of images.
        seed: Of the latents.
        label: Class of all images; none for random classes.
        truncation: Bound of the latents: smaller for less variety and better images.
        columns: Of the grid.
    """
    if n < 1:
        raise UserError(f"--n={n}: at least one image")
    if output.suffix and output.suffix != ".png":
        raise UserError(f"--output={output}: pictures are written as .png, or give a folder")
    images = load_sampler(run).sample(n, label, torch.Generator().manual_seed(seed), truncation=truncation)
    pictures = (
        {output: image_grid(images, columns)}
        if output.suffix
        else {output / f"{index:0{len(str(n - 1))}}.png": image.add(1).div(2) for index, image in enumerate(images)}
    )
    for path, picture in pictures.items():
        with replacing(path) as temporary:
            save_image(picture, temporary, format="png")
    print(f"{n} images: {output}")
