"""Translators and patch discriminators: counts of the published ones, and every map against its definition."""

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn
from torch.nn import functional as F

from lit_gans.errors import UserError
from lit_gans.networks import PatchDiscriminator, ResNetTranslator, StyleTranslator, TranslatorFactory, UNetGenerator
from lit_gans.networks.resnet_translator import ReflectionPad

PORT = {"norm": "instance", "affine": False, "bias": True}
TORCH7 = {"norm": "instance", "affine": True, "bias": True}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def meta(network, channels, size, **arguments):
    with torch.device("meta"):
        if issubclass(network, PatchDiscriminator):
            return network((channels, size, size), **arguments)
        return network((channels, size, size), (3, size, size), **arguments)


COUNTS = [
    # network, channels and pixels that it sees, its arguments, parameters of the published network
    (UNetGenerator, 3, 256, {}, 54_413_955),
    (UNetGenerator, 3, 256, {"dropout_at": "middle"}, 54_413_955),
    (UNetGenerator, 3, 128, {}, 41_828_995),
    (UNetGenerator, 3, 256, {"skips": False, "bias": True}, 39_080_963),
    (UNetGenerator, 3, 256, {"skips": False} | PORT, 39_071_107),
    (ResNetTranslator, 3, 256, {}, 11_378_179),
    (ResNetTranslator, 3, 128, {"blocks": 6}, 7_837_699),
    (ResNetTranslator, 3, 256, TORCH7, 11_388_675),
    (ResNetTranslator, 3, 256, {"blocks": 6} | TORCH7, 7_845_123),
    (PatchDiscriminator, 6, 256, {}, 2_768_705),
    (PatchDiscriminator, 3, 256, PORT, 2_764_737),
    (PatchDiscriminator, 3, 256, TORCH7, 2_766_529),
    (PatchDiscriminator, 6, 256, {"receptive_field": 1}, 9_024),
]


@pytest.mark.parametrize(("network", "channels", "size", "arguments", "expected"), COUNTS)
def test_parameter_counts(network, channels, size, arguments, expected):
    assert sum(parameter.numel() for parameter in meta(network, channels, size, **arguments).parameters()) == expected


def test_johnsons_count():
    """9x9 to 32 and back to 3, 3x3 to 64 and 128 and back, ten 3x3 in five blocks; a bias, and gains and biases."""
    network = meta(ResNetTranslator, 3, 256, blocks=5, width=32, kernel=9, affine=True)
    weights = 81 * 2 * 3 * 32 + 9 * 2 * (32 * 64 + 64 * 128) + 10 * 9 * 128 * 128
    biases = 32 + 64 + 128 + 10 * 128 + 64 + 32
    assert sum(parameter.numel() for parameter in network.parameters()) == weights + 3 * biases + 3
    with torch.device("meta"):
        style = StyleTranslator((3, 256, 256), (3, 256, 256))
    assert sum(parameter.numel() for parameter in style.parameters()) == weights + biases + 3


TRANSLATORS = [
    (UNetGenerator, {"width": 2, "downs": 3}, 8),
    (UNetGenerator, {"width": 2, "downs": 5, "skips": False, "dropout_at": "middle"}, 32),
    (UNetGenerator, {"width": 2, "downs": 1} | PORT, 2),
    (ResNetTranslator, {"width": 2, "blocks": 1, "dropout": 0.5}, 4),
    (ResNetTranslator, {"width": 2, "blocks": 0, "kernel": 3, "norm": "batch", "affine": True}, 4),
    (StyleTranslator, {"width": 2, "blocks": 1}, 4),
]


