"""Each translator of images learns a toy in seconds, to a bar that broken copies miss; see tests/test_learning.py.

What should be made is known, but for signs that nothing foretells. Images have some; the mean of what is possible, to
which distances of pixels lead, has none, so both parts of a loss are needed. Discriminators judge single pixels.
"""

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, l1_loss, mse_loss
from torch.utils.data import DataLoader

import lit_gans
from datamodules.batches import Paired, Unpaired
from lit_gans.networks import PatchDiscriminator, RRDBNet, SRResNet, UNetGenerator
from lit_gans.perceptual import PerceptualNetwork
from tests.test_learning import broken_copies, measure, trained
from tests.translation import TRANSLATORS

pytestmark = pytest.mark.filterwarnings("ignore:You defined a .validation_step")  # nothing is validated


def signs(count, side, generator):
    return torch.rand(count, 1, side, side, generator=generator).sub(0.5).sign()


def unsigned(images):
    """Whatever signs the last channel has."""
    return torch.cat([images[:, :-1], images[:, -1:].abs()], 1)


def shifted(count, generator):
    """Signs move by a pixel, which no judge of pixels knows of; magnitudes get signs that nothing foretells."""
    moving, magnitude = 0.8 * signs(count, 8, generator), 0.5 + 0.3 * signs(count, 8, generator)
    moved = torch.cat([moving[..., :1], moving[..., :-1]], 3)
    return Paired(torch.cat([moving, magnitude], 1), torch.cat([moved, magnitude * signs(count, 8, generator)], 1))


def printed(count, generator):
    """A picture in the first colour with pale signs; the same in the second colour with strong ones."""
    picture = interpolate(1.6 * torch.rand(count, 1, 4, 4, generator=generator).square() - 0.8, scale_factor=2)
    dark, sign = torch.full_like(picture, -0.8), interpolate(signs(count, 4, generator), scale_factor=2)
    return Paired(torch.cat([picture, dark, 0.3 * sign], 1), torch.cat([dark, picture, 0.8 * sign], 1))


def enlarged(count, generator):
    """Squares of two pixels, and noise of one magnitude; the small images are their means."""
    squares = interpolate(1.6 * torch.rand(count, 1, 4, 4, generator=generator) - 0.8, scale_factor=2)
    large = torch.cat([squares, 0.5 * signs(count, 8, generator)], 1)
    return Paired(avg_pool2d(large, 2), large)


def difference(model, pairs):
    """The mean absolute one, without the signs."""
    return l1_loss(unsigned(model.translate(pairs.source)), unsigned(pairs.target)).item()


def difference_both_ways(model, pairs):
    """The mean absolute one, with the signs, which a map that can be undone keeps."""
    there, back = model.translate(pairs.source), model.translate(pairs.target, direction="ba")
    return (l1_loss(there, pairs.target) + l1_loss(back, pairs.source)).item() / 2


def share_of_bicubic(model, pairs):
    """Of the root mean square error that bicubic interpolation has, without the signs; a half is 6 dB of PSNR."""
    bicubic = interpolate(pairs.source, scale_factor=2, mode="bicubic")
    ours, theirs = (
        mse_loss(unsigned(made), unsigned(pairs.target)).sqrt() for made in (model.translate(pairs.source), bicubic)
    )
    return (ours / theirs).item()


class Brightness(nn.Module):
    """The mean of the two colours."""

    def forward(self, images):
        return [images[:, :2].mean(1, keepdim=True)]


def scale(model, part, factor):
    """Multiplies those of the generator's terms whose names have this part."""
    loss = model.generator_loss
    model.generator_loss = lambda batch: {
        name: term * (factor if part in name else 1) for name, term in loss(batch).items()
    }


def no_adversarial_term(model):
    scale(model, "adversarial", 0)


def wrong_sign_of_the_adversarial_term(model):
    scale(model, "adversarial", -1)


def no_l1_term(model):
    scale(model, "l1", 0)


def no_cycle(model):
    scale(model, "cycle", 0)


def no_content_term(model):
    scale(model, "content", 0)


def no_pixel_term(model):
    scale(model, "pixel", 0)


def change_batches(model, change, *losses):
    """Lets some losses see others."""
    for name in losses:
        loss = getattr(model, name)
        setattr(model, name, lambda batch, loss=loss: loss(change(batch)))


def shuffled_targets(model):
    losses = [name for name in ("discriminator_loss", "generator_loss", "pixel_loss") if hasattr(model, name)]
    change_batches(model, lambda batch: batch._replace(target=batch.target.roll(1, 0)), *losses)


