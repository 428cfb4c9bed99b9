"""Every public variant, by existing: two devices, micro-batches or bfloat16 play the game of one device."""

from functools import cache, partial

import pytest
import torch

import lit_gans
from lit_gans.augment import DiffAugment
from lit_gans.losses import RelativisticAverage
from lit_gans.penalties import LeCam, WeightClipping
from tests.conftest import Noise, same, small_discriminator, small_generator
from tests.exact import close, compare, ended, endings_on_two
from tests.test_variants import VARIANTS, built, everything, probe


class Alike(Noise):
    """Each image has the same pixels in another order: any part of a batch has DRAGAN's deviation of all of it."""

    def load(self, split):
        images, labels = super().load(split)
        return (4 * images.flatten(1).argsort(1)).to(torch.uint8).view_as(images), labels


def smooth_discriminator(image_shape, num_classes=0, **options):
    """Its gradient differs from place to place, so that penalties must look at the right ones; logits of both signs."""
    network = small_discriminator(image_shape, num_classes, **options)
    network.layers[1] = torch.nn.Tanh()
    torch.nn.init.zeros_(network.head.bias)
    return network


EXACT = {name: (name, {}) for name in VARIANTS} | {"diffaugment": ("GAN", {"augment": DiffAugment()})}
NOT_EXACT = {
    "deviation of pixels": ("DRAGAN", {"data": Noise}),
    "relativistic means": ("GAN", {"loss": RelativisticAverage(), "augment": None, "generator_fakes": 1}),
    "batch norm": ("GAN", {"generator": partial(small_generator, batch_norm=True)}),
    "dropout": ("GAN", {"discriminator": partial(smooth_discriminator, dropout=0.3)}),
}
GAMES = EXACT | NOT_EXACT


def played(game, *, seed=0, devices=1, checkpoint=None, **more):
    """The gradients of a game in double precision, and what it leaves."""
    name, own = GAMES[game]
    cls = getattr(lit_gans, name)
    several = {"n_critic": 2, "generator_fakes": 1 if probe(cls).loss.needs_reals else 2}
    descent = {"optimizer": torch.optim.SGD, "momentum": 0.9, "generator_lr": 0.01, "discriminator_lr": 0.01}
    arguments = everything(cls) | {"discriminator": smooth_discriminator} | several | descent | own | more
    data = arguments.pop("data", Alike)
    model = built(cls, seed, **arguments)
    for penalty in model.penalties:
        if isinstance(penalty, WeightClipping):
            penalty.bound = 0.2  # of which other gradients are left
    return ended(model, data(), steps=3, cut=1, devices=devices, checkpoint=checkpoint)


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    return endings_on_two(tmp_path_factory.mktemp("two"), played, list(GAMES))


on_one = cache(played)


@pytest.mark.parametrize("game", EXACT)
def test_two_devices_equal_one(on_two, game):
    """On the joint batch: gradients of both players, weights, averages, estimates, strengths, rows."""
    (first, _), (second, _) = on_two(game)
    assert same(first, second)
    compare(first, on_one(game), devices=2)


@pytest.mark.parametrize("game", EXACT)
def test_micro_batches_equal_one(game):
    """Three of them, of unlike size."""
    compare(played(game, micro_batches=3), on_one(game))


@pytest.mark.parametrize("game", NOT_EXACT)
def test_what_sees_only_the_images_at_hand(on_two, game):
    """As the docstring of AdversarialModule says; devices stay together nevertheless."""
    (first, _), (second, _) = on_two(game)
    assert same(first[1], second[1])
    for other in (first, played(game, micro_batches=3)):
        with pytest.raises(AssertionError):
            close(other[1]["state"], on_one(game)[1]["state"])


@pytest.mark.parametrize("game", GAMES)
def test_resumed_on_two_devices(on_two, game):
    """Bit for bit, dropout on each of them included."""
    for whole, resumed in on_two(game):
        assert same(resumed[1], whole[1])


WITHOUT_AUTOCAST = {"r1": 1e-6, "dragan_penalty": 1e-6, "orthogonal": 1e-6, "r2": 1e-3, "gradient_penalty": 1e-3}
"""How near such terms are; the last two look at fakes, which are made under it."""


@pytest.mark.parametrize("name", VARIANTS)
def test_bfloat16_follows_float32(name):
    """Gradients within 5 %, terms within 3 %, and in float32; much nearer where autocast is kept out."""
    cls = getattr(lit_gans, name)
    data = Noise()
    data.setup()
    batch = next(iter(data.train_dataloader()))

    def turns(autocast):
        # In training, the penalties' own passes would advance the estimates of spectral norm.
        model = built(cls, **everything(cls) | {"discriminator": smooth_discriminator}).eval()
        for penalty in model.penalties:
            if isinstance(penalty, LeCam):
                penalty.past.zero_()  # otherwise there is no term yet
        for phase in model.phases():
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                terms = phase.objective(batch)
            gradients = torch.autograd.grad(sum(terms.values()), list(getattr(model, phase.player).parameters()))
            yield terms, torch.cat([gradient.flatten() for gradient in gradients])

    for (terms, gradient), (exact_terms, exact) in zip(turns(autocast=True), turns(autocast=False), strict=True):
        assert 0 < (gradient - exact).norm() < 0.05 * exact.norm()
        for term, value in terms.items():
            tolerance = WITHOUT_AUTOCAST.get(term, 0.03)
            torch.testing.assert_close(value, exact_terms[term], rtol=tolerance, atol=tolerance / 10)
