"""The residual networks against the same in plain functions, in float64."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lit_gans.networks import GoodDiscriminator, ResNetDiscriminator, ResNetGenerator
from lit_gans.networks.resnet import DownBlock


def disturb(network):
    """Random values for what begins at zero or one; in float64."""
    network = network.double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    for parameter in network.parameters():
        if parameter.ndim != 2 or parameter.abs().max() == 0:
            nn.init.normal_(parameter, std=0.3)
    return network.eval()


def convolve(state, name, features):
    weight = state[f"{name}.weight"]
    return F.conv2d(features, weight, state.get(f"{name}.bias"), padding=weight.shape[-1] // 2)


def normalise(state, name, features, label=None):
    mean, variance = (state[f"{name}.running_{which}"][:, None, None] for which in ("mean", "var"))
    if label is None:
        gain, bias = state[f"{name}.weight"][:, None, None], state[f"{name}.bias"][:, None, None]
    else:
        gain, bias = 1 + state[f"{name}.class_gain"][label], state[f"{name}.class_bias"][label]
        gain, bias = gain[:, :, None, None], bias[:, :, None, None]
    return (features - mean) / (variance + 1e-5).sqrt() * gain + bias


def twice(features):
    return features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def halved(features):
    return sum(features[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4


@pytest.mark.parametrize("classes", [0, 3])
def test_generator_is_that_of_the_paper(classes):
    """Written out once more, in the order of the published code: shortcuts are doubled before the 1x1 convolution."""
    network = disturb(ResNetGenerator((3, 16, 16), classes, width=1, latent_dim=6))
    state, latent = network.state_dict(), torch.randn(4, 6, dtype=torch.double)
    label = torch.tensor([0, 1, 2, 1]) if classes else None
    features = (latent @ state["first.0.weight"].T + state["first.0.bias"]).view(4, 4, 4, 4)
    for index in range(2):
        name = f"blocks.{index}"
        hidden = convolve(
            state, f"{name}.conv1", twice(normalise(state, f"{name}.norm1", features, label).clamp(min=0))
        )
        hidden = convolve(state, f"{name}.conv2", normalise(state, f"{name}.norm2", hidden, label).clamp(min=0))
        features = hidden + convolve(state, f"{name}.shortcut", twice(features))
    image = convolve(state, "last.2", normalise(state, "last.0", features).clamp(min=0)).tanh()
    torch.testing.assert_close(network(latent, label), image, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mean_pool", [False, True])
def test_discriminator_is_that_of_the_paper(mean_pool):
    """Written out once more, in the order of the published code: shortcuts are halved after, but in the first block."""
    network = disturb(ResNetDiscriminator((3, 16, 16), width=2, mean_pool=mean_pool))
    state, image = network.state_dict(), torch.randn(4, 3, 16, 16, dtype=torch.double)
    hidden = convolve(state, "layers.0.conv2", convolve(state, "layers.0.conv1", image).clamp(min=0))
    features = halved(hidden) + convolve(state, "layers.0.shortcut", halved(image))
    for index in (1, 2, 3):
        hidden = convolve(state, f"layers.{index}.conv1", features.clamp(min=0)).clamp(min=0)
        hidden = convolve(state, f"layers.{index}.conv2", hidden)
        if index == 1:
            features = halved(hidden) + halved(convolve(state, "layers.1.shortcut", features))
        else:
            assert f"layers.{index}.shortcut.weight" not in state
            features = hidden + features
    pooled = features.clamp(min=0).sum((2, 3)) / (16 if mean_pool else 1)
    torch.testing.assert_close(network.features(image), pooled, rtol=1e-10, atol=1e-12)
    logits = pooled @ state["head.weight"][0] + state["head.bias"]
    torch.testing.assert_close(network(image), logits, rtol=1e-10, atol=1e-12)


def test_good_discriminator_is_that_of_the_published_code():
    network = disturb(GoodDiscriminator((3, 8, 8), width=2))
    state, image = network.state_dict(), torch.randn(4, 3, 8, 8, dtype=torch.double)

    def layer_norm(name, features):
        deviation, mean = torch.std_mean(features, (1, 2, 3), correction=0, keepdim=True)
        gain, bias = (state[f"layers.1.{name}.{which}"][:, None, None] for which in ("weight", "bias"))
        return (features - mean) / (deviation.square() + 1e-5).sqrt() * gain + bias

    features = convolve(state, "layers.0", image)
    hidden = convolve(state, "layers.1.conv1", layer_norm("norm1", features).clamp(min=0))
    hidden = convolve(state, "layers.1.conv2", layer_norm("norm2", hidden).clamp(min=0))
    features = halved(hidden) + convolve(state, "layers.1.shortcut", halved(features))
    logits = features.flatten(1) @ state["head.weight"][0] + state["head.bias"]
    torch.testing.assert_close(network(image), logits, rtol=1e-10, atol=1e-12)


def test_plain_block_is_the_identity_without_its_convolutions():
    block = DownBlock(4, 4, first=False, wide=False, halves=False, attends=False)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    features = torch.randn(2, 4, 5, 5)
    before = features.clone()
    assert block(features).equal(features)
    assert features.equal(before)  # no ReLU in place
