import pytest
import torch
from torch import nn

from datamodules import Labelled
from lit_gans.critic import Critic
from lit_gans.errors import UserError
from lit_gans.losses import Relativistic
from lit_gans.penalties import (
    R1,
    R2,
    DRAGANPenalty,
    Drift,
    GradientPenalty,
    LeCam,
    Orthogonal,
    WeightClipping,
    input_gradient,
)
from lit_gans.schedules import Linear

X_REAL = torch.tensor([[1.0, 0.0, 2.0], [0.5, -1.0, 0.0]], dtype=torch.float64).view(2, 3, 1, 1)
X_FAKE = torch.tensor([[0.0, 1.0, 1.0], [2.0, 0.0, -1.0]], dtype=torch.float64).view(2, 3, 1, 1)


def test_gradient_penalty_of_a_linear_critic():
    w = torch.tensor([0.6, -0.8, 1.2], dtype=torch.float64, requires_grad=True)
    value = GradientPenalty(weight=10.0)(lambda x: x.flatten(1) @ w, X_REAL, X_FAKE)
    torch.testing.assert_close(value.item(), 3.1590012963733822)
    value.backward()
    expected = torch.tensor([0.4317787204026241, -0.5757049605368322, 0.8635574408052482], dtype=torch.float64)
    torch.testing.assert_close(w.grad / 10, expected)


def test_gradient_penalty_looks_between_real_and_fake():
    """A critic |x|^2 / 2 has the point itself as its gradient."""
    shares = torch.tensor([0.25, 0.75], dtype=torch.float64).view(2, 1, 1, 1)
    value = GradientPenalty(weight=1.0)(lambda x: x.square().sum((1, 2, 3)) / 2, X_REAL, X_FAKE, lambda *shape: shares)
    points = torch.stack([0.75 * X_REAL[0] + 0.25 * X_FAKE[0], 0.25 * X_REAL[1] + 0.75 * X_FAKE[1]])
    torch.testing.assert_close(value, (points.flatten(1).norm(dim=1) - 1).square().mean())


def test_r1_of_a_quadratic_critic():
    a = torch.tensor([[1.0, 0.5, 0.0], [0.5, -0.5, 0.25], [0.0, 0.25, 2.0]], dtype=torch.float64)
    b = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64, requires_grad=True)

    def critic(x):
        x = x.flatten(1)
        return (x @ a * x).sum(1) / 2 + x @ b

    value = R1(10.0)(critic, X_REAL, X_FAKE)
    torch.testing.assert_close(value.item(), 51.6375)
    torch.testing.assert_close(R1(10.0, every=16)(critic, X_REAL, X_FAKE).item(), 826.2)
    value.backward()
    torch.testing.assert_close(b.grad, torch.tensor([6.0, 6.75, 21.75], dtype=torch.float64))


def test_float32_under_autocast():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    real = torch.randn(8, 3, 1, 1)
    exact = R1(1.0)(layers, real, real)
    leaf = real.clone().requires_grad_()
    (expected,) = torch.autograd.grad(layers(leaf).sum(), leaf)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = R1(1.0)(layers, real.bfloat16().float(), real)
        gradient = input_gradient(layers, real)
    assert under_autocast.dtype == gradient.dtype == torch.float32
    torch.testing.assert_close(gradient.view_as(real), expected, rtol=0, atol=0)
    torch.testing.assert_close(under_autocast, exact, rtol=0.05, atol=0)


A = torch.tensor([[1.0, 0.5, 0.0], [0.5, -0.5, 0.25], [0.0, 0.25, 2.0]], dtype=torch.float64)
B = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)


def quadratic(x):
    x = x.flatten(1)
    return (x @ A * x).sum(1) / 2 + x @ B


def test_the_loss_of_r3gan():
    """Relativistic loss, R1 and R2 of a quadratic critic; values computed apart from this code."""
    torch.testing.assert_close(R2(10.0)(quadratic, X_REAL, X_FAKE).item(), 36.66875)
    real, fake = quadratic(X_REAL), quadratic(X_FAKE)
    terms = [penalty(quadratic, X_REAL, X_FAKE) for penalty in (R1(10.0), R2(10.0))]
    torch.testing.assert_close((Relativistic().discriminator(real, fake) + sum(terms)).item(), 89.8506762818747)
    torch.testing.assert_close(Relativistic().generator(fake, real).item(), 2.081926281874682)


@pytest.mark.parametrize(
    ("size", "target", "one_sided", "expected"),
    [(2.0, 1.0, False, 1.0), (0.5, 1.0, False, 0.25), (2.0, 1.0, True, 1.0), (0.5, 1.0, True, 0.0), (2.0, 0, False, 4)],
)
def test_sides_and_centres_of_the_gradient_penalty(size, target, one_sided, expected):
    """A linear critic has the same gradient everywhere."""
    w = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64) * size
    penalty = GradientPenalty(1.0, target=target, one_sided=one_sided)
    assert penalty(lambda x: x.flatten(1) @ w, X_REAL, X_FAKE).item() == pytest.approx(expected)


def test_zero_centred_penalty_at_zero_gradient():
    """Where the gradient vanishes a norm has no derivative; the weights stay finite."""
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    GradientPenalty(1.0, target=0.0)(lambda x: x.flatten(1) @ w, X_REAL, X_FAKE).backward()
    assert w.grad.isfinite().all()


