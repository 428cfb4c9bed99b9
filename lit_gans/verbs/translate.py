from functools import partial
from inspect import signature
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torchvision.transforms.v2.functional import resize

from datamodules.sources import decoding
from lit_gans.errors import UserError
from lit_gans.files import replacing
from lit_gans.loading import Device, device_of, load
from lit_gans.metrics.evaluation import bar
from lit_gans.networks import StyleTranslator
from lit_gans.photos import Format, check_side, photos_at, places_for, read_photo, write_photo
from lit_gans.randomness import seed_engines
from lit_gans.variants.translation import Translation


def translate(
    run: Path,
    images: Path,
    *,
    output: Path,
    format: Format = "keep",
    tile: int | None = 512,
    overlap: int | None = None,
    direction: Literal["ab", "ba"] | None = None,
    style: Path | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Translates photos of any size by a trained model, into images of the same size and name.

    They are turned as their EXIF says, laid over white where they are transparent, and keep their ICC profile; models
    of grey images see and make grey ones. Large ones are translated in tiles, which fade into each other, so that
    memory holds the photo and what is made of it as bytes, and the network's maps of one tile. A network that
    normalises over the image (instance norm, a style shown to it) then does so over each tile, which shows where tiles
    meet: larger ones are better, and --tile=null gives it the whole photo, if there is the memory.

    Args:
        run: Run directory (its best checkpoint, else its last one) or checkpoint file.
        images: A photo (jpg, png, webp, bmp), or a folder or zip of photos; sub-folders are kept.
        output: A folder; for a single photo also the name of a file.
        format: Of the files; lossy ones are written at quality 95.
        tile: Side of the tiles in pixels; null for whole photos.
        overlap: Of neighbouring tiles in pixels; by default an eighth of a tile.
        direction: Of a CycleGAN: from set a to b, the default, or back.
        style: Style image for a generator that is shown one; made smaller where it is larger than a tile.
        seed: Of the noise, for models that have any.
        device: auto takes a GPU if there is one.
    """
    options = {"tile": tile, "overlap": overlap, "direction": direction, "style": style}
    translate_files(run, images, output, format, device, seed=seed, larger=False, **options)


def translate_files(
    run: Path,
    images: Path,
    output: Path,
    form: Format,
    device: Device,
    *,
    larger: bool,
    tile: int | None,
    overlap: int | None,
    direction: str | None = None,
    style: Path | None = None,
    seed: int = 0,
) -> None:
    """What `translate` and `upscale` do; the model shall make its images larger, or leave them their size."""
    source = photos_at(images, output)
    places = places_for(source, output, form, *[style] * (style is not None))
    model = load_translator(run, larger).to(device_of(device))
    options = {name: given for name, given in {"direction": direction, "style": style}.items() if given is not None}
    for name in options.keys() - signature(model.translate).parameters.keys():
        raise UserError(f"--{name} is nothing to a {type(model).__name__}: leave it out")
    network = model.ema[direction or "ab"] if isinstance(model.ema, nn.ModuleDict) else model.ema
    channels, made = network.source_shape[0], network.image_shape[0]
    if not {channels, made} <= {1, 3}:
        raise UserError(
            f"{run} wants images of {channels} channels and makes such of {made}, and files have 1 or 3: "
            f"use lit_gans.load({str(run)!r}).translate(images)"
        )
    if style is not None:
        options["style"] = read_style(style, channels, tile)
    work = partial(model.translate, tile=tile, overlap=overlap, **options)
    work(torch.empty(0, channels, 1, 1, dtype=torch.uint8))  # what is wrong with the options is said now
    unusable = []
    with source.reader() as read:
        for name, place in bar(places.items(), "photos"):
            try:
                with decoding(source.path / name):
                    pixels, profile = read_photo(read(name), channels)
            except UserError as error:
                unusable.append(str(error))
                continue
            if tile is not None and max(pixels.shape) > tile and normalises_over_images(network):
                rank_zero_warn("this network normalises over each tile, which may show: try a larger --tile, or null")
            check_side(place, network.scale * max(pixels.shape))
            with replacing(place) as temporary:
                seed_engines(model.device, seed, name)
                pixels = work(pixels)  # the photo itself is no longer needed
                write_photo(temporary, pixels, place.suffix, profile)
    done = len(places) - len(unusable)
    print(f"{done} image{'s' * (done != 1)}: {output}")
    if unusable:
        more = f"; and {len(unusable) - 1} more" if len(unusable) > 1 else ""
        raise UserError(f"{unusable[0]}{more}")


def load_translator(run: Path, larger: bool) -> Translation:
    """A trained model that makes images of images.

    Raises:
        UserError: it makes them from nothing, or of another size than asked for.
    """
    model = load(run)
    name = type(model).__name__
    if not isinstance(model, Translation):
        raise UserError(f"{run} has a {name}, which makes images from nothing: use `lit-gans sample`")
    scale = model.image_shape[1] // model.source_shape[1]
    if larger and scale == 1:
        raise UserError(f"{run} has a {name} that leaves images their size: use `lit-gans translate`")
    if not larger and scale > 1:
        raise UserError(f"{run} has a {name} that makes images {scale} times as large: use `lit-gans upscale`")
    return model


def normalises_over_images(network: nn.Module) -> bool:
    """Whether what it makes of a place depends on the mean and deviation of all others."""
    return any(isinstance(part, (nn.InstanceNorm2d, StyleTranslator)) for part in network.modules())


def read_style(path: Path, channels: int, tile: int | None) -> Tensor:
    """A style image (1, channels, H, W), uint8, not larger than a tile, which it shares the memory with."""
    if not path.exists():
        raise UserError(f"there is no {path}")
    with decoding(path):
        style, _ = read_photo(path.read_bytes(), channels)
    shrink = min((tile or max(style.shape)) / max(style.shape), 1)
    return resize(style, [max(round(side * shrink), 1) for side in style.shape[2:]])