@pytest.mark.parametrize(("network", "arguments", "multiple"), TRANSLATORS)
def test_any_size_that_the_network_divides(network, arguments, multiple):
    translator = network((1, 32, 64), (3, 32, 64), **arguments)
    assert (translator.source_shape, translator.image_shape) == ((1, 32, 64), (3, 32, 64))
    assert (translator.multiple, translator.scale) == (multiple, 1)
    for height, width in [(32, 64), (64, 32), (32, 96)]:
        images = translator(torch.rand(1, 1, height, width) * 2 - 1)
        assert images.shape == (1, 3, height, width)
        assert images.abs().max() < 1
        assert images.std() > 0
    with pytest.raises(UserError, match=f"multiples of {multiple}, not 64x{64 + multiple // 2}: crop or resize"):
        translator(torch.zeros(1, 1, 64, 64 + multiple // 2))
    images.sum().backward()
    assert all(parameter.grad is not None for parameter in translator.parameters())


@pytest.mark.parametrize("network", [UNetGenerator, ResNetTranslator, StyleTranslator])
def test_shapes_that_do_not_fit(network):
    for source, image in [((3, 32, 32), (3, 64, 64)), ((3, 32, 32), (3, 32, 64)), ((3, 64, 64), (3, 32, 32))]:
        sizes = f"not {image[1]}x{image[2]} from {source[1]}x{source[2]}"
        with pytest.raises(UserError, match=f"{network.__name__} makes images 1 times as high and wide .*{sizes}"):
            network(source, image)
    with pytest.raises(UserError, match="not 30x31: crop or resize"):
        network((3, 30, 31), (3, 30, 31))


def test_wrong_options():
    for arguments, message in [({"kernel": 8}, "kernel must be odd"), ({"blocks": -1}, "blocks must be at least 0")]:
        with pytest.raises(UserError, match=message):
            ResNetTranslator((3, 32, 32), (3, 32, 32), **arguments)
    with pytest.raises(UserError, match="downs must be at least 1, not 0"):
        UNetGenerator((3, 32, 32), (3, 32, 32), downs=0)


def test_a_translator_from_the_command_line():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=TranslatorFactory)
    chosen = ["--network=lit_gans.networks.UNetGenerator", "--network.width=2", "--network.dropout_at=middle"]
    assert parser.parse_args(chosen).network.init_args.dropout_at == "middle"
    with pytest.raises(Exception, match="outermost"):
        parser.parse_args([chosen[0], "--network.dropout_at=outermost"])


# -- U-Net -------------------------------------------------------------------------------------------------------------


def dropout_of(network):
    return [any(isinstance(layer, nn.Dropout) for layer in block) for block in network.up]


def test_the_unet_of_256_pixels():
    network = meta(UNetGenerator, 3, 256)
    down, up = ([next(layer for layer in block if isinstance(layer, kind)) for block in blocks] for kind, blocks in (
        (nn.Conv2d, network.down), (nn.ConvTranspose2d, network.up)))  # fmt: skip
    assert [layer.out_channels for layer in down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [layer.out_channels for layer in up] == [512, 512, 512, 512, 256, 128, 64, 3]
    assert [layer.in_channels for layer in up] == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    assert dropout_of(network) == [True] * 3 + [False] * 5
    sizes = []
    for block in network.down:
        block.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[2:])))
    network(torch.empty(1, 3, 256, 256, device="meta"))
    assert sizes == [(size, size) for size in (128, 64, 32, 16, 8, 4, 2, 1)]


@pytest.mark.parametrize(
    ("size", "innermost", "middle"),
    [(256, [0, 1, 2], [1, 2, 3]), (128, [0, 1, 2], [1, 2]), (64, [0, 1, 2], [1]), (32, [0, 1, 2], []), (4, [0], [])],
)
def test_where_units_are_dropped(size, innermost, middle):
    for at, expected in (("innermost", innermost), ("middle", middle)):
        dropped = dropout_of(meta(UNetGenerator, 3, size, dropout_at=at))
        assert [index for index, drops in enumerate(dropped) if drops] == expected


@pytest.mark.parametrize(("sides", "downs"), [((96, 96), 5), ((256, 128), 7), ((28, 28), 2), ((6, 512), 1)])
def test_how_often_other_sizes_are_halved(sides, downs):
    with torch.device("meta"):
        network = UNetGenerator((3, *sides), (3, *sides))
    assert len(network.down) == len(network.up) == downs
    assert network.multiple == 2**downs


