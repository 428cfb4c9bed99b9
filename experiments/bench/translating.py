"""`translate`: its speed on small images, its time and memory on photos."""

from functools import partial

import torch
from tqdm import tqdm

from experiments.bench.processes import afresh, resident
from experiments.bench.training import compared, seconds
from lit_gans import SRGAN, Pix2Pix
from lit_gans.networks import PatchDiscriminator, ResNetTranslator, SRResNet, Translator, UNetGenerator
from lit_gans.variants.translation import Translation

FULL = {"UNetGenerator": UNetGenerator, "ResNetTranslator": ResNetTranslator}
NARROW = {
    "ResNetTranslator": partial(ResNetTranslator, blocks=2, width=8),
    "SRResNet": partial(SRResNet, blocks=2, width=8),
}
"""Networks for photos, which take a CPU too long in full; SRResNet makes them four times as large."""


def model_of(network: type[Translator] | partial, image_size: int, scale: int = 1) -> Translation:
    """A model that translates by this network, beside the smallest discriminator."""
    model = Pix2Pix if scale == 1 else SRGAN
    return model(
        source_shape=(3, image_size, image_size),
        image_shape=(3, scale * image_size, scale * image_size),
        generator=network,
        discriminator=partial(PatchDiscriminator, receptive_field=1, width=1),
    )


def translating(name: str, image_size: int, count: int, rounds: int) -> str:
    """Images per second, one by one, against the network without a model around it."""
    model = model_of(FULL[name], image_size)
    images = torch.empty(count, 1, 3, image_size, image_size).uniform_(-1, 1)

    @torch.no_grad()
    def bare() -> None:
        for image in images:
            model.ema(image)

    shares, took = compared({"ours": lambda: list(map(model.translate, images)), "bare": bare}, rounds)
    return f"{name} {image_size}: {1 / shares['bare']:.3f} of the bare network's images/s ({count / took:.3g} images/s)"


def photo(name: str, width: int, height: int, tile: int | None) -> str:
    """A row of the table, in a process that has done nothing before."""
    scale = 4 if name == "SRResNet" else 1
    model = model_of(NARROW[name], 32, scale)
    source = torch.empty(1, 3, height, width).uniform_(-1, 1)
    canvas = torch.empty(1, 3, scale * height, scale * width, dtype=torch.uint8).fill_(0)  # which takes the memory now
    before = resident()
    took = seconds(partial(model.translate, source, tile=tile, canvas=canvas))
    held, peak = (source.nbytes + canvas.nbytes) / 2**20, resident()
    return (
        f"| {name} | {width} x {height} | {scale * width} x {scale * height} | {tile or 'none'} | {took:.1f} "
        f"| {peak:.0f} | {held:.0f} | {peak - before:.0f} |"
    )


def photos(width: int, height: int, tile: int) -> str:
    """A table of time and memory of a photo, and of one of half its sides in tiles and at once; each in a process."""
    rows = [
        "| network | photo | output | tile | seconds | peak MiB resident | photo and output | of it in `translate` |",
        "|---|---|---|---|---|---|---|---|",
    ]
    half = (width // 2, height // 2)
    cases = [(name, *case) for name in NARROW for case in ((*half, None), (*half, tile), (width, height, tile))]
    for case in tqdm(cases, "photos", leave=False):
        rows.append(afresh(f"from experiments.bench.translating import photo; print(photo(*{case!r}))"))
    return "\n".join(rows)