def test_dragan_looks_near_the_reals():
    """A critic |x|^2 / 2 has the point itself as its gradient."""
    numbers = torch.tensor([[0.5, 0.1, 0.2, 0.3], [1.0, 0.4, 0.0, 1.0]], dtype=torch.float64)
    value = DRAGANPenalty(2.0)(lambda x: x.square().sum((1, 2, 3)) / 2, X_REAL, X_FAKE, lambda *shape: numbers)
    reals = X_REAL.flatten(1)
    mean = reals.sum() / 6
    std = ((reals - mean).square().sum() / 6).sqrt()
    norms = [(reals[i] + numbers[i, 0] * 0.5 * std * numbers[i, 1:]).norm() for i in range(2)]
    torch.testing.assert_close(value, 2 * torch.stack([(norm - 1) ** 2 for norm in norms]).mean())


def test_drift():
    logits = torch.tensor([1.2, -0.3, 0.7, 2.5, -1.1], dtype=torch.float64)
    assert Drift()(lambda x: logits, X_REAL, X_FAKE).item() == pytest.approx(0.0018960000000000001)


def test_lecam_remembers():
    """Against the past means of the other kind, which begin with the first batch; pieces of a batch have one past."""
    penalty = LeCam(0.3, decay=0.9)
    past = None
    for step in range(4):
        real = torch.tensor([1.0, -2.0 + step, 0.5])
        fake = torch.tensor([0.3 * step, -1.0, -0.2])
        value = penalty(lambda images: images, real, fake)
        expected = 0.0
        if past is not None:
            expected += sum(max(r - past[1], 0) ** 2 for r in real.tolist()) / 3
            expected += sum(max(past[0] - f, 0) ** 2 for f in fake.tolist()) / 3
        assert value.item() == pytest.approx(0.3 * expected, rel=1e-5)
        means = real.mean().item(), fake.mean().item()
        past = means if past is None else tuple(0.9 * old + 0.1 * new for old, new in zip(past, means, strict=True))
        penalty.after_step(nn.Identity())
        penalty.after_step(nn.Identity())  # nothing new to remember
    other = LeCam(0.3, decay=0.9)
    other.load_state_dict(penalty.state_dict())
    first, rest = (other(lambda images: images, real[part], fake[part]) for part in (slice(1), slice(1, 3)))
    whole = penalty(lambda images: images, real, fake)
    torch.testing.assert_close(first / 3 + 2 * rest / 3, whole)
    for lecam in (penalty, other):
        lecam.after_step(nn.Identity())
    torch.testing.assert_close(other.state_dict(), penalty.state_dict())


def test_orthogonal():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ConvTranspose2d(3, 2, 2), nn.Linear(4, 5))
    expected = 0.0
    for layer in layers:
        weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
        rows = weight.reshape(len(weight), -1)
        for i, one in enumerate(rows):
            for k, other in enumerate(rows):
                expected += (one @ other).item() ** 2 if i != k else 0.0
    assert Orthogonal(2.0)(layers, X_REAL, X_FAKE).item() == pytest.approx(2 * expected, rel=1e-5)
    nn.init.orthogonal_(layers[0].weight)
    assert Orthogonal(1.0)(layers[:1], X_REAL, X_FAKE).item() == pytest.approx(0.0, abs=1e-10)
    spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))
    rows = spectral.parametrizations.weight.original
    expected = (rows @ rows.T).square().sum() - rows.square().sum(1).square().sum()
    torch.testing.assert_close(Orthogonal(1.0)(spectral, X_REAL, X_FAKE), expected)


def test_weight_clipping():
    layer = nn.Linear(3, 3)
    before = {name: parameter.clone() for name, parameter in layer.named_parameters()}
    penalty = WeightClipping(0.1)
    assert not any(penalty.due(turn) for turn in range(10))
    penalty.after_step(layer)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter, before[name].clamp(-0.1, 0.1))
    assert layer.weight.abs().max() <= 0.1 < before["weight"].abs().max()


def test_scheduled_weight():
    scheduled, constant = R1(Linear(start=10.0, end=2.0, kimg=4.0)), R1(10.0)
    whole = constant(quadratic, X_REAL, X_FAKE)
    torch.testing.assert_close(scheduled(quadratic, X_REAL, X_FAKE, kimg=2.0), 0.6 * whole)
    torch.testing.assert_close(scheduled(quadratic, X_REAL, X_FAKE, kimg=9.0), 0.2 * whole)


def test_what_cannot_be_is_refused():
    for make in (lambda: R1(-1.0), lambda: R1(every=0), lambda: WeightClipping(-0.1)):
        with pytest.raises(UserError, match="must be at least"):
            make()


def test_images_are_left_as_they_are():
    R1()(quadratic, X_REAL, X_FAKE)
    assert not X_REAL.requires_grad


@pytest.mark.parametrize("autocast", [False, True])
def test_images_pass_the_critic_once(autocast):
    """R1, R2 and the loss share their passes, the points between are a third; autocast and penalties need their own."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, 1), nn.Flatten(0))
    seen = []

    def network(images, label):
        seen.append((label, torch.is_autocast_enabled("cpu")))
        return layers(images)

    def terms(critic, real, fake):
        penalties = [penalty(critic, real, fake) for penalty in (R1(), R2(), Drift(), LeCam())]
        return penalties + [critic(real).mean(), critic(fake).mean(), GradientPenalty()(critic, real, fake, torch.ones)]

    real, fake = X_REAL.float().requires_grad_(), X_FAKE.float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        shared = terms(Critic(network, Labelled(real, "real"), Labelled(fake, "fake")), real, fake)
    expected = [("real", False), ("fake", False), ("real", False)] + [("real", True), ("fake", True)] * autocast
    assert sorted(seen) == sorted(expected)
    sum(shared).backward()
    gradients = [parameter.grad.clone() for parameter in layers.parameters()]
    layers.zero_grad()
    sum(terms(layers, X_REAL.float(), X_FAKE.float())).backward()
    for gradient, parameter in zip(gradients, layers.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=2e-2 if autocast else 1e-5, atol=2e-2 * autocast)
