"""Spectral normalization against the formulas of SNGAN, in float64."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lit_gans.networks.layers import spectral_normalise

LAYERS = {
    "conv": (lambda: nn.Conv2d(3, 6, 3, padding=1), lambda: torch.randn(2, 3, 4, 4), 0),
    "transposed": (lambda: nn.ConvTranspose2d(3, 6, 4, 2, 1), lambda: torch.randn(2, 3, 4, 4), 1),
    "linear": (lambda: nn.Linear(5, 3), lambda: torch.randn(2, 5), 0),
    "logit": (lambda: nn.Linear(5, 1), lambda: torch.randn(2, 5), 0),
    "embedding": (lambda: nn.Embedding(4, 7), lambda: torch.tensor([0, 3]), 0),
}


def normalised(kind):
    """A layer with spectral normalization in float64, an input, and what gives its weight as (outputs, rest)."""
    torch.manual_seed(0)
    build, draw, outputs = LAYERS[kind]
    layer, given = build().double(), draw()
    spectral_normalise(layer)
    given = given.double() if given.is_floating_point() else given
    return layer, given, lambda weight: weight.transpose(0, outputs).flatten(1)


def vectors(layer):
    buffers = layer.parametrizations.weight[0]
    return buffers._u, buffers._v


@pytest.mark.parametrize("kind", LAYERS)
def test_singular_value_becomes_one(kind):
    layer, given, matrix = normalised(kind)
    nn.init.normal_(layer.parametrizations.weight.original, std=5)
    for _ in range(300):
        layer(given)
    largest = torch.linalg.matrix_norm(matrix(layer.eval().weight), ord=2)
    torch.testing.assert_close(largest, torch.ones((), dtype=torch.double))
    u, v = vectors(layer)
    torch.testing.assert_close(u @ matrix(layer.weight) @ v, torch.ones((), dtype=torch.double))


@pytest.mark.parametrize("kind", LAYERS)
def test_one_power_iteration_per_forward(kind):
    layer, given, matrix = normalised(kind)
    nn.init.normal_(layer.parametrizations.weight.original, std=5)  # far from the singular vectors
    weight = layer.parametrizations.weight.original
    v = vectors(layer)[1].clone()
    for _ in range(3):
        u = matrix(weight) @ v
        u = u / u.norm()
        v = matrix(weight).T @ u
        v = v / v.norm()
        result = layer(given)
        torch.testing.assert_close(vectors(layer), (u, v))
        plain = LAYERS[kind][0]().double()
        plain.load_state_dict(
            {"weight": weight / (u @ matrix(weight) @ v), "bias": getattr(layer, "bias", None)},
            strict=kind != "embedding",
        )
        torch.testing.assert_close(result, plain(given))


@pytest.mark.parametrize("kind", LAYERS)
def test_no_power_iteration_in_eval_mode(kind):
    layer, given, _ = normalised(kind)
    nn.init.normal_(layer.parametrizations.weight.original)
    layer.eval()
    before = [vector.clone() for vector in vectors(layer)]
    assert layer(given).equal(layer(given))
    assert all(vector.equal(old) for vector, old in zip(vectors(layer), before, strict=True))


def effective(layer):
    """The weight by the paper's formula, with today's vectors as constants."""
    weight = layer.parametrizations.weight.original
    u, v = (vector.clone() for vector in vectors(layer))
    return weight / (u @ weight.flatten(1) @ v)


def test_gradient_flows_through_the_singular_value():
    """Equation 12 of SNGAN: (dL/dW_sn - lambda u v^T) / sigma with lambda = sum(dL/dW_sn * W_sn)."""
    layer, given, _ = normalised("linear")
    nn.init.normal_(layer.parametrizations.weight.original)
    target = torch.randn(2, 3, dtype=torch.double)
    (layer(given) * target).sum().backward()
    u, v = vectors(layer)
    weight = layer.parametrizations.weight.original
    sigma = u @ weight @ v
    outer = target.T @ given
    expected = (outer - (outer * weight / sigma).sum() * torch.outer(u, v)) / sigma
    torch.testing.assert_close(weight.grad, expected)


def test_several_forwards_before_one_backward():
    layer, _, _ = normalised("conv")
    weight = layer.parametrizations.weight.original
    nn.init.normal_(weight)
    real, fake = torch.randn(2, 2, 3, 4, 4, dtype=torch.double)
    losses, expected = [], []
    for given, sign in ((real, -1), (fake, 1)):
        losses.append(sign * layer(given).square().mean())
        expected.append(sign * F.conv2d(given, effective(layer), layer.bias, padding=1).square().mean())
    assert not vectors(layer)[0].requires_grad
    (gradient,) = torch.autograd.grad(sum(losses), weight)
    torch.testing.assert_close(gradient, torch.autograd.grad(sum(expected), weight)[0])


def critic(spectral=True):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(64, 1)).double()
    if spectral:
        spectral_normalise(network)
    return network


def test_double_backward():
    """R1 on a normalised critic, against one with the effective weights written out."""
    network, real = critic(), torch.randn(3, 1, 4, 4, dtype=torch.double, requires_grad=True)
    originals = [network[index].parametrizations.weight.original for index in (0, 3)]

    def r1(logits):
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        return torch.autograd.grad(gradient.square().sum((1, 2, 3)).mean() / 2, originals)

    gradients = r1(network(real))
    hidden = F.softplus(F.conv2d(real, effective(network[0]), network[0].bias, padding=1))
    expected = r1(F.linear(hidden.flatten(1), effective(network[3]), network[3].bias))
    assert all(gradient.abs().max() > 1e-6 for gradient in gradients)
    torch.testing.assert_close(gradients, expected)


def test_copies_keep_the_singular_vectors():
    network, given = critic(), torch.randn(2, 1, 4, 4, dtype=torch.double)
    for layer in (network[0], network[3]):
        nn.init.normal_(layer.parametrizations.weight.original)
    network(given)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    loaded = critic()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    copied = copy.deepcopy(network)
    before = copied[0].parametrizations.weight[0]._u.clone()
    expected = [network(given) for _ in range(3)]
    assert copied[0].parametrizations.weight[0]._u.equal(before)  # which are its own
    for other in (loaded, copied):
        assert all(other(given).equal(result) for result in expected)


def test_applied_twice_is_applied_once():
    network = critic()
    names, given = list(network.state_dict()), torch.randn(2, 1, 4, 4, dtype=torch.double)
    again = copy.deepcopy(network)
    spectral_normalise(again)
    assert list(again.state_dict()) == names
    assert again(given).equal(network(given))
    assert sum(parameter.numel() for parameter in again.parameters()) == sum(
        p.numel() for p in critic(False).parameters()
    )


def test_normalised_critic_is_one_lipschitz_in_each_linear_layer():
    layer, _, _ = normalised("linear")
    for _ in range(100):
        layer(torch.zeros(1, 5, dtype=torch.double))
    one, other = torch.randn(2, 200, 5, dtype=torch.double)
    stretch = (layer(one) - layer(other)).norm(dim=1) / (one - other).norm(dim=1)
    assert 0.5 < stretch.max() <= 1 + 1e-9
