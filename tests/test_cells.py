"""Combinations: what is refused or warned of, and that the parts of a cell do what they say."""

import warnings
from functools import partial

import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger

from datamodules import Labelled
from lit_gans import GAN, SAGAN
from lit_gans.augment import ADA, DiffAugment
from lit_gans.critic import Critic
from lit_gans.errors import UserError
from lit_gans.losses import Hinge, Relativistic, Wasserstein
from lit_gans.networks import DCGANDiscriminator, MLPDiscriminator
from lit_gans.penalties import R1, Consistency, DRAGANPenalty, GradientPenalty, WeightClipping, input_gradient
from lit_gans.schedules import Linear
from tests.conftest import Noise, fit, same, small_gan, trainer

BATCH_NORM = {"discriminator": partial(DCGANDiscriminator, width=4), "image_shape": (1, 16, 16)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (BATCH_NORM | {"penalties": [GradientPenalty()]}, "batch norm in the discriminator mixes"),
        ({"conditional": True, "num_classes": 0}, "these have none"),
        (
            {"discriminator": partial(MLPDiscriminator, spectral=True), "penalties": [WeightClipping()]},
            "WeightClipping and spectral norm bound the critic in two ways",
        ),
        ({"penalties": [WeightClipping(), GradientPenalty()]}, "WeightClipping and GradientPenalty bound the critic"),
        ({"loss": Relativistic(), "generator_fakes": 2}, "pairs each fake with a real"),
        ({"loss": Wasserstein(), "penalties": [GradientPenalty()], "augment": ADA()}, "has no logit at which it does"),
        ({"penalties": [R1(), R1()]}, "each kind can be given once"),
        ({"generator_fakes": 0}, "generator_fakes must be at least 1"),
        ({"betas": (Linear(start=0.0, end=2.0, kimg=1.0), 0.9)}, "Adam: Invalid beta parameter at index 0"),
    ],
)
def test_cells_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        small_gan(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (BATCH_NORM | {"penalties": [R1()]}, "R1 is about the gradient at single images"),
        (BATCH_NORM | {"penalties": [DRAGANPenalty()]}, "DRAGANPenalty is about the gradient"),
        ({"loss": Wasserstein()}, "nothing keeps the critic of the Wasserstein loss Lipschitz"),
    ],
)
def test_what_the_literature_does_anyway_is_warned_of(arguments, words):
    with pytest.warns(UserWarning, match=words):
        small_gan(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        BATCH_NORM
        | {"discriminator": partial(DCGANDiscriminator, norm="layer"), "penalties": [GradientPenalty(), R1()]},
        {"loss": Wasserstein(), "penalties": [WeightClipping()]},
        {"loss": Wasserstein(), "discriminator": partial(MLPDiscriminator, spectral=True)},
        {"loss": Relativistic(), "augment": ADA(p=0.1, target=None)},
        {"loss": Hinge(), "augment": ADA()},
    ],
)
def test_cells_that_make_sense_pass_in_silence(arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small_gan(**arguments)


def batch_of(count=8):
    data = Noise(batch_size=count)
    data.setup()
    return next(iter(data.train_dataloader()))


def test_labels_of_fakes():
    """Those of the reals, for each of several fakes; or uniform ones."""
    batch = batch_of()
    model = small_gan(conditional=True)
    assert same(model.fakes(batch).label, batch.label)
    assert same(model.fakes(batch, 2).label, batch.label.repeat_interleave(2))
    skewed = Labelled(torch.zeros(600, 1, 8, 8), torch.zeros(600, dtype=torch.long))
    counts = small_gan(conditional=True, uniform_labels=True).fakes(skewed).label.bincount(minlength=3)
    assert counts.sum() == 600
    assert counts.min() > 150


def test_reals_and_fakes_are_judged_with_their_own_labels():
    told = []

    class Listening(GAN):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.discriminator.register_forward_pre_hook(lambda module, inputs: told.append(inputs))

    model = small_gan(Listening, conditional=True, uniform_labels=True, penalties=[Consistency(), GradientPenalty()])
    batch = batch_of()
    model.discriminator_loss(batch)
    fake_label = model.fakes(batch).label
    assert not same(fake_label, batch.label)
    assert len(told) == 5  # changed reals, reals, changed fakes, fakes, points between
    fakes = [same(label, fake_label) for _images, label in told]
    assert fakes.count(True) == 2
    assert all(same(label, batch.label) for (_images, label), fake in zip(told, fakes, strict=True) if not fake)


def test_gradients_at_fakes_are_those_of_their_labels():
    """Also where the images are no leaves, so that the critic sees a copy of them."""
    real = Labelled(torch.rand(2, 1, 2, 2), torch.tensor([1.0, 1.0]))
    fake = Labelled(torch.rand(2, 1, 2, 2, requires_grad=True) * 1.0, torch.tensor([3.0, 3.0]))
    critic = Critic(lambda images, label: (images.square().sum((1, 2, 3)) / 2) * label, real, fake)
    torch.testing.assert_close(input_gradient(critic, fake.image), 3 * fake.image.detach().flatten(1))
    torch.testing.assert_close(input_gradient(critic, real.image), real.image.flatten(1))


def test_sagan_has_the_published_networks():
    with torch.device("meta"):
        model = SAGAN(image_shape=(3, 128, 128), num_classes=1000)
    counts = [sum(p.numel() for p in network.parameters()) for network in (model.generator, model.discriminator)]
    assert counts == [42_078_852, 39_463_618]


def test_consistency():
    """Equals the mean squared difference of the answers on images and their mirrored and shifted copies."""
    seen = []

    def critic(images, like=None):
        seen.append((images, like))
        return images.flatten(1) @ torch.linspace(-1, 1, 64)

    real, fake = torch.rand(4, 1, 8, 8), torch.rand(4, 1, 8, 8)
    numbers = torch.rand(4, 3)
    value = Consistency(2.0, fakes=3.0)(critic, real, fake, lambda *shape: numbers)
    expected = 0.0
    for images, weight in ((real, 2.0), (fake, 6.0)):
        for image, (flip, down, right) in zip(images, numbers.tolist(), strict=True):
            moved = torch.empty_like(image)
            for y in range(8):
                for x in range(8):
                    row, column = y - (int(down * 3) - 1), x - (int(right * 3) - 1)
                    column = 7 - x - (int(right * 3) - 1) if flip < 0.5 else column
                    row, column = (-k if k < 0 else 14 - k if k > 7 else k for k in (row, column))
                    moved[0, y, x] = image[0, row, column]
            difference = (moved - image).flatten() @ torch.linspace(-1, 1, 64)
            expected += weight * difference.item() ** 2 / 4
    assert value.item() == pytest.approx(expected, rel=1e-4)
    assert [like is images for _, like in seen for images in (real, fake)].count(True) == 2


@pytest.mark.parametrize("augment", [DiffAugment(), ADA(p=0.8, target=None)])
def test_both_players_see_augmented_images(augment):
    judged = []

    class Watching(GAN):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.discriminator.register_forward_pre_hook(lambda module, inputs: judged.append(inputs[0].detach()))

    model, batch = small_gan(Watching, augment=augment), batch_of()
    model.discriminator_loss(batch)
    fake = model.fakes(batch).image
    model._phase = 1
    model.generator_loss(batch)
    for seen, plain in zip(judged, (batch.image, fake, model.fakes(batch).image), strict=True):
        assert seen.shape == plain.shape
        assert not seen.allclose(plain, atol=0.05)
    (gradient,) = torch.autograd.grad(model.generator_loss(batch)["adversarial"], model.generator.layers[0].weight)
    assert gradient.abs().sum() > 0


def test_ada_adapts_in_training():
    """A discriminator that is always sure of its reals makes p grow by one step every `every` batches."""
    model = small_gan(augment=ADA(speed_kimg=0.4, every=2, target=0.6), discriminator_lr=0.0)
    torch.nn.init.zeros_(model.discriminator.head.weight)
    torch.nn.init.ones_(model.discriminator.head.bias)
    run = fit(model, steps=6, log_every_n_steps=6, logger=DummyLogger())
    assert model.augment.strength.item() == pytest.approx(3 * 16 / 400)
    assert run.callback_metrics["augment/p"] == model.augment.strength
    torch.nn.init.constant_(model.discriminator.head.bias, -1.0)
    model.turn = 0
    trainer(max_steps=2).fit(model, Noise())
    assert model.augment.strength.item() == pytest.approx(2 * 16 / 400)


def test_truncation():
    """Latents keep their order and stay within; the distribution is that of redrawing what exceeds the bound."""
    from lit_gans.variants.gan import truncated

    latent = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    short = truncated(latent, 0.5)
    assert short.abs().max() <= 0.5
    assert (short[latent.argsort()].diff() >= 0).all()
    redrawn = latent[latent.abs() <= 0.5]
    for quantile in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert short.quantile(quantile).item() == pytest.approx(redrawn.quantile(quantile).item(), abs=0.02)
    torch.testing.assert_close(truncated(latent, 30.0), latent)
    model = small_gan()
    plain, near = (model.sample(64, None, torch.Generator().manual_seed(0), truncation=t) for t in (None, 0.3))
    assert near.std(0).mean() < 0.7 * plain.std(0).mean()
    with pytest.raises(UserError, match="truncation must be above 0"):
        model.sample(2, truncation=0.0)
