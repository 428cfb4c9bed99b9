"""Networks that are told labels at more than one layer, or whose discriminator guesses them."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from lit_gans import ACGAN, CGAN
from lit_gans.errors import UserError
from lit_gans.networks import (
    ACGANDiscriminator,
    ACGANGenerator,
    CGANDiscriminator,
    CGANGenerator,
    ConditionalDCGANDiscriminator,
    ConditionalDCGANGenerator,
)
from tests.conftest import fit, small_gan

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def trained(network):
    """With parameters and running statistics that differ everywhere, for evaluation."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if name.endswith("running_var") else tensor.normal_(std=0.3)
    return network.eval()


def normalised(features, norm):
    """By running statistics; gain and bias only where the layer has them."""
    mean, std, gain, bias = norm.running_mean, (norm.running_var + 1e-5).sqrt(), norm.weight, norm.bias
    features = (features.movedim(1, -1) - mean) / std
    return (features if gain is None else features * gain + bias).movedim(-1, 1)


def test_conditional_networks_are_what_the_paper_says():
    generator = CGANGenerator((1, 4, 4), 3, latent_width=5, label_width=6, joint_width=7).eval()
    weights, latent, label = generator.state_dict(), torch.randn(4, 100), torch.tensor([2, 0, 1, 2])
    left = F.linear(latent, weights["latent.0.weight"], weights["latent.0.bias"]).relu()
    right = (weights["label.0.weight"].T[label] + weights["label.0.bias"]).relu()
    joint = F.linear(torch.cat([left, right], 1), weights["joint.0.weight"], weights["joint.0.bias"]).relu()
    image = F.linear(joint, weights["image.0.weight"], weights["image.0.bias"]).tanh().view(4, 1, 4, 4)
    torch.testing.assert_close(generator(latent, label), image)

    discriminator = CGANDiscriminator((1, 4, 4), 3, image_width=5, label_width=6, joint_width=7).eval()
    weights = discriminator.state_dict()
    left = F.linear(image.flatten(1), weights["image.0.weight"], weights["image.0.bias"]).view(4, 5, 5).amax(2)
    right = (weights["label.0.weight"].T[label] + weights["label.0.bias"]).view(4, 6, 5).amax(2)
    joint = F.linear(torch.cat([left, right], 1), weights["joint.0.weight"], weights["joint.0.bias"])
    logit = F.linear(joint.view(4, 7, 4).amax(2), weights["head.weight"], weights["head.bias"])
    torch.testing.assert_close(discriminator(image, label), logit.squeeze(1))


