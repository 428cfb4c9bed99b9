"""Which way each score moves when images are spoilt in a known way: `python -m experiments.meaning [--root FOLDER]`.

The images measured are real ones that the reference does not have, spoilt more and more. Prints a table in Markdown.
"""

import argparse
from functools import partial

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from datamodules import MNIST, ImageData
from lit_gans.metrics import KID, DataCopying, MiFID, ModeCoverage, Neighbours, Protocol
from lit_gans.metrics.features import FeatureNetwork, default_features
from lit_gans.metrics.measurement import Measurement
from lit_gans.metrics.reference import Reference
from lit_gans.metrics.score import embedded
from lit_gans.randomness import keyed_generator

CHANGES = {
    "blur, standard deviation in pixels": (0.5, 1.0, 2.0),
    "noise, standard deviation of [-1, 1]": (0.1, 0.3, 0.6),
    "classes left": (0.8, 0.5, 0.2),
    "copies of training images": (0.1, 0.5, 1.0),
    "real images among noisy ones (0.6)": (0.25, 0.5, 0.75),
}
"""What is done to the images, and how much of it."""


def changed(kind: str, much: float, fresh: Tensor, labels: Tensor, train: Tensor) -> Tensor:
    """The fresh images (N, C, H, W) in [-1, 1], spoilt.

    Args:
        kind: One of `CHANGES`.
        much: How much of it.
        fresh: Real images that the reference does not have.
        labels: (N,), their classes.
        train: Images of the reference, at least N.
    """
    random = keyed_generator(kind)
    some = torch.rand(len(fresh), generator=random) < much
    match kind.split()[0]:
        case "blur,":
            return gaussian_blur(fresh, [9, 9], [much, much])
        case "noise,":
            return noisy(fresh, much, random)
        case "classes":  # as many images as before: FID knows their number
            left = (labels < much * (labels.max() + 1)).nonzero().flatten()
            return fresh[left[torch.randint(len(left), (len(fresh),), generator=random)]]
        case "copies":
            return torch.where(some[:, None, None, None], train[: len(fresh)], fresh)
        case _:
            return torch.where(some[:, None, None, None], fresh, noisy(fresh, 0.6, random))


def noisy(images: Tensor, strength: float, random: torch.Generator) -> Tensor:
    """Images with normal noise, clipped to [-1, 1]."""
    return (images + strength * torch.randn(images.shape, generator=random)).clamp(-1, 1)


def scores(images: Tensor, network: FeatureNetwork, reference: Reference) -> dict[str, float]:
    """All scores of images, by their plain names."""
    protocol = Protocol(n_fake=len(images))
    wanted = [partial(KID, subset_size=min(1000, len(images) // 4)), Neighbours, MiFID, DataCopying, ModeCoverage]
    measurement = Measurement(network, protocol, reference, wanted)
    for start in range(0, len(images), 500):
        measurement.update(embedded(network, images[start : start + 500], None, start))
    return {name.removesuffix(f"_{network.name}"): value for name, value in measurement.compute(None).items()}


def rows(data: ImageData, count: int) -> dict[tuple[str, float], dict[str, float]]:
    """The scores of each change, and first those of unchanged images.

    Args:
        data: The first `count` training images are the reference, the next are spoilt, and the test split is held out.
        count: Number of each.
    """
    (network,) = default_features(data.name)
    images, labels = data.split("train")
    images, held_out = (part / 127.5 - 1 for part in (images[: 2 * count], data.split("test")[0][:count]))
    train, fresh = images[:count], images[count:]
    reference = Reference(
        network(train)[0],
        labels,
        held_out=lambda: network(held_out)[0],
        num_classes=data.num_classes,
        name=data.name,
    )
    found = {("unchanged", 0.0): scores(fresh, network, reference)}
    for kind, strengths in CHANGES.items():
        for much in strengths:
            spoilt = changed(kind, much, fresh, labels[count : 2 * count], train)
            found[kind, much] = scores(spoilt, network, reference)
    return found


def table(found: dict[tuple[str, float], dict[str, float]]) -> str:
    """The rows in Markdown."""
    names = list(found["unchanged", 0.0])
    lines = [["images", "", *names], ["---"] * (len(names) + 2)]
    lines += [
        [kind, f"{much:g}" * bool(much), *(f"{values[name]:.3g}" for name in names)]
        for (kind, much), values in found.items()
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Measures MNIST."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default="data", help="folder of MNIST, in torchvision's layout")
    parser.add_argument("--count", type=int, default=10_000, help="number of reals, and of images measured")
    given = parser.parse_args()
    print(table(rows(MNIST(root=given.root), given.count)))


if __name__ == "__main__":
    main()
