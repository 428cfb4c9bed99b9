"""Every public variant, by existing: two devices, micro-batches or bfloat16 play the game of one device."""

import os
from copy import deepcopy
from datetime import timedelta
from functools import cache, partial

import lightning as L
import pytest
import torch
from torch.distributed import init_process_group
from torch.multiprocessing import start_processes

import lit_gans
from lit_gans.augment import DiffAugment
from lit_gans.losses import RelativisticAverage
from lit_gans.penalties import LeCam, WeightClipping
from tests.conftest import Noise, SavedAt, same, small_discriminator, small_generator, trainer
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


class Ending(L.Callback):
    """What each player's steps were taken with, and all that a run leaves."""

    def __init__(self):
        self.gradients, self.left = [], {}

    def on_before_optimizer_step(self, trainer, module, optimizer):
        player = "generator" if optimizer is trainer.optimizers[0] else "discriminator"
        network = getattr(module, player)
        self.gradients.append({f"{player}.{name}": p.grad.clone() for name, p in network.named_parameters()})

    def on_train_end(self, trainer, module):
        self.left = {
            "state": deepcopy(dict(module.state_dict())),
            "momenta": [optimizer.state_dict() for optimizer in trainer.optimizers],
            "row": module.row(),
            "images_seen": module.images_seen,
        }


def played(game, *, seed=0, devices=1, checkpoint=None, **more):
    """The gradients of a game in double precision, and what it leaves."""
    name, own = GAMES[game]
    cls = getattr(lit_gans, name)
    several = {"n_critic": 2, "generator_fakes": 1 if probe(cls).loss.needs_reals else 2}
    descent = {"optimizer": torch.optim.SGD, "momentum": 0.9, "generator_lr": 0.01, "discriminator_lr": 0.01}
    arguments = everything(cls) | {"discriminator": smooth_discriminator} | several | descent | own | more
    data = arguments.pop("data", Alike)
    model, ending = built(cls, seed, **arguments).double(), Ending()
    for penalty in model.penalties:
        if isinstance(penalty, WeightClipping):
            penalty.bound = 0.2  # of which other gradients are left
    run = trainer(
        max_steps=3,
        log_every_n_steps=3,
        precision="64-true",
        callbacks=[ending, SavedAt(1)],
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
    )
    run.fit(model, data(), ckpt_path=checkpoint)
    return ending.gradients, ending.left


def play_on_two(rank, folder):
    """Plays all games as one of two devices, each whole and from a checkpoint with another initial state."""
    os.chdir(folder)
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0"}  # by which Lightning sees that the processes are there
    meeting = f"file://{folder}/meeting"
    init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    for game in GAMES:
        endings = played(game, devices=2), played(game, devices=2, seed=1, checkpoint="cut.ckpt")
        torch.save(endings, f"{game}.{rank}.pt")


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    """By the game's name: what each of two devices ended with, (whole, resumed)."""
    folder = tmp_path_factory.mktemp("two")
    start_processes(play_on_two, (str(folder),), nprocs=2, start_method="fork")
    return lambda game: [torch.load(folder / f"{game}.{rank}.pt", weights_only=True) for rank in range(2)]


on_one = cache(played)
close = partial(torch.testing.assert_close, rtol=0, atol=1e-10)


def compare(ending, expected, devices=1):
    """To rounding, which the rows of the logs do in float32; ADA counts what a device has seen on average."""
    (gradients, left), (expected_gradients, expected_left) = ending, expected
    for count in {"augment.signs", "augment.logits"} & left["state"].keys():
        left["state"][count] *= devices
    assert min(max(value.abs().max() for value in step.values()) for step in expected_gradients) > 1e-4
    close(gradients, expected_gradients)
    torch.testing.assert_close(left.pop("row"), expected_left["row"], rtol=1e-5, atol=1e-6)
    close(left, {name: value for name, value in expected_left.items() if name != "row"})


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
