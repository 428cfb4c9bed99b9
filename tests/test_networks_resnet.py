import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from lit_gans.errors import UserError
from lit_gans.networks import GoodDiscriminator, GoodGenerator, ResNetDiscriminator, ResNetGenerator
from lit_gans.networks.heads import AuxiliaryClassifier, Projection
from lit_gans.networks.layers import ConditionalBatchNorm, SelfAttention
from lit_gans.networks.resnet import ResidualBlock, UpBlock
from lit_gans.networks.resnet_good import LayerNormBlock


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def projected(shape, classes, **keywords):
    return Projection(ResNetDiscriminator(shape, **keywords), classes)


def classifying(shape, classes, **keywords):
    return AuxiliaryClassifier(ResNetDiscriminator(shape, **keywords), classes)


W32, MEAN, SPECTRAL, WIDE = {"width": 32}, {"mean_pool": True}, {"spectral": True}, {"wide": True}
AT8, AT16, AT32 = {"attention": 8}, {"attention": 16}, {"attention": 32}
COUNTS = [  # size, classes, generator, its arguments and count, discriminator, its arguments and count
    pytest.param(32, 0, ResNetGenerator, W32, 1_204_483, ResNetDiscriminator, MEAN, 1_053_825, id="WGAN-GP 32"),
    pytest.param(32, 10, ResNetGenerator, W32, 1_218_307, classifying, MEAN, 1_055_115, id="WGAN-GP 32, classes"),
    pytest.param(64, 0, GoodGenerator, {}, 8_540_483, GoodDiscriminator, {}, 7_491_841, id="WGAN-GP 64"),
    pytest.param(32, 0, ResNetGenerator, {}, 4_276_739, ResNetDiscriminator, SPECTRAL, 1_053_825, id="SNGAN 32"),
    pytest.param(64, 0, ResNetGenerator, {}, 12_220_675, ResNetDiscriminator, {}, 10_141_441, id="SNGAN 64"),
    pytest.param(128, 0, ResNetGenerator, {}, 32_150_787, ResNetDiscriminator, {}, 29_017_857, id="SNGAN 128"),
    pytest.param(32, 10, ResNetGenerator, {}, 4_304_387, projected, SPECTRAL, 1_055_105, id="projection 32"),
    pytest.param(64, 1000, ResNetGenerator, {}, 17_974_915, projected, {}, 11_165_441, id="projection 64"),
    pytest.param(64, 143, ResNetGenerator, {}, 13_038_595, projected, {}, 10_287_873, id="projection 64, pets"),
    pytest.param(128, 1000, ResNetGenerator, {}, 41_996_931, projected, {}, 30_041_857, id="projection 128"),
    pytest.param(32, 10, ResNetGenerator, AT16, 4_386_308, projected, AT8, 1_075_586, id="SAGAN 32, second block"),
    pytest.param(32, 10, ResNetGenerator, AT16, 4_386_308, projected, AT16, 1_075_586, id="SAGAN 32, first block"),
    pytest.param(128, 1000, ResNetGenerator, AT32, 42_078_852, projected, AT32 | WIDE, 39_463_618, id="SAGAN 128"),
]


@pytest.mark.parametrize(
    ("size", "classes", "generator", "keywords_g", "count_g", "discriminator", "keywords_d", "count_d"), COUNTS
)
def test_parameter_counts_of_the_papers(
    size, classes, generator, keywords_g, count_g, discriminator, keywords_d, count_d
):
    with torch.device("meta"):
        assert count(generator((3, size, size), classes, **keywords_g)) == count_g
        assert count(discriminator((3, size, size), classes, **keywords_d)) == count_d


MAPS = [  # channels and side after each block: tables 4, 5 and 6 of SNGAN, and its code for 64 pixels
    (32, [(256, 8), (256, 16), (256, 32)], [(128, 16), (128, 8), (128, 8), (128, 8)]),
    (28, [(256, 14), (256, 28)], [(128, 14), (128, 7), (128, 7), (128, 7)]),
    (48, [(256, 12), (128, 24), (64, 48)], [(64, 24), (128, 12), (256, 6), (512, 3), (1024, 3)]),
    (64, [(512, 8), (256, 16), (128, 32), (64, 64)], [(64, 32), (128, 16), (256, 8), (512, 4), (1024, 2)]),
    (
        128,
        [(1024, 8), (512, 16), (256, 32), (128, 64), (64, 128)],
        [(64, 64), (128, 32), (256, 16), (512, 8), (1024, 4), (1024, 4)],
    ),
]


@pytest.mark.parametrize(("size", "up", "down"), MAPS)
def test_maps_of_the_papers(size, up, down):
    with torch.device("meta"):
        generator, discriminator = ResNetGenerator((3, size, size)), ResNetDiscriminator((3, size, size))
        maps = []
        for module in (*generator.modules(), *discriminator.modules()):
            if isinstance(module, ResidualBlock):
                module.register_forward_hook(lambda _, __, output: maps.append(tuple(output.shape[1:3])))
        discriminator(generator(torch.empty(2, 128)))
    assert maps == up + down


