"""Every translator of images, by existing: two devices, micro-batches or bfloat16 play the game of one device."""

from functools import cache, partial

import pytest
import torch

from lit_gans.losses import Relativistic
from lit_gans.networks import PatchDiscriminator, SRResNet, StyleTranslator
from tests.conftest import same
from tests.exact import compare, ended, endings_on_two
from tests.translation import TRANSLATORS, data_for, translator


def shown(source_shape, image_shape):
    return StyleTranslator(source_shape, image_shape, blocks=1, width=4, kernel=3)


OWN = {
    "ESRGAN": {"loss": Relativistic()},  # of pairs, not of means over the images at hand
    "CycleGAN": {"pool_size": 3},
    "StyleTransferGAN": {"pool_size": 3},
    "SRGAN": {"pretrain_kimg": 0.004},
}
GAMES = {name: (name, OWN.get(name, {})) for name in TRANSLATORS}
GAMES["style shown"] = ("StyleTransferGAN", {"generator": shown, "pool_size": 3})


def played(game, *, seed=0, devices=1, checkpoint=None, **more):
    """The gradients of a game in double precision, and what it leaves."""
    name, own = GAMES[game]
    descent = {"optimizer": torch.optim.SGD, "momentum": 0.9, "generator_lr": 0.01, "discriminator_lr": 0.01}
    model = translator(name, seed, **descent | own | more)
    return ended(model, data_for(name), steps=4, cut=2, devices=devices, checkpoint=checkpoint)


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    return endings_on_two(tmp_path_factory.mktemp("two"), played, list(GAMES))


on_one = cache(played)


@pytest.mark.parametrize("game", GAMES)
def test_two_devices_equal_one(on_two, game):
    """On the joint batch: gradients of both players, weights, pools, rows."""
    (first, _), (second, _) = on_two(game)
    assert same(first, second)
    compare(first, on_one(game), devices=2)


@pytest.mark.parametrize("game", GAMES)
def test_micro_batches_equal_one(game):
    compare(played(game, micro_batches=2), on_one(game))


@pytest.mark.parametrize("game", GAMES)
def test_resumed_on_two_devices(on_two, game):
    for whole, resumed in on_two(game):
        assert same(resumed[1], whole[1])


WITHOUT_NORM = {
    "generator": lambda *shapes: SRResNet(*shapes, blocks=0, width=8) if shapes[0] != shapes[1] else shown(*shapes),
    "discriminator": partial(PatchDiscriminator, receptive_field=16, width=4, norm="none"),
}
"""Of four pixels, which the maps of such small images have, a norm would enlarge the error."""


@pytest.mark.parametrize("name", TRANSLATORS)
def test_bfloat16_follows_float32(name):
    """Gradients within 10 %, terms within 3 %, and in float32."""
    batch = next(iter(data_for(name).train_dataloader()))

    def turns(autocast):
        model = translator(name, **OWN.get(name, {}) | WITHOUT_NORM).eval()
        model.pretrain_kimg = 0
        for phase in model.phases():
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                terms = phase.objective(batch)
            gradients = torch.autograd.grad(sum(terms.values()), list(getattr(model, phase.player).parameters()))
            yield terms, torch.cat([gradient.flatten() for gradient in gradients])

    for (terms, gradient), (exact_terms, exact) in zip(turns(autocast=True), turns(autocast=False), strict=True):
        assert all(value.dtype == torch.float32 for value in terms.values())
        assert 0 < (gradient - exact).norm() < 0.1 * exact.norm()
        for term, value in terms.items():
            torch.testing.assert_close(value, exact_terms[term], rtol=0.03, atol=0.003)
