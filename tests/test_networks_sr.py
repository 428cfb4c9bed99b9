"""Networks of super-resolution: counts of the published ones, and each of them layer by layer."""

from math import sqrt

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lit_gans.errors import UserError
from lit_gans.networks import RRDBNet, SRDiscriminator, SRResNet, UNetDiscriminator
from lit_gans.networks.heads import Projection
from lit_gans.networks.rrdb import RRDB, DenseBlock, doubled


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


LOW, HIGH = (3, 24, 24), (3, 96, 96)
COUNTS = [
    (SRResNet, {}, 1_549_462),
    (SRResNet, {"channel_slopes": True}, 1_550_659),
    (SRResNet, {"channel_slopes": True, "bias": False}, 1_548_547),
    (SRResNet, {"bias": False}, 1_547_350),
    (RRDBNet, {}, 16_697_987),
]


@pytest.mark.parametrize(("network", "arguments", "expected"), COUNTS)
def test_parameter_counts_of_generators(network, arguments, expected):
    with torch.device("meta"):
        assert count(network(LOW, HIGH, **arguments)) == expected


def test_parameter_counts_of_discriminators():
    with torch.device("meta"):
        assert count(SRDiscriminator(HIGH)) == 23_565_505
        assert count(UNetDiscriminator(HIGH)) == 4_376_897