NARROW = [
    (ResNetGenerator, ResNetDiscriminator, {"width": 2}, {"width": 2}),
    (ResNetGenerator, ResNetDiscriminator, {"width": 2, "spectral": True}, {"width": 2, "spectral": True}),
    (GoodGenerator, GoodDiscriminator, {"width": 2}, {"width": 2}),
]


@pytest.mark.parametrize("classes", [0, 5])
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (16, 3), (28, 1), (32, 3), (48, 1), (56, 3), (64, 3), (128, 1)])
@pytest.mark.parametrize("networks", NARROW)
def test_shapes(networks, size, channels, classes):
    shape, label = (channels, size, size), torch.arange(2)
    generator = networks[0](shape, classes, **networks[2])
    discriminator = networks[1](shape, classes, **networks[3])
    image = generator(torch.randn(2, generator.latent_dim), label)
    assert image.shape == (2, *shape)
    assert image.abs().max() <= 1
    assert discriminator.features(image, label).shape == (2, discriminator.feature_dim)
    assert discriminator(image, label).shape == (2,)


@pytest.mark.parametrize("networks", NARROW)
def test_labels_change_the_result(networks):
    generator, discriminator = networks[0]((1, 8, 8), 2, **networks[2]), networks[1]((1, 8, 8), 2, **networks[3])
    latent = torch.randn(2, generator.latent_dim)
    labels = [torch.tensor([label, 1]) for label in (0, 1)]
    for module in generator.modules():
        if isinstance(module, ConditionalBatchNorm):
            nn.init.normal_(module.class_bias)  # classes begin alike
    generator, discriminator = generator.eval(), discriminator.eval()
    images = [generator(latent, label) for label in labels]
    assert not images[0][0].equal(images[1][0])
    assert images[0][1].equal(images[1][1])
    logits = [discriminator(images[0], label) for label in labels]
    assert logits[0][0] != logits[1][0]
    assert logits[0][1] == logits[1][1]
    for network, given in ((generator, latent), (discriminator, images[0])):
        with pytest.raises(UserError, match="give one for each image"):
            network(given)


def test_good_networks_have_no_bias_before_a_norm():
    for network, kind in (
        (GoodGenerator((1, 16, 16), width=2), UpBlock),
        (GoodDiscriminator((1, 16, 16)), LayerNormBlock),
    ):
        blocks = [module for module in network.modules() if isinstance(module, kind)]
        assert len(blocks) == 2
        assert all(block.conv1.bias is None and block.conv2.bias is not None for block in blocks)


def test_first_convolution_widens_where_it_should():
    for wide, hidden in ((False, [2, 2, 4]), (True, [2, 4, 8])):
        network = ResNetDiscriminator((3, 64, 64), width=2, wide=wide)
        assert [block.conv1.out_channels for block in network.layers[:3]] == hidden


def bound(weight, gain):
    receptive = weight[0, 0].numel() if weight.ndim == 4 else 1
    return gain * (6 / ((weight.shape[0] + weight.shape[1]) * receptive)) ** 0.5


@pytest.mark.parametrize(
    "network",
    [
        lambda: ResNetGenerator((3, 16, 16), 3, width=16, attention=8),
        lambda: ResNetDiscriminator((3, 32, 32), width=32, attention=8),
        lambda: GoodDiscriminator((3, 32, 32), width=16),
    ],
)
def test_initialisation(network):
    """Glorot, gain sqrt 2 in a block's 3x3 convolutions, gain 1 elsewhere; biases zero; classes begin alike."""
    torch.manual_seed(0)
    network, seen = network(), 0
    for name, parameter in network.named_parameters():
        if name.endswith(("bias", "class_gain", "strength")):
            assert parameter.abs().max() == 0
        elif parameter.ndim > 1:
            limit = bound(parameter, 2**0.5 if "conv" in name else 1)
            seen += 1
            assert parameter.abs().max() <= limit
            if parameter.numel() > 1000:
                assert parameter.abs().max() > 0.98 * limit
                assert parameter.std().item() == pytest.approx(limit / 3**0.5, rel=0.05)
        else:
            assert parameter.eq(1).all()
    assert seen >= 10


def layers_of(network):
    return [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding))]


def test_spectral_normalises_every_layer_but_not_the_label_plane():
    generator = ResNetGenerator((1, 16, 16), 3, width=4, attention=8, spectral=True)
    discriminator = ResNetDiscriminator((1, 16, 16), 3, width=4, attention=8, spectral=True)
    assert len(layers_of(generator)) == 1 + 3 * 2 + 4 + 1
    assert all(is_parametrized(layer, "weight") for layer in layers_of(generator))
    plain = [layer for layer in layers_of(discriminator) if not is_parametrized(layer, "weight")]
    assert plain == [discriminator.label.embedding]
    assert len(layers_of(discriminator)) == 1 + 3 * 2 + 2 * 2 + 4 + 1
    assert not any(is_parametrized(layer, "weight") for layer in layers_of(ResNetDiscriminator((1, 16, 16), width=4)))


