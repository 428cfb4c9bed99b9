"""Measuring images outside of a training: of a model, or of files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from tqdm import tqdm

from datamodules.base import Data
from datamodules.plain_images import PlainImages
from lit_gans.metrics.measurement import ScoreFactory, add, measurements
from lit_gans.metrics.memorisation import closest_pairs
from lit_gans.metrics.protocol import Description, Protocol
from lit_gans.metrics.reals import reference_of, reference_of_files
from lit_gans.metrics.score import Collected, home
from lit_gans.metrics.sources import Generated, Real


@dataclass
class Evaluated:
    """What came out for one set of fakes.

    Attributes:
        values: By name, such as `fid_mnist`.
        descriptions: How each was made.
        pairs: Fakes most like copies, and the real images nearest to them, (K, C, H, W) in [-1, 1] each.
        by_class: Eight fakes of each of up to 16 classes, where classes were asked for.
        source: What was measured, in words for the file of results.
    """

    values: dict[str, float] = field(default_factory=dict)
    descriptions: dict[str, Description] = field(default_factory=dict)
    pairs: tuple[Tensor, Tensor] | None = None
    by_class: Tensor | None = None
    source: dict[str, str | float] = field(default_factory=dict)


def evaluate_images(
    fakes: Generated | PlainImages,
    reals: Data | PlainImages,
    protocols: Sequence[Protocol],
    scores: Sequence[ScoreFactory],
    *,
    device: torch.device,
    batch_size: int = 256,
    neighbours: int = 16,
) -> Evaluated:
    """All scores of one set of fakes under some protocols; each image passes each network once.

    Args:
        fakes: The images to be measured.
        reals: The images to compare with.
        protocols: Those without a network have that of the first.
        scores: Besides FID and IS.
        device: Where images are embedded.
        batch_size: Images at a time.
        neighbours: Number of pairs to find.

    Raises:
        UserError: there are too few images, or files that cannot be read.
    """
    model = fakes.model if isinstance(fakes, Generated) else None
    classes = fakes.classes if isinstance(fakes, Generated) else 0
    if isinstance(fakes, PlainImages) and min(protocol.n_fake for protocol in protocols) < len(fakes):
        fakes = fakes.mixed()  # of which the first are of all kinds
    if isinstance(reals, PlainImages):
        refer = partial(reference_of_files, reals, device=device, bar=bar)
    else:
        refer = partial(reference_of, reals, device=device, batch_size=batch_size, bar=bar)
    networks = measurements(protocols, scores, refer, device=device, labelled=classes > 0)
    everything = [measurement for _, group in networks for measurement in group]
    for measurement in everything:
        measurement.check(len(fakes))
    result = Evaluated()
    wanted = min(max(protocol.n_fake for protocol in protocols), len(fakes))
    collected = Collected("features").to(home(device))
    start = 0
    with torch.inference_mode():
        for images in bar(fakes.batches(wanted, batch_size), "fake images", -(-wanted // batch_size)):
            labels = None if not classes else fakes.labels[start : start + len(images)]
            collected.update(add(networks, images.to(device), labels, start))
            start += len(images)
        for measurement in bar(everything, "scores"):
            conditions = {"ema": True, "precision": "32-true"} if model is not None else {}
            result.values |= measurement.compute(model, **conditions)
            result.descriptions |= measurement.descriptions
        order, nearest = closest_pairs(everything[0].reference, collected.compute(), neighbours)
    first = everything[0].protocol
    originals = reals.part(first.n_real) if isinstance(reals, PlainImages) else Real(reals, first.reference)
    result.pairs = fakes.pick(order.tolist()).cpu(), originals.pick(nearest.tolist())
    if classes:
        result.by_class = some_of_each(fakes, classes).cpu()
    return result


def some_of_each(fakes: Generated, classes: int, each: int = 8, most: int = 16) -> Tensor:
    """`each` images (N, C, H, W) of each class, of many classes of `most` from the first to the last."""
    shown = torch.arange(min(classes, most)) * classes // min(classes, most)
    numbers = [number for label in shown for number in (fakes.labels == label).nonzero().flatten()[:each].tolist()]
    return fakes.pick(numbers)


def bar(items: Iterable, title: str, total: int | None = None) -> Iterable:
    """Shows progress when it takes longer than two seconds."""
    return tqdm(items, title, total, delay=2, leave=False, disable=None)
