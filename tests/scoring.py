"""Scores of given features."""

import torch

from lit_gans.metrics import Reference
from lit_gans.metrics.score import Embedded
from lit_gans.randomness import keyed_generator


def gaussian(count: int, width: int, *key: object) -> torch.Tensor:
    generator = keyed_generator(*key)
    mixing = torch.randn(width, width, generator=generator) / width**0.5
    mean = torch.randn(width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mixing + mean


def value(score, real, fake, *, logits=None, part=77, backwards=False, **reference):
    """The score of features, given in parts."""
    metric = score(Reference(real, **reference))
    logits = fake if logits is None else logits
    starts = range(0, len(fake), part)
    for start in reversed(starts) if backwards else starts:
        place = torch.arange(start, min(start + part, len(fake)))
        metric.update(Embedded(fake[place], logits[place], torch.full_like(place, -1), place))
    return metric.compute()


def fresh_fakes(count, draw):
    generator = keyed_generator("fresh", draw)
    return 1.2 * torch.randn(count, 8, generator=generator) + 0.2