@pytest.mark.parametrize(
    ("network", "arguments", "scale", "multiple"),
    [(SRResNet, {"blocks": 1}, scale, 1) for scale in (2, 3, 4)]
    + [(RRDBNet, {"blocks": 1, "growth": 2}, scale, 4 // scale) for scale in (1, 2, 4)],
)
def test_any_size_and_scale(network, arguments, scale, multiple):
    translator = network((1, 8, 12), (3, 8 * scale, 12 * scale), width=4, **arguments)
    assert (translator.scale, translator.multiple) == (scale, multiple)
    assert (translator.source_shape, translator.image_shape) == ((1, 8, 12), (3, 8 * scale, 12 * scale))
    for height, width in [(8, 12), (4 * multiple, 5 * multiple)]:
        images = translator(torch.randn(2, 1, height, width))
        assert images.shape == (2, 3, height * scale, width * scale)
    images.sum().backward()
    assert all(parameter.grad is not None for parameter in translator.parameters())
    if multiple > 1:
        with pytest.raises(UserError, match=f"RRDBNet takes images whose sides are multiples of {multiple}, not 8x13"):
            translator(torch.randn(2, 1, 8, 13))


@pytest.mark.parametrize(
    ("network", "image", "scales"),
    [
        (SRResNet, (3, 8, 8), "2 or 3 or 4"),
        (SRResNet, (3, 40, 40), "2 or 3 or 4"),
        (SRResNet, (3, 16, 32), "2 or 3 or 4"),
        (SRResNet, (3, 17, 17), "2 or 3 or 4"),
        (RRDBNet, (3, 24, 24), "1 or 2 or 4"),
        (RRDBNet, (3, 4, 4), "1 or 2 or 4"),
    ],
)
def test_other_scales_are_refused(network, image, scales):
    with pytest.raises(UserError, match=f"{scales} times as high and wide as their sources, not {image[1]}x{image[2]}"):
        network((3, 8, 8), image)


def shuffled(features, step):
    """Channel c r^2 + i r + j of the map goes to row i and column j of each r x r square of channel c."""
    images = features.new_empty(len(features), features.shape[1] // step**2, *(step * n for n in features.shape[2:]))
    for row in range(step):
        for column in range(step):
            images[:, :, row::step, column::step] = features[:, row * step + column :: step**2]
    return images


def test_the_order_of_pixels():
    (shuffle,) = (m for m in SRResNet((3, 8, 8), (3, 16, 16), blocks=0).modules() if isinstance(m, nn.PixelShuffle))
    numbers = torch.arange(8.0).view(1, 8, 1, 1)
    assert shuffle(numbers).tolist() == [[[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]]
    rows = [[0, 6, 1, 7, 2, 8], [12, 18, 13, 19, 14, 20], [3, 9, 4, 10, 5, 11], [15, 21, 16, 22, 17, 23]]
    expected = torch.tensor(rows) + 24.0 * torch.arange(4).view(2, 2, 1, 1)
    assert shuffle(torch.arange(96.0).view(2, 8, 2, 3)).equal(expected)
    assert shuffled(torch.arange(96.0).view(2, 8, 2, 3), 2).equal(expected)


def randomised(network):
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.2)
    return network.double()


@pytest.mark.parametrize(("scale", "steps"), [(2, [2]), (3, [3]), (4, [2, 2])])
def test_srresnet_layer_by_layer(scale, steps):
    network = randomised(SRResNet((2, 5, 6), (3, 5 * scale, 6 * scale), blocks=2, width=3, channel_slopes=True))
    weights = iter(network.parameters())

    def convolved(features):
        weight = next(weights)
        return F.conv2d(features, weight, next(weights), padding=weight.shape[2] // 2)

    def prelu(features):
        return features.relu() - next(weights)[:, None, None] * (-features).relu()

    def normed(features):
        variance, mean = torch.var_mean(features, (0, 2, 3), correction=0, keepdim=True)
        gain, bias = (next(weights)[:, None, None] for _ in range(2))
        return (features - mean) / (variance + 1e-5).sqrt() * gain + bias

    images = torch.randn(2, 2, 5, 6, dtype=torch.double)
    first = features = prelu(convolved(images))
    for _ in range(2):
        hidden = prelu(normed(convolved(features)))
        features = features + normed(convolved(hidden))
    features = first + normed(convolved(features))
    for step in steps:
        features = prelu(shuffled(convolved(features), step))
    torch.testing.assert_close(network(images), convolved(features))
    assert next(weights, None) is None


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_rrdb_layer_by_layer(scale):
    network = randomised(RRDBNet((2, 8, 12), (3, 8 * scale, 12 * scale), blocks=2, width=3, growth=2))
    weights = iter(network.parameters())

    def convolved(features):
        return F.conv2d(features, next(weights), next(weights), padding=1)

    def leaky(features):
        return torch.where(features > 0, features, 0.2 * features)

    images = torch.randn(2, 2, 8, 12, dtype=torch.double)
    square = 4 // scale
    squares = [images[:, channel, row::square, column::square]
               for channel in range(2) for row in range(square) for column in range(square)]  # fmt: skip
    first = features = convolved(torch.stack(squares, 1))
    for _ in range(2):
        outer = features
        for _ in range(3):
            maps = [features]
            for _ in range(4):
                maps.append(leaky(convolved(torch.cat(maps, 1))))
            features = features + 0.2 * convolved(torch.cat(maps, 1))
        features = outer + 0.2 * features
    features = first + convolved(features)
    for _ in range(2):
        features = leaky(convolved(features.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    features = leaky(convolved(features))
    torch.testing.assert_close(network(images), convolved(features))
    assert next(weights, None) is None


def test_rrdb_starts_small():
    """Deviations of a tenth of He's; the block has hardly any effect at first."""
    block = DenseBlock(64, 32)
    for convolution in block.convolutions:
        expected = 0.1 * sqrt(2 / (9 * convolution.in_channels))
        assert convolution.weight.std().item() == pytest.approx(expected, rel=0.03)
        assert not convolution.bias.any()
    features = torch.randn(1, 64, 8, 8)
    assert (block(features) - features).std() < 0.02
    torch.testing.assert_close(RRDB(64, 32)(features), 1.2 * features, rtol=0, atol=0.05)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 17, 17), (3, 28, 28), (3, 96, 96), (3, 33, 50)])
def test_discriminator_of_any_size(shape):
    network, images = SRDiscriminator(shape, width=2, dense_width=5), torch.randn(2, *shape)
    sides = []
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[2]))
    assert network(images).shape == (2,)
    expected = [shape[1]]
    for index in range(8):
        expected.append(-(-expected[-1] // (1 + index % 2)))
    assert sides == expected[1:]
    assert network.features(images).shape == (2, network.feature_dim) == (2, 5)
    if shape[1] > 16:
        assert network(images[:1]).isfinite().all()


def test_discriminator_layer_by_layer():
    network = SRDiscriminator((3, 96, 96), width=2, dense_width=5)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == [
        "Conv2d",
        "LeakyReLU",
        *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 7,
        "Flatten",
        "Linear",
        "LeakyReLU",
    ]
    convolutions = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [2, 2, 4, 4, 8, 8, 16, 16]
    assert {layer.negative_slope for layer in network.layers if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert network.layers[-2].in_features == 6 * 6 * 16


def test_discriminators_and_labels():
    images = torch.randn(2, 3, 32, 32)
    for factory in (SRDiscriminator, UNetDiscriminator):
        network = factory((3, 32, 32), 2, width=2).eval()
        logits = [network(images, torch.full((2,), label)) for label in (0, 1)]
        assert not logits[0].equal(logits[1])
        with pytest.raises(UserError, match="give one for each image"):
            network(images)
    assert Projection(SRDiscriminator((3, 32, 32), width=2), 3)(images, torch.tensor([0, 2])).shape == (2,)
    with pytest.raises(UserError, match="UNetDiscriminator has no features and head for labels"):
        Projection(UNetDiscriminator((3, 32, 32), width=2), 3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (4, 3)])
def test_doubling_is_torchs(height, width):
    features = torch.randn(2, 3, height, width, dtype=torch.double, requires_grad=True)
    theirs = F.interpolate(features, scale_factor=2, mode="bilinear")
    ours = doubled(features)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(ours)
    torch.testing.assert_close(
        *(torch.autograd.grad((weights * images).sum(), features)[0] for images in (ours, theirs))
    )


def test_unet_discriminator_layer_by_layer():
    network = UNetDiscriminator((2, 16, 24), width=3).double()
    for _ in range(40):  # the singular values are estimated step by step
        network(torch.randn(1, 2, 16, 24, dtype=torch.double))
    network.eval()
    middle = [*network.down, *network.up, *network.smooth]
    sizes = [(3, 6), (6, 12), (12, 24), (24, 12), (12, 6), (6, 3), (3, 3), (3, 3)]
    assert [(layer.in_channels, layer.out_channels) for layer in middle] == sizes
    assert [layer.kernel_size[0] for layer in middle] == [4] * 3 + [3] * 5
    plain = []
    for layer in middle:
        original = layer.parametrizations.weight.original
        plain.append(original / torch.linalg.matrix_norm(original.flatten(1), ord=2))
    images = torch.randn(2, 2, 16, 32, dtype=torch.double)  # of another size than it was built for

    def leaky(features):
        return torch.where(features > 0, features, 0.2 * features)

    maps = [leaky(F.conv2d(images, network.first.weight, network.first.bias, padding=1))]
    for weight in plain[:3]:
        maps.append(leaky(F.conv2d(maps[-1], weight, stride=2, padding=1)))
    features = maps[3]
    for weight, skip in zip(plain[3:6], (maps[2], maps[1], maps[0]), strict=True):
        features = F.interpolate(features, scale_factor=2, mode="bilinear")
        features = leaky(F.conv2d(features, weight, padding=1)) + skip
    for weight in plain[6:]:
        features = leaky(F.conv2d(features, weight, padding=1))
    expected = F.conv2d(features, network.last.weight, network.last.bias, padding=1)
    assert expected.shape == (2, 1, 16, 32)
    torch.testing.assert_close(network(images), expected, rtol=1e-3, atol=1e-4)


def test_unet_discriminator_wants_sides_that_halve():
    with pytest.raises(UserError, match="16x28 does not allow: use a multiple of 8"):
        UNetDiscriminator((3, 16, 28))