def content_judged_as_style(model):
    change_batches(model, lambda batch: batch._replace(b=batch.a), "discriminator_loss")


def source_hidden_from_the_discriminator(model):
    shown = torch.tensor([0.0, 0.0, 1.0, 1.0])[:, None, None]
    model.discriminator.register_forward_pre_hook(lambda module, images: (images[0] * shown,))


def discriminators_exchanged(model):
    """Each generator asks the other's."""
    ask, (one, other) = model.adversarial, model.discriminator.values()
    model.adversarial = lambda judge, *images: ask(other if judge is one else one, *images)


TOY = {
    "generator": partial(UNetGenerator, downs=1, width=32),
    "discriminator": partial(PatchDiscriminator, receptive_field=1, width=32, norm="none"),
    "generator_lr": 5e-3,
    "discriminator_lr": 1e-2,
    "ema_half_life": 500,
}


class Lesson(NamedTuple):
    """The distance that a translator must come within and its broken copies may not; how it learns, and from what."""

    bar: float
    breaks: list[Callable]
    pairs: Callable[[int, torch.Generator], Paired]
    arguments: dict[str, Any] = TOY
    distance: Callable = difference
    steps: int = 500


ADVERSARIAL = [no_adversarial_term, wrong_sign_of_the_adversarial_term]
LESSONS = {
    "CycleGAN": Lesson(
        0.085,
        [*ADVERSARIAL, no_cycle, discriminators_exchanged],
        printed,
        distance=difference_both_ways,
        steps=300,
    ),
    "ESRGAN": Lesson(
        0.28,
        [*ADVERSARIAL, no_pixel_term, shuffled_targets],
        enlarged,
        TOY
        | {
            "generator": partial(RRDBNet, blocks=1, width=16, growth=8),
            "discriminator_lr": 3e-2,
            "betas": (0.5, 0.99),
            "pixel_weight": 1.0,
            "adversarial_weight": 0.05,
        },
        share_of_bicubic,
        steps=300,
    ),
    "Pix2Pix": Lesson(
        0.091,
        [*ADVERSARIAL, no_l1_term, shuffled_targets, source_hidden_from_the_discriminator],
        shifted,
        TOY | {"l1_weight": 5.0, "discriminator_lr": 2e-2},
    ),
    "SRGAN": Lesson(
        0.51,
        [*ADVERSARIAL, no_pixel_term, shuffled_targets],
        enlarged,
        TOY
        | {
            "generator": partial(SRResNet, blocks=1, width=16),
            "betas": (0.5, 0.99),
            "pretrain_kimg": 0.8,
            "adversarial_weight": 0.1,
        },
        share_of_bicubic,
        steps=400,
    ),
    "StyleTransferGAN": Lesson(
        0.099,
        [*ADVERSARIAL, no_content_term, content_judged_as_style],
        printed,
        TOY | {"perceptual": PerceptualNetwork("brightness", Brightness)},
    ),
}


def batch_for(model, pairs, generator):
    """Pairs, or the sources of some and the targets of others."""
    if model.batches is Unpaired:
        return Unpaired(pairs(16, generator).source, pairs(16, generator).target)
    return pairs(16, generator)


def learn(name, seed=0, broken=None):
    """How far from what it should make a copy ends; infinitely if its loss was not finite."""
    lesson, generator = LESSONS[name], torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    held_out = lesson.pairs(256, generator)
    shapes = {"source_shape": held_out.source.shape[1:], "image_shape": held_out.target.shape[1:]}
    model = getattr(lit_gans, name)(**shapes | lesson.arguments)
    batches = [batch_for(model, lesson.pairs, generator) for _ in range(lesson.steps)]
    finite = trained(model, broken, lesson.steps, DataLoader(batches, batch_size=None))
    return lesson.distance(model, held_out) if finite else inf


@pytest.mark.parametrize("name", TRANSLATORS)
def test_learns(name):
    assert name in LESSONS, f"{name} is new: give it a lesson in LESSONS, and at least one break that spoils it"
    assert learn(name) < LESSONS[name].bar


@pytest.mark.slow
@pytest.mark.parametrize(("name", "broken"), broken_copies(LESSONS))
def test_a_broken_copy_does_not(name, broken):
    assert not learn(name, broken=broken) < LESSONS[name].bar


if __name__ == "__main__":
    measure(LESSONS, learn)
