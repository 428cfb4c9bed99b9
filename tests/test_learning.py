"""Each variant learns a toy in seconds, to a bar that broken copies of it miss.

The bar is the geometric mean of the worst intact copy and the best broken one, over five seeds each;
`python -m tests.test_learning` measures both (recorded in experiments/RESULTS.md) and says where the bars would be.
"""

import logging
import sys
import warnings
from collections.abc import Callable
from functools import partial
from inspect import isclass
from math import inf, sqrt
from typing import Any, NamedTuple

import pytest
import torch

import lit_gans
from datamodules import Digits, ImageData
from lit_gans.errors import UserError
from lit_gans.networks import DCGANDiscriminator, DCGANGenerator
from tests.conftest import fit
from tests.toy import Gaussians, distance, energy_distance, toy_discriminator, toy_generator


def change_fakes(model, change):
    """Lets `change` have the last word on the fakes of both turns."""
    made = model.fakes
    model.fakes = lambda batch, each=1: change(made(batch, each))


def detached_fakes(model):
    """The generator gets no gradient from them."""
    change_fakes(model, lambda fake: fake._replace(image=fake.image.detach().requires_grad_()))


def shuffled_labels(model):
    """The discriminator is told other labels than the generator was."""
    change_fakes(model, lambda fake: fake._replace(label=fake.label.roll(1)))


def wrong_sign_of_the_generator(model):
    loss = model.generator_loss
    model.generator_loss = lambda batch: {name: -term for name, term in loss(batch).items()}


def wrong_sign_of_the_penalties(model):
    for penalty in model.penalties:
        penalty.weight = -penalty.weight


def swapped_codes(model):
    model.loss.fake_code, model.loss.real_code = model.loss.real_code, model.loss.fake_code


def no_clipping(model):
    model.penalties[0].bound = inf


def n_critic_ignored(model):
    model.n_critic = 1


def no_class_terms(model):
    model.real_class_weight = model.fake_class_weight = model.generator_class_weight = 0.0


TOY = {
    "generator": toy_generator,
    "discriminator": toy_discriminator,
    "generator_lr": 2e-3,
    "discriminator_lr": 2e-3,
    "ema_half_life": 2000,
}
ADAM = TOY | {"betas": (0.0, 0.99)}
NARROW = {
    "generator": partial(DCGANGenerator, width=16, latent_dim=16),
    "discriminator": partial(DCGANDiscriminator, width=16),
}


class Lesson(NamedTuple):
    """The distance that a variant must come within and its broken copies may not; how it learns, and from what."""

    bar: float
    breaks: list[Callable]
    arguments: dict[str, Any] = ADAM
    steps: int = 200
    data: type[ImageData] = Gaussians


LESSONS = {
    "GAN": Lesson(0.081, [detached_fakes, wrong_sign_of_the_generator], steps=300),
    "DCGAN": Lesson(1.2, [detached_fakes, wrong_sign_of_the_generator], ADAM | NARROW, steps=150, data=Digits),
    "LSGAN": Lesson(0.19, [swapped_codes]),
    "WGAN": Lesson(0.055, [no_clipping], TOY | {"clip": 0.1, "n_critic": 3}, steps=500),
    "WGANGP": Lesson(
        0.038,
        [wrong_sign_of_the_penalties, n_critic_ignored],
        ADAM | {"penalty_weight": 0.3, "generator_lr": 6e-3, "discriminator_lr": 4e-3},
        steps=300,
    ),
    "DRAGAN": Lesson(0.085, [wrong_sign_of_the_penalties], ADAM | {"penalty_weight": 0.05, "discriminator_lr": 1e-2}),
    "SNGAN": Lesson(0.058, [n_critic_ignored], ADAM | {"generator_lr": 8e-3, "discriminator_lr": 3e-3}, steps=300),
    "CGAN": Lesson(0.08, [shuffled_labels]),
    "ACGAN": Lesson(0.17, [no_class_terms]),
    "ProjectionGAN": Lesson(0.19, [shuffled_labels], ADAM | {"n_critic": 2}, steps=300),
    "SAGAN": Lesson(0.26, [shuffled_labels], ADAM | {"discriminator_lr": 4e-3}, steps=300),
    "R3GAN": Lesson(0.053, [wrong_sign_of_the_penalties], TOY | {"gamma": 0.1, "beta2": 0.99}),
    "BigGAN": Lesson(0.13, [shuffled_labels]),
}
CLASSES = [getattr(lit_gans, name) for name in lit_gans.__all__]
VARIANTS = [cls.__name__ for cls in CLASSES if isclass(cls) and issubclass(cls, lit_gans.GAN)]


def trained(model, broken, steps, data):
    """Whether the loss of the model, broken if there is a break, stayed finite."""
    if broken:
        broken(model)
    try:
        fit(model, steps=steps, data=data)
    except UserError as error:
        if "not finite" in str(error):
            return False
        raise
    return True


def broken_copies(lessons):
    """Every variant with each of its breaks, for a test."""
    return [
        pytest.param(name, broken, id=f"{name}-{broken.__name__}")
        for name, lesson in lessons.items()
        for broken in lesson.breaks
    ]


def learn(name, seed=0, broken=None):
    """How far from the data a copy ends; infinitely if its loss was not finite."""
    lesson = LESSONS[name]
    data = lesson.data(batch_size=128, seed=seed)
    torch.manual_seed(seed)
    arguments = {"image_shape": data.image_shape, "num_classes": data.num_classes} | lesson.arguments
    model = getattr(lit_gans, name)(**arguments)
    return distance(model, data) if trained(model, broken, lesson.steps, data) else inf


def test_energy_distance():
    """Of two points it is twice their distance; of two samples of one distribution it is near 0."""
    assert energy_distance(torch.zeros(3, 2), torch.tensor([[3.0, 4.0]]).expand(5, 2)) == pytest.approx(10.0)
    one, other = torch.randn(2, 2000, 2, generator=torch.Generator().manual_seed(0))
    assert 0 <= energy_distance(one, other) < 0.01 < 0.1 < energy_distance(one, other + 0.5)


@pytest.mark.parametrize("name", VARIANTS)
def test_learns(name):
    assert name in LESSONS, f"{name} is new: give it a lesson in LESSONS, and at least one break that spoils it"
    assert learn(name) < LESSONS[name].bar


@pytest.mark.slow
@pytest.mark.parametrize(("name", "broken"), broken_copies(LESSONS))
def test_a_broken_copy_does_not(name, broken):
    assert not learn(name, broken=broken) < LESSONS[name].bar


def measure(lessons, learn):
    """Prints the table of experiments/RESULTS.md, of all variants or of those that the command line names."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    print("| variant | copy | distances, five seeds | bar |\n|---|---|---|---|")
    for name in sys.argv[1:] or sorted(lessons):
        found = {
            broken: sorted(learn(name, seed, broken) for seed in range(5)) for broken in [None, *lessons[name].breaks]
        }
        worst, best = found[None][-1], min(distances[0] for broken, distances in found.items() if broken)
        for broken, distances in found.items():
            copy = broken.__name__.replace("_", " ") if broken else "intact"
            bar = "" if broken else f"{sqrt(worst * best):.2g}"
            print(f"| {'' if broken else name} | {copy} | {', '.join(f'{d:.3g}' for d in distances)} | {bar} |")
        assert worst < best, f"{name} has no bar"


if __name__ == "__main__":
    measure(LESSONS, learn)
