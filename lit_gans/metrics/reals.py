"""From a DataModule to the features of its real images."""

import math
from collections.abc import Callable, Iterable
from functools import cache

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
    *,
    device: torch.device,
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

    def features(split: str) -> tuple[Tensor, str]:
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

        content = content_of(images)
        return kept_features(network, content, embed, everyone), content

    found, content = features(protocol.reference)
    return Reference(
        found,
        data.reference_dataloader(protocol.reference).labels,
        device=home(device),
        held_out=cache(lambda: features("test")[0]) if protocol.reference == "train" else None,
        num_classes=data.num_classes,
        name=data.name,
        image_size="x".join(map(str, data.image_shape[1:])),
        split=protocol.reference,
        content=content[:16],
    )


def reference_of_files(
    files: PlainImages, protocol: Protocol, network: FeatureNetwork, *, device: torch.device, bar: Bar
) -> Reference:
    """Image files as reals; their features are kept like those of a DataModule.

    Args:
        files: The images.
        protocol: Says how many of them.
        network: On `device`.
        device: Where they are embedded.
        bar: Shows progress.
    """
    files = files.part(protocol.n_real)

    def embed() -> Tensor:
        collected = Collected("features").to(home(device))
        for number, images in enumerate(bar(files.batches(len(files), BLOCK), "real images")):
            collected.update(embedded(network, images.to(device), None, number * BLOCK))
        return collected.compute()

    key = files.key
    return Reference(
        kept_features(network, key, embed),
        device=home(device),
        name=files.name,
        image_size="x".join(map(str, files.image_shape[1:])),
        split="files",
        content=key[:16],
    )