def test_acgan_is_what_the_table_says():
    """Three doublings and three halvings of 32 pixels; batch norm on all hidden maps but the first of each network."""
    generator = trained(ACGANGenerator((3, 32, 32), 3, widths=(4, 3, 2), latent_dim=5, embedding_dim=6))
    discriminator = trained(ACGANDiscriminator((3, 32, 32), 3, width=2))
    latent, label = torch.randn(4, 5), torch.tensor([2, 0, 1, 2])
    dense = generator.layers[0]
    doublings = [layer for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    norms = [layer for layer in generator.layers if isinstance(layer, NORMS)]
    features = torch.cat([latent, generator.label.embedding.weight[label]], 1) @ dense.weight.T + dense.bias
    features = features.relu().view(4, 4, 4, 4)
    for layer, norm in zip(doublings[:2], norms, strict=True):
        features = F.conv_transpose2d(features, layer.weight, layer.bias, stride=2, padding=2, output_padding=1)
        features = normalised(features, norm).relu()
    last = doublings[2]
    image = F.conv_transpose2d(features, last.weight, last.bias, stride=2, padding=2, output_padding=1).tanh()
    assert [layer.kernel_size for layer in doublings] == [(5, 5)] * 3
    torch.testing.assert_close(generator(latent, label), image)

    convolutions = [layer for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
    norms = [None, *(layer for layer in discriminator.layers if isinstance(layer, NORMS))]
    plane = discriminator.label.embedding.weight[label].view(4, 1, 32, 32)
    features = torch.cat([image, plane], 1)
    for layer, norm, stride in zip(convolutions, norms, (2, 1, 2, 1, 2, 1), strict=True):
        features = F.conv2d(features, layer.weight, layer.bias, stride, padding=1)
        features = F.leaky_relu(features if norm is None else normalised(features, norm), 0.2)
    assert [tuple(layer.weight.shape[::2]) for layer in convolutions] == [(2 << level, 3) for level in range(6)]
    assert features.shape == (4, 64, 4, 4)
    logit = F.linear(features.flatten(1), discriminator.head.weight, discriminator.head.bias)
    torch.testing.assert_close(discriminator(image, label), logit.squeeze(1))


IMAGENET = (768, 384, 256, 192)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "widths", "used", "first", "last"),
    [
        (8, (384, 192, 96), (96,), 4, 1),
        (28, (384, 192, 96), (192, 96), 7, 4),
        (32, (384, 192, 96), (384, 192, 96), 4, 4),
        (64, (384, 192, 96), (384, 192, 96), 8, 8),
        (128, (384, 192, 96), (384, 192, 96), 16, 16),
        (32, IMAGENET, (384, 256, 192), 4, 4),
        (128, IMAGENET, IMAGENET, 8, 16),
    ],
)
def test_maps_of_acgan(size, channels, widths, used, first, last):
    """Of each size of images: which widths the generator uses, its first map, and the last one of the judge."""
    shape = (channels, size, size)
    with torch.device("meta"):
        generator, discriminator = ACGANGenerator(shape, 10, widths=widths), ACGANDiscriminator(shape)
        image = generator(torch.randn(2, 100), torch.zeros(2, dtype=torch.long))
        assert discriminator.features(image).shape == (2, 512 * last**2)
    assert image.shape == (2, *shape)
    assert discriminator.feature_dim == 512 * last**2
    assert generator.layers[0].out_features == used[0] * first**2
    maps = [layer.in_channels for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert maps == list(used)


def test_dropout_of_acgan():
    """After each convolution's LeakyReLU, in training only; half of the values by default."""
    network = ACGANDiscriminator((1, 8, 8), width=2)
    hidden = ["Conv2d", "BatchNorm2d", "LeakyReLU", "Dropout"]
    assert [type(layer).__name__ for layer in network.layers] == [hidden[0], *hidden[2:], *hidden * 5, "Flatten"]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.5] * 6
    image = torch.randn(8, 1, 8, 8)
    assert not network(image).equal(network(image))
    without = ACGANDiscriminator((1, 8, 8), width=2, dropout=0.0)
    assert without(image).equal(without(image))
    network.eval()
    assert network(image).equal(network(image))


@pytest.mark.parametrize("spectral", [False, True])
@pytest.mark.parametrize("network", [partial(ACGANGenerator, widths=(4, 2)), partial(ACGANDiscriminator, width=2)])
def test_spectral_acgan(network, spectral):
    """Each layer is normalised, the labels' vectors are not."""
    network = network((1, 16, 16), 3, spectral=spectral)
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Linear, *CONVOLUTIONS))]
    assert [is_parametrized(layer) for layer in layers] == [spectral] * len(layers)
    assert not is_parametrized(network.label.embedding)


@pytest.mark.parametrize(("norm", "kind"), [("instance", nn.InstanceNorm2d), ("layer", nn.GroupNorm), ("none", None)])
def test_norm_of_acgan(norm, kind):
    """On all maps but the first; images are then judged alone."""
    network = ACGANDiscriminator((1, 16, 16), width=2, dropout=0.0, norm=norm)
    kinds = [type(layer) for layer in network.layers if isinstance(layer, (*NORMS, nn.InstanceNorm2d, nn.GroupNorm))]
    assert kinds == [kind] * (5 if kind else 0)
    images = torch.randn(3, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images)[0], images)
    assert gradient[0].any()
    assert not gradient[1:].any()


def one_hot_maps(features, label, classes=3):
    """Beside the features, label by label, a map (or a value) of ones where it is the sample's and zeros elsewhere."""
    maps = torch.zeros(len(label), classes, *features.shape[2:])
    for sample, own in enumerate(label.tolist()):
        maps[sample, own] = 1.0
    return torch.cat([features, maps], 1)