def nested(network, features, level=0):
    """The U-Net as the blocks within blocks that its PyTorch port makes of it."""
    down, up = network.down[level], network.up[-1 - level]
    inner = F.leaky_relu(features, 0.2) if level else features
    convolution = down[1 if level else 0]
    inner = F.conv2d(inner, convolution.weight, convolution.bias, 2, 1)
    if level < len(network.down) - 1:
        inner = normed(inner) if level else inner
        found = nested(network, inner, level + 1)
        inner = torch.cat([inner, found], 1) if network.skips else found
    inner = F.conv_transpose2d(inner.relu(), up[1].weight, up[1].bias, 2, 1)
    return normed(inner) if level else inner.tanh()


def normed(features):
    """Batch norm of a batch of one, without gain and bias."""
    centred = features - features.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("skips", [True, False])
def test_the_unet_is_the_nested_one(skips):
    network = UNetGenerator((2, 32, 32), (3, 32, 32), width=3, dropout=0.0, skips=skips, affine=False).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    images = torch.randn(1, 2, 32, 32, dtype=torch.double)
    torch.testing.assert_close(network(images), nested(network, images))


@pytest.mark.parametrize("size", [2, 8, 32, 64])
@pytest.mark.parametrize("options", [{}, PORT, {"norm": "layer"}])
def test_a_single_image_can_be_trained_on(size, options):
    network = UNetGenerator((3, size, size), (3, size, size), width=4, **options).train()
    image = torch.randn(1, 3, size, size, requires_grad=True)
    network(image).square().sum().backward()
    assert image.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_dropout_acts_in_training_only():
    images = torch.randn(2, 3, 32, 32)
    network = UNetGenerator((3, 32, 32), (3, 32, 32), width=4)
    assert not network(images).equal(network(images))
    assert network.eval()(images).equal(network(images))
    without = UNetGenerator((3, 32, 32), (3, 32, 32), width=4, dropout=0.0)
    assert without(images).equal(without(images))


def test_initialisation():
    network = UNetGenerator((3, 64, 64), (3, 64, 64), width=32, bias=True)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert not module.bias.any()
    gains = torch.cat([module.weight for module in network.modules() if isinstance(module, nn.BatchNorm2d)])
    assert gains.mean().item() == pytest.approx(1, abs=0.005)
    assert gains.std().item() == pytest.approx(0.02, rel=0.1)


# -- residual translators ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(1, 2), (3, 4), (4, 9)])
def test_reflection_is_torchs(width, height):
    features = torch.randn(2, 3, height, height + 3, dtype=torch.double, requires_grad=True)
    ours, theirs = ReflectionPad(width)(features), F.pad(features, [width] * 4, mode="reflect")
    assert ours.equal(theirs)
    weights = torch.randn_like(ours)
    gradients = [torch.autograd.grad((weights * padded).sum(), features)[0] for padded in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_the_residual_translator_layer_by_layer():
    network = ResNetTranslator((1, 16, 20), (3, 16, 20), blocks=2, width=2).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    weights = iter(zip(*[iter(network.parameters())] * 2, strict=True))

    def convolved(features, pad=0, stride=1, inner=0):
        features = F.pad(features, [pad] * 4, mode="reflect") if pad else features
        return F.conv2d(features, *next(weights), stride=stride, padding=inner)

    images = torch.randn(1, 1, 16, 20, dtype=torch.double)
    features = normed(convolved(images, pad=3)).relu()
    for _ in range(2):
        features = normed(convolved(features, stride=2, inner=1)).relu()
    assert features.shape == (1, 8, 4, 5)
    for _ in range(2):
        hidden = normed(convolved(features, pad=1)).relu()
        features = features + normed(convolved(hidden, pad=1))
    for _ in range(2):
        doubled = F.conv_transpose2d(features, *next(weights), stride=2, padding=1, output_padding=1)
        features = normed(doubled).relu()
    torch.testing.assert_close(network(images), convolved(features, pad=3).tanh())
    assert next(weights, None) is None