@pytest.mark.parametrize("build", [ResNetGenerator, ResNetDiscriminator])
def test_spectral_normalization_begins_at_the_initial_weights(build):
    torch.manual_seed(0)
    plain = build((3, 16, 16), width=4)
    torch.manual_seed(0)
    normalised = build((3, 16, 16), width=4, spectral=True)
    originals = [parameter for name, parameter in normalised.named_parameters() if "weight.original" in name]
    weights = [layer.weight for layer in layers_of(plain)]
    assert len(originals) == len(weights) >= 8
    assert all(original.equal(weight) for original, weight in zip(originals, weights, strict=True))
    for layer in layers_of(normalised):
        sigma = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item()
        assert sigma == pytest.approx(1, abs=0.1)  # after the iterations that torch begins with


def test_gradients_of_gradients():
    """As R1 and the gradient penalty need them, through pooling, attention and spectral normalization."""
    torch.manual_seed(0)
    network = ResNetDiscriminator((1, 8, 8), width=4, attention=4, spectral=True).double().eval()
    nn.init.ones_(network.layers[0].attention.strength)
    image = torch.randn(2, 1, 8, 8, dtype=torch.double, requires_grad=True)
    weight = network.layers[1].conv1.parametrizations.weight.original

    def judge(image, weight):
        name = "layers.1.conv1.parametrizations.weight.original"
        return torch.func.functional_call(network, {name: weight}, (image,))

    assert torch.autograd.gradgradcheck(judge, (image, weight), fast_mode=True)


@pytest.mark.parametrize(
    ("build", "block"),
    [
        (lambda **keywords: ResNetGenerator((1, 32, 32), width=4, **keywords), "blocks.1"),
        (lambda **keywords: ResNetDiscriminator((1, 32, 32), width=4, **keywords), "layers.0"),
    ],
)
def test_attention_is_at_its_map_and_begins_as_identity(build, block):
    with_attention, without = build(attention=16).eval(), build().eval()
    missing = without.load_state_dict(with_attention.state_dict(), strict=False)
    assert {name.split(".attention.")[0] for name in missing.unexpected_keys} == {block}
    given = torch.randn(2, 128) if "blocks" in block else torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(with_attention(given), without(given))
    nn.init.ones_(with_attention.get_parameter(f"{block}.attention.strength"))
    sides = []
    with_attention.get_submodule(f"{block}.attention").register_forward_hook(
        lambda _, given, output: sides.append((given[0].shape[-1], output.shape[-1]))
    )
    assert not with_attention(given).allclose(without(given))
    assert sides == [(16, 16)]


def test_attention_stands_once_where_several_maps_have_its_side():
    network = ResNetDiscriminator((1, 32, 32), width=4, attention=8)
    assert [isinstance(block.attention, SelfAttention) for block in network.layers[:4]] == [False, True, False, False]


@pytest.mark.parametrize("build", [ResNetGenerator, ResNetDiscriminator])
def test_attention_that_fits_no_map_is_refused(build):
    with pytest.raises(UserError, match=r"attention must be 0 or the side of one of the maps, \[.*16.*\], not 12"):
        build((3, 32, 32), attention=12)
    with pytest.raises(UserError, match="at least 8 channels"):
        build((3, 64, 64), width=1, attention=16)


@pytest.mark.parametrize("build", [ResNetGenerator, ResNetDiscriminator])
def test_width_must_be_positive(build):
    with pytest.raises(UserError, match="width must be at least 1, not 0"):
        build((1, 32, 32), width=0)


def copies(network):
    """By deepcopy, and through a file that is read without code."""
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    loaded = copy.deepcopy(network)
    for parameter in loaded.parameters():
        nn.init.normal_(parameter)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    return [copy.deepcopy(network), loaded]


@pytest.mark.parametrize("build", [ResNetGenerator, ResNetDiscriminator])
def test_copies_devices_and_precisions(build):
    network = build((1, 16, 16), 3, width=8, attention=8, spectral=True)
    given = torch.randn(2, 128) if build is ResNetGenerator else torch.rand(2, 1, 16, 16) * 2 - 1
    label = torch.tensor([0, 2])
    for _ in range(3):
        network(given, label)
    network.eval()
    result = network(given, label)
    assert all(copied(given, label).equal(result) for copied in copies(network))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network(given, label).float(), result, rtol=0.05, atol=0.05)
    torch.testing.assert_close(network.double()(given.double(), label).float(), result)
    with torch.device("meta"):
        assert build((1, 16, 16), 3, width=8, attention=8, spectral=True)(given.to("meta"), label.to("meta")).is_meta
