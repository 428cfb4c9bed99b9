"""Who moves when, and on how many fakes: each paper's algorithm, written out apart from the code."""

import pytest
import torch

import lit_gans
from tests.conftest import SMALL, Noise, fit


def played(cls, steps, **arguments):
    """What each batch did: a letter for each player that moved, and the fakes that the other judged."""
    moves = []

    class Recorded(cls):
        def play(self, phase, batch):
            made.clear()
            super().play(phase, batch)
            moves.append((self.turn, phase.player[0].upper(), made[0] // len(batch[0])))

    torch.manual_seed(0)
    model = Recorded(image_shape=(1, 8, 8), num_classes=3, **SMALL | arguments)
    made = []
    model.generator.register_forward_hook(lambda module, inputs, images: made.append(len(images)))
    fit(model, steps=steps, data=Noise(count=40))
    return moves


def written(algorithm, steps):
    return [move for move in algorithm() if move[0] < steps]


def each_batch():
    """D, then G, on each batch: DCGAN, LSGAN, SAGAN, R3GAN and others."""
    for turn in range(100):
        yield turn, "D", 1
        yield turn, "G", 1


def critic_ahead(n_critic, fakes=1):
    """WGAN and WGAN-GP, Algorithm 1; BigGAN: n_critic steps of D, then one of G."""
    for turn in range(100):
        yield turn, "D", 1
        if turn % n_critic == n_critic - 1:
            yield turn, "G", fakes


def generator_first():
    """The published loop of SNGAN: of each five passes the first begins with G, on twice as many fakes."""
    turn = 0
    for _iteration in range(20):
        for i in range(5):
            if i == 0:
                yield turn, "G", 2
            yield turn, "D", 1
            turn += 1


@pytest.mark.parametrize(
    ("name", "arguments", "algorithm"),
    [
        ("GAN", {}, each_batch),
        ("GAN", {"n_critic": 3, "generator_fakes": 2}, lambda: critic_ahead(3, fakes=2)),
        ("DCGAN", {}, each_batch),
        ("LSGAN", {}, each_batch),
        ("CGAN", {}, each_batch),
        ("ACGAN", {}, each_batch),
        ("DRAGAN", {}, each_batch),
        ("R3GAN", {}, each_batch),
        ("WGAN", {}, lambda: critic_ahead(5)),
        ("WGANGP", {}, lambda: critic_ahead(5)),
        ("SNGAN", {}, generator_first),
        ("ProjectionGAN", {}, generator_first),
        ("BigGAN", {}, lambda: critic_ahead(2)),
    ],
)
def test_order_counts_and_fakes(name, arguments, algorithm):
    steps = 12
    moves = played(getattr(lit_gans, name), steps, **arguments)
    assert moves == written(algorithm, steps)


def test_head_start_of_the_critic():
    """The published loop of WGAN: 100 steps of D for the first 25 of G and for each 500th, otherwise `n_critic`."""
    model = lit_gans.WGAN(image_shape=(1, 8, 8), **SMALL)
    moves, turn = set(), 0
    for generator_steps in range(1600):
        turn += 100 if generator_steps < 25 or generator_steps % 500 == 0 else 5
        moves.add(turn - 1)
    assert {turn for turn in range(max(moves) + 1) if model.generator_due(turn)} == moves
    model.critic_head_start = True
    assert [phase.due(104) for phase in model.phases()] == [True, False]
    assert [phase.due(99) for phase in model.phases()] == [True, True]


def test_the_critic_is_clipped_when_the_generator_moves():
    """Algorithm 1 of WGAN clamps after the critic's step, so that all fakes are judged by a clamped critic."""
    bounds = []

    class Watched(lit_gans.WGAN):
        def generator_loss(self, batch):
            bounds.append(max(parameter.abs().max().item() for parameter in self.discriminator.parameters()))
            return super().generator_loss(batch)

    torch.manual_seed(0)
    fit(Watched(image_shape=(1, 8, 8), clip=0.02, n_critic=1, discriminator_lr=1.0, **SMALL), steps=3)
    assert bounds == pytest.approx([0.02] * 3)
