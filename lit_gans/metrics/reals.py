"""From a DataModule to the features of its real images."""

import math
from collections.abc import Callable, Iterable

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from datamodules.plain_images import PlainImages
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.protocol import Protocol
from lit_gans.metrics.reference import BLOCK, Reference, content_of, kept_features
from lit_gans.metrics.score import Collected, embedded, home

Bar = Callable[[Iterable, str], Iterable]
"""Shows progress on its way through the items, under a title."""


def reference_of(
    data: LightningDataModule,
    protocol: Protocol,
    network: FeatureNetwork,
    device: torch.device,
    *,
    batch_size: int = 256,
    everyone: Callable[[bool], bool] = bool,
    bar: Bar = lambda items, title: items,
) -> Reference:
    """The reals of a protocol; features that an earlier run computed are not computed again.

    Args:
        data: The images, by `reference_dataloader`.
        protocol: Says which of them.
        network: On `device`.
        device: Where images are embedded.
        batch_size: Images embedded at a time.
        everyone: Whether all processes say yes.
        bar: Shows progress.
    """

    def features(split: str) -> Tensor:
        loader = data.reference_dataloader(split)
        images = loader.images[: protocol.n_real]

        def embed() -> Tensor:
            collected, step = Collected("features").to(home(device)), loader.batch_size * loader.world_size
            batches = range(math.ceil(len(images) / step))
            for number, batch in zip(batches, bar(loader, f"real images ({split})"), strict=False):
                start = number * step + loader.rank * loader.batch_size
                wanted = max(min(len(batch.image), len(images) - start), 0)
                for place in range(0, max(wanted, 1), batch_size):
                    part = batch.image[place : min(place + batch_size, wanted)].to(device)
                    collected.update(embedded(network, part, None, start + place))
            return collected.compute()

        return kept_features(network, content_of(images), embed, everyone)

    other = "test" if protocol.reference == "train" else "train"
    return Reference(
        features(protocol.reference),
        data.reference_dataloader(protocol.reference).labels[: protocol.n_real],
        device=home(device),
        held_out=lambda: features(other),
        num_classes=data.num_classes,
    )


def file_features(
    files: PlainImages, count: int | None, network: FeatureNetwork, device: torch.device, bar: Bar
) -> Tensor:
    """Features (N, F) of the first `count` image files, or of all; kept like those of a DataModule.

    Args:
        files: The images.
        count: How many of them.
        network: On `device`.
        device: Where they are embedded.
        bar: Shows progress.
    """
    wanted, collected = min(count or len(files), len(files)), Collected("features").to(home(device))

    def embed() -> Tensor:
        for number, images in enumerate(bar(files.batches(wanted, BLOCK), "real images")):
            collected.update(embedded(network, images.to(device), None, number * BLOCK))
        return collected.compute()

    return kept_features(network, f"{files.key} {wanted}", embed)
