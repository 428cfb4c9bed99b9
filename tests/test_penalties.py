import torch

from lit_gans.penalties import R1, GradientPenalty, input_gradient

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
