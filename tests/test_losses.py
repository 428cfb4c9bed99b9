import pytest
import torch

from lit_gans.losses import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
)

REAL = torch.tensor([1.2, -0.3, 0.7, 2.5, -1.1], dtype=torch.float64)
FAKE = torch.tensor([-0.8, 0.4, 1.5, -2.0, 0.1], dtype=torch.float64)
ALL = [Minimax(), NonSaturating(), LeastSquares(), Wasserstein(), Hinge(), Relativistic(), RelativisticAverage()]

# Loss of the discriminator and of the generator on the logits above, computed apart from this code in float64.
EXPECTED = [
    (Minimax(), 1.3687805375094046, -0.7713707734894053),
    (NonSaturating(), 1.3687805375094046, 0.9313707734894052),
    (LeastSquares(), 1.5540000000000003, 1.366),
    (LeastSquares(fake_code=-1.0, real_code=1.0, generator_code=0.0), 1.8940000000000001, 0.7060000000000001),
    (Wasserstein(), -0.7599999999999998, 0.15999999999999998),
    (Hinge(), 1.7799999999999998, 0.15999999999999998),
    (Relativistic(), 0.7751089876125667, 1.5351089876125665),
    (RelativisticAverage(), 0.5289731834674499, 1.28897318346745),
]


def name(value):
    return type(value).__name__ if not isinstance(value, float) else ""


@pytest.mark.parametrize(("loss", "discriminator", "generator"), EXPECTED, ids=name)
def test_values(loss, discriminator, generator):
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator, rel=1e-12)
    assert loss.generator(FAKE, REAL).item() == pytest.approx(generator, rel=1e-12)


GRADIENTS = [
    (NonSaturating(), [-0.1379948962255225, -0.0802624679775096, -0.036485104761271266], "generator"),
    (Minimax(), [-0.06200510377447751, -0.11973753202249042, -0.16351489523872872], "generator"),
    (LeastSquares(), [-0.16000000000000003, 0.08000000000000002, 0.30000000000000004], "discriminator"),
    (Hinge(), [0.2, 0.2, 0.2], "discriminator"),
    (Relativistic(), [-0.1761594155955765, -0.06636244556636679, -0.06200510377447751], "generator"),
]


@pytest.mark.parametrize(("loss", "expected", "player"), GRADIENTS, ids=name)
def test_gradients_with_respect_to_fakes(loss, expected, player):
    fake = FAKE.clone().requires_grad_()
    value = loss.generator(fake, REAL) if player == "generator" else loss.discriminator(REAL, fake)
    value.backward()
    torch.testing.assert_close(fake.grad[:3], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_gradients_pull_in_the_right_direction(loss):
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    loss.discriminator(real, fake).backward()
    assert real.grad.sum() < 0 < fake.grad.sum() or isinstance(loss, LeastSquares)
    fake.grad = None
    loss.generator(fake, REAL).backward()
    assert fake.grad.sum() < 0


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_finite_at_large_logits(loss):
    for sign in (1, -1):
        real = torch.full((4,), 1e3 * sign, requires_grad=True)
        fake = torch.full((4,), -1e3 * sign, requires_grad=True)
        for value in (loss.discriminator(real, fake), loss.generator(fake, real)):
            assert value.isfinite()
            assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(value, fake))


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_float32_under_autocast(loss):
    with torch.autocast("cpu", torch.bfloat16):
        logits = torch.randn(64, 8) @ torch.randn(8, 1)
        assert logits.dtype == torch.bfloat16
        values = loss.discriminator(logits[:32], logits[32:]), loss.generator(logits[32:], logits[:32])
    exact = (
        loss.discriminator(logits[:32].double(), logits[32:].double()),
        loss.generator(logits[32:].double(), logits[:32].double()),
    )
    for value, reference in zip(values, exact, strict=True):
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(reference.item(), rel=1e-5, abs=1e-6)


def test_decisions_by_threshold():
    shown = NonSaturating().decisions(REAL, FAKE)
    assert shown["real_accuracy"] == pytest.approx(3 / 5)
    assert shown["fake_accuracy"] == pytest.approx(2 / 5)
    assert shown["real_score"] == pytest.approx(REAL.sigmoid().mean())
    shown = LeastSquares().decisions(torch.tensor([0.6, 0.4]), torch.tensor([0.4, 0.3]))
    assert (shown["real_accuracy"], shown["fake_accuracy"]) == (0.5, 1.0)


@pytest.mark.parametrize("loss", [Wasserstein(), Relativistic(), RelativisticAverage()], ids=name)
def test_decisions_by_ranking(loss):
    assert loss.decisions(REAL, FAKE)["ranking_accuracy"] == pytest.approx(2 / 5)


def test_only_differences_matter_to_critics():
    for loss in (Wasserstein(), Relativistic(), RelativisticAverage()):
        torch.testing.assert_close(loss.discriminator(REAL + 7, FAKE + 7), loss.discriminator(REAL, FAKE))