def test_conditional_dcgan_is_what_the_code_says():
    """Each layer sees the label: of 28 pixels two dense layers and two doublings, two halvings and two dense layers."""
    generator = trained(ConditionalDCGANGenerator((1, 28, 28), 3, latent_dim=5, width=2, dense_width=6))
    discriminator = trained(ConditionalDCGANDiscriminator((1, 28, 28), 3, width=2, dense_width=6))
    latent, label = torch.randn(4, 5), torch.tensor([2, 0, 1, 2])
    first, second, third, last = (
        layer.weight for layer in generator.modules() if isinstance(layer, (nn.Linear, *CONVOLUTIONS))
    )
    norms = [layer for layer in generator.modules() if isinstance(layer, NORMS)]
    features = normalised(one_hot_maps(latent, label) @ first.T, norms[0]).relu()
    features = normalised(one_hot_maps(features, label) @ second.T, norms[1]).relu().view(4, 4, 7, 7)
    double = partial(F.conv_transpose2d, stride=2, padding=2, output_padding=1)
    features = normalised(double(one_hot_maps(features, label), third), norms[2]).relu()
    image = double(one_hot_maps(features, label), last).tanh()
    assert third.shape[2:] == last.shape[2:] == (5, 5)
    torch.testing.assert_close(generator(latent, label), image)

    first, second, third, last = (
        layer.weight for layer in discriminator.modules() if isinstance(layer, (nn.Linear, *CONVOLUTIONS))
    )
    norms = [layer for layer in discriminator.modules() if isinstance(layer, NORMS)]
    features = F.leaky_relu(F.conv2d(one_hot_maps(image, label), first, stride=2, padding=2), 0.2)
    features = F.conv2d(one_hot_maps(features, label), second, stride=2, padding=2)
    features = F.leaky_relu(normalised(features, norms[0]), 0.2).flatten(1)
    features = F.leaky_relu(normalised(one_hot_maps(features, label) @ third.T, norms[1]), 0.2)
    assert first.shape[2:] == second.shape[2:] == (5, 5)
    torch.testing.assert_close(discriminator(image, label), (one_hot_maps(features, label) @ last.T).squeeze(1))


@pytest.mark.parametrize(("network", "norms"), [(ConditionalDCGANGenerator, 3), (ConditionalDCGANDiscriminator, 2)])
@pytest.mark.parametrize("classes", [0, 3])
def test_conditional_dcgan_has_nothing_but_weights(network, norms, classes):
    """Norms learn no gain and bias, layers no bias; without classes no layer has inputs for them."""
    network = network((1, 28, 28), classes, width=2, dense_width=6)
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Linear, *CONVOLUTIONS))]
    assert sum(isinstance(layer, NORMS) for layer in network.modules()) == norms
    assert [id(parameter) for parameter in network.parameters()] == [id(layer.weight) for layer in layers]
    inputs = [layer.weight.shape[0 if isinstance(layer, nn.ConvTranspose2d) else 1] for layer in layers]
    bare = [100, 6, 4, 2] if network.__class__ is ConditionalDCGANGenerator else [1, 2, 4 * 7 * 7, 6]
    assert inputs == [before + classes for before in bare]


@pytest.mark.parametrize("network", [ConditionalDCGANGenerator, ConditionalDCGANDiscriminator])
@pytest.mark.parametrize(("size", "times"), [(8, 1), (32, 3), (64, 4), (128, 5)])
def test_sizes_of_conditional_dcgan(network, size, times):
    """The smallest map is 4x4, and widths double from the side of the image on."""
    with torch.device("meta"):
        layers = [layer for layer in network((3, size, size)).modules() if isinstance(layer, CONVOLUTIONS)]
    widths = [64 << level for level in range(times)]
    if network is ConditionalDCGANGenerator:
        assert [layer.in_channels for layer in layers] == widths[::-1]
    else:
        assert [layer.out_channels for layer in layers] == widths


@pytest.mark.parametrize(
    "network", [ACGANGenerator, ACGANDiscriminator, ConditionalDCGANGenerator, ConditionalDCGANDiscriminator]
)
def test_networks_start_as_dcgan(network):
    for module in network((3, 16, 16), 3).modules():
        if isinstance(module, (nn.Linear, *CONVOLUTIONS)):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, NORMS) and module.affine:
            assert module.weight.mean().item() == pytest.approx(1.0, abs=0.01)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.25)
            assert not module.bias.any()


@pytest.mark.parametrize(
    ("variant", "generator", "discriminator"),
    [
        (ACGAN, partial(ACGANGenerator, widths=(4,)), partial(ACGANDiscriminator, width=2)),
        (
            CGAN,
            partial(ConditionalDCGANGenerator, width=2, dense_width=8),
            partial(ConditionalDCGANDiscriminator, width=2, dense_width=8),
        ),
    ],
)
def test_their_variants_train_them(variant, generator, discriminator):
    model = small_gan(variant, generator=generator, discriminator=discriminator)
    before = {name: weight.clone() for name, weight in model.named_parameters() if weight.requires_grad}
    fit(model, steps=2)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.isfinite().all(), name
            assert not weight.equal(before[name]), name


def test_acgan_needs_widths():
    with pytest.raises(UserError, match="number of widths"):
        ACGANGenerator((1, 8, 8), widths=())
