"""The networks of 2014 to 2018: counts of the published ones, and what each argument does."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lit_gans.errors import UserError
from lit_gans.networks import (
    ACGANDiscriminator,
    ACGANGenerator,
    CGANDiscriminator,
    CGANGenerator,
    ConditionalDCGANDiscriminator,
    ConditionalDCGANGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    LSGANGenerator,
    MaxoutDiscriminator,
    MLPDiscriminator,
    MLPGenerator,
    SNDCGANDiscriminator,
    SNDCGANGenerator,
)
from lit_gans.networks.heads import AuxiliaryClassifier
from lit_gans.networks.maxout import Maxout


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def judge_and_classifier(shape, classes):
    return AuxiliaryClassifier(ACGANDiscriminator(shape, 0), classes)


ERIK = {"widths": (128, 256, 512, 1024), "batch_norm": True, "norm_from": 1}
ORIGINAL = {"kernel": 5, "dense": True}
WGAN_GP = ORIGINAL | {"bias": True, "latent_dim": 128}
CRITIC = {"kernel": 5, "bias": True, "norm": "none"}
COUNTS = [
    # paper, image size and channels, classes, network, its arguments, parameters of the published network
    ("GAN", (1, 28), 0, MLPGenerator, {"widths": (1200, 1200), "slope": 0, "init_range": 0.05}, 2_503_984),
    ("GAN", (1, 28), 0, MaxoutDiscriminator, {}, 1_231_441),
    ("GAN CIFAR", (3, 32), 0, MLPGenerator, {"widths": (8000, 8000), "slope": 0}, 89_395_072),
    ("GAN CIFAR", (3, 32), 0, MaxoutDiscriminator, {"widths": (1600, 1600)}, 37_393_601),
    ("GAN, PyTorch-GAN", (1, 28), 0, MLPGenerator, ERIK, 1_510_032),
    ("GAN, PyTorch-GAN", (1, 28), 0, MLPDiscriminator, {"widths": (512, 256)}, 533_505),
    ("CGAN", (1, 28), 10, CGANGenerator, {}, 2_413_984),
    ("CGAN", (1, 28), 10, CGANDiscriminator, {}, 1_224_351),
    ("CGAN, PyTorch-GAN", (1, 28), 10, MLPGenerator, ERIK, 1_511_412),
    ("CGAN, PyTorch-GAN", (1, 28), 10, MLPDiscriminator, {"widths": (512, 512, 512), "dropout": 0.4}, 932_965),
    ("CGAN, DCGAN's authors", (1, 28), 10, ConditionalDCGANGenerator, {}, 6_820_538),
    ("CGAN, DCGAN's authors", (1, 28), 10, ConditionalDCGANDiscriminator, {}, 6_688_202),
    ("ACGAN CIFAR", (3, 32), 0, ACGANGenerator, {"latent_dim": 110}, 2_994_051),
    ("ACGAN CIFAR", (3, 32), 10, judge_and_classifier, {}, 1_664_875),
    ("ACGAN", (3, 128), 0, ACGANGenerator, {"latent_dim": 110, "widths": (768, 384, 256, 192)}, 16_531_971),
    ("ACGAN", (3, 128), 10, judge_and_classifier, {}, 3_016_555),
    ("DCGAN", (3, 64), 0, DCGANGenerator, ORIGINAL | {"width": 128}, 18_885_760),
    ("DCGAN", (3, 64), 0, DCGANDiscriminator, {"kernel": 5, "width": 128}, 17_232_768),
    ("DCGAN, half", (3, 64), 0, DCGANGenerator, ORIGINAL, 5_142_080),
    ("DCGAN, half", (3, 64), 0, DCGANDiscriminator, {"kernel": 5}, 4_315_584),
    ("WGAN MLP", (3, 64), 0, MLPGenerator, {"widths": (512, 512, 512), "slope": 0}, 6_880_768),
    ("WGAN MLP", (3, 64), 0, MLPDiscriminator, {"widths": (512, 512, 512), "slope": 0}, 6_817_793),
    ("WGAN-GP CIFAR", (3, 32), 0, DCGANGenerator, WGAN_GP | {"width": 128}, 5_179_907),
    ("WGAN-GP CIFAR", (3, 32), 0, DCGANDiscriminator, CRITIC | {"width": 128}, 4_114_689),
    ("WGAN-GP CIFAR, half", (3, 32), 0, DCGANGenerator, WGAN_GP, 1_565_955),
    ("WGAN-GP CIFAR, half", (3, 32), 0, DCGANDiscriminator, CRITIC, 1_033_345),
    ("WGAN-GP MNIST", (1, 28), 0, DCGANGenerator, WGAN_GP | {"batch_norm": False, "uneven": True}, 1_554_177),
    ("WGAN-GP MNIST", (1, 28), 0, DCGANDiscriminator, CRITIC | {"uneven": True}, 1_030_145),
    ("WGAN-GP 64", (3, 64), 0, DCGANGenerator, WGAN_GP | {"unit_norm": False}, 5_364_739),
    ("WGAN-GP 64", (3, 64), 0, DCGANDiscriminator, CRITIC | {"norm": "layer"}, 4_316_545),
    ("SNGAN", (3, 32), 0, SNDCGANGenerator, {}, 3_812_355),
    ("SNGAN", (3, 32), 0, SNDCGANDiscriminator, {}, 2_935_873),
    ("SNGAN, spectral", (3, 32), 0, SNDCGANDiscriminator, {"spectral": True}, 2_935_873),
    ("LSGAN", (3, 112), 0, LSGANGenerator, {}, 15_591_427),
    ("LSGAN", (3, 112), 0, DCGANDiscriminator, {"kernel": 5, "bias": True}, 4_333_441),
    ("LSGAN stability", (3, 64), 0, DCGANGenerator, WGAN_GP | {"latent_dim": 1024, "batch_norm": False}, 12_702_851),
    ("LSGAN stability", (3, 64), 0, DCGANDiscriminator, {"kernel": 5, "bias": True}, 4_316_545),
]


@pytest.mark.parametrize(
    ("size", "classes", "network", "arguments", "expected"),
    [row[1:] for row in COUNTS],
    ids=[f"{row[0]} {row[3].__name__}" for row in COUNTS],
)
def test_parameter_counts(size, classes, network, arguments, expected):
    channels, pixels = size
    with torch.device("meta"):
        built = network((channels, pixels, pixels), classes, **arguments)
    assert sum(parameter.numel() for parameter in built.parameters()) == expected


GENERATORS = [
    partial(MLPGenerator, widths=(8, 8), batch_norm=True, norm_from=1, slope=0, init_range=0.05, spectral=True),
    partial(CGANGenerator, latent_width=4, label_width=6, joint_width=8),
    partial(DCGANGenerator, width=2, kernel=5, dense=True, bias=True),
    partial(DCGANGenerator, width=2, kernel=4, dense=True, unit_norm=False, uneven=True),
    partial(DCGANGenerator, width=2, kernel=3, batch_norm=False, bias=True, spectral=True),
    partial(SNDCGANGenerator, width=2),
    partial(SNDCGANGenerator, width=2, spectral=True),
    partial(LSGANGenerator, width=2, latent_dim=8),
    partial(ACGANGenerator, widths=(6, 4, 2)),
    partial(ACGANGenerator, widths=(4, 2), spectral=True),
    partial(ConditionalDCGANGenerator, width=2, dense_width=8),
]
DISCRIMINATORS = [
    partial(MLPDiscriminator, widths=(8,), slope=0.1, spectral=True),
    partial(MaxoutDiscriminator, widths=(4, 3), pieces=2),
    partial(CGANDiscriminator, image_width=4, label_width=2, joint_width=3),
    partial(DCGANDiscriminator, width=2, kernel=5, norm="layer", bias=True),
    partial(DCGANDiscriminator, width=2, kernel=3, norm="instance", spectral=True),
    partial(DCGANDiscriminator, width=2, kernel=5, norm="none", uneven=True),
    partial(SNDCGANDiscriminator, width=2),
    partial(SNDCGANDiscriminator, width=2, spectral=True),
    partial(ACGANDiscriminator, width=2),
    partial(ACGANDiscriminator, width=2, norm="layer", spectral=True),
    partial(ConditionalDCGANDiscriminator, width=2, dense_width=8),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 28, 32, 48, 64])
@pytest.mark.parametrize("classes", [0, 5])
def test_shapes(size, channels, classes):
    shape, label = (channels, size, size), torch.tensor([4, 0])
    for factory in GENERATORS:
        generator = factory(shape, classes)
        image = generator(torch.randn(2, generator.latent_dim), label if classes else None)
        assert image.shape == (2, *shape)
        assert image.abs().max() <= 1
        assert (generator.image_shape, generator.num_classes) == (shape, classes)
    for factory in DISCRIMINATORS:
        discriminator = factory(shape, classes)
        assert discriminator(torch.randn(2, *shape), label if classes else None).shape == (2,)
        assert discriminator.features(torch.randn(2, *shape), label).shape == (2, discriminator.feature_dim)
        assert (discriminator.image_shape, discriminator.num_classes) == (shape, classes)


@pytest.mark.parametrize("factory", [*GENERATORS, *DISCRIMINATORS])
def test_labels_change_the_result(factory):
    network = factory((1, 8, 8), 2).eval()
    inputs = torch.randn(1, network.latent_dim) if hasattr(network, "latent_dim") else torch.randn(1, 1, 8, 8)
    assert not network(inputs, torch.tensor([0])).equal(network(inputs, torch.tensor([1])))
    with pytest.raises(UserError, match="give one for each image"):
        network(inputs)


@pytest.mark.parametrize("factory", [*GENERATORS, *DISCRIMINATORS])
def test_devices_and_precisions(factory, tmp_path):
    def outputs(network, **like):
        torch.manual_seed(1)
        shape = (network.latent_dim,) if hasattr(network, "latent_dim") else network.image_shape
        return network(torch.randn(2, *shape).to(**like), torch.arange(2).to(like.get("device", "cpu")))

    with torch.device("meta"):
        assert outputs(factory((3, 16, 16), 2), device="meta").is_meta
    network = factory((3, 16, 16), 2).eval()
    expected = outputs(network)
    assert outputs(copy.deepcopy(network)).equal(expected)
    torch.testing.assert_close(outputs(copy.deepcopy(network).double(), dtype=torch.float64).float(), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(outputs(network).float(), expected, atol=0.05, rtol=0.05)
    torch.save(network.state_dict(), tmp_path / "network.pt")
    other = factory((3, 16, 16), 2).eval()
    other.load_state_dict(torch.load(tmp_path / "network.pt", weights_only=True))
    assert outputs(other).equal(expected)


def test_default_networks_keep_their_names():
    """Old checkpoints load: arguments that came later leave the defaults as they were."""
    affine = ["weight", "bias"]
    expected = {
        MLPGenerator: [f"layers.{layer}.{name}" for layer in (0, 2, 4) for name in affine],
        MLPDiscriminator: [f"{layer}.{name}" for layer in ("layers.0", "layers.2", "head") for name in affine],
        DCGANGenerator: ["layers.0.weight", "layers.1.weight", "layers.1.bias", "layers.3.weight", "layers.4.weight"]
        + ["layers.4.bias", "layers.6.weight"],
        DCGANDiscriminator: ["layers.0.weight", "layers.2.weight", "layers.3.weight", "layers.3.bias", "head.weight"],
    }
    for network, names in expected.items():
        assert [name for name, _ in network((1, 16, 16)).named_parameters()] == names


def test_maxout():
    """The largest of consecutive rows; the first case is the reference value, the second tells rows from columns."""
    layer = Maxout(2, units=2, pieces=3)
    weight = [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [0.5, 0.5], [2.0, 1.0], [-1.0, -1.0]]
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.zeros(6)})
    assert layer(torch.tensor([[1.0, -2.0]])).tolist() == [[1.0, 1.0]]
    layer.load_state_dict({"weight": torch.zeros(6, 2), "bias": torch.tensor([5.0, 4.0, 3.0, 0.0, 1.0, 2.0])})
    assert layer(torch.ones(1, 2)).tolist() == [[5.0, 2.0]]


def test_maxout_discriminator_is_what_the_paper_says():
    network = MaxoutDiscriminator((1, 4, 4), widths=(6, 3), pieces=2, init_range=1.0).eval()
    image = torch.randn(5, 1, 4, 4)
    first, second, head = (layer.weight for layer in (network.layers[1], network.layers[3], network.head))
    hidden = torch.stack([image.flatten(1) @ first[piece::2].T for piece in (0, 1)]).amax(0)
    hidden = torch.stack([hidden @ second[piece::2].T for piece in (0, 1)]).amax(0)
    torch.testing.assert_close(network(image), (hidden @ head.T).squeeze(1))


def test_initial_ranges():
    for network, bound in (
        (MaxoutDiscriminator((1, 16, 16)), 0.005),
        (MLPGenerator((1, 16, 16), init_range=0.05), 0.05),
    ):
        for layer in (module for module in network.modules() if isinstance(module, nn.Linear)):
            assert layer.weight.abs().max() <= bound
            assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
            assert not layer.bias.any()


@pytest.mark.parametrize(
    "network",
    [
        partial(DCGANGenerator, dense=True, bias=True),
        *(partial(DCGANDiscriminator, norm=norm, bias=True) for norm in ("batch", "instance", "layer")),
        SNDCGANGenerator,
        SNDCGANDiscriminator,
        LSGANGenerator,
    ],
)
def test_convolutional_networks_start_as_dcgan(network):
    for module in network((3, 16, 16)).modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert not module.bias.any()
        elif hasattr(module, "weight"):
            assert module.weight.mean().item() == pytest.approx(1.0, abs=0.01)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.25)
            assert not module.bias.any()


def test_slope_and_norms_of_the_generator():
    generator = MLPGenerator((1, 4, 4), widths=(5, 6, 7), slope=0.3, batch_norm=True, norm_from=1)
    kinds = [type(module).__name__ for module in generator.layers]
    hidden = ["Linear", "BatchNorm1d", "LeakyReLU"]
    assert kinds == ["Linear", "LeakyReLU", *hidden, *hidden, "Linear", "Tanh"]
    for network in (generator, MLPDiscriminator((1, 4, 4), slope=0.3)):
        assert network.layers[1](torch.tensor(-1.0)).item() == pytest.approx(-0.3)


def test_sndcgan_is_what_the_table_says():
    generator, discriminator = SNDCGANGenerator((3, 16, 16), width=3).eval(), SNDCGANDiscriminator((3, 16, 16), width=3)
    for parameter in [*generator.parameters(), *discriminator.parameters()]:
        nn.init.normal_(parameter, std=0.3)
    dense, first, norm_1, second, norm_2, last = (generator.layers[index] for index in (0, 2, 3, 5, 6, 8))
    latent = torch.randn(2, 128)
    features = F.linear(latent, dense.weight, dense.bias).view(2, 12, 4, 4)
    for layer, norm in ((first, norm_1), (second, norm_2)):
        features = F.conv_transpose2d(features, layer.weight, layer.bias, stride=2, padding=1)
        features = features / (1 + norm.eps) ** 0.5 * norm.weight[:, None, None] + norm.bias[:, None, None]
        features = features.relu()
    image = F.conv2d(features, last.weight, last.bias, padding=1).tanh()
    torch.testing.assert_close(generator(latent), image)

    features = image
    for layer, stride in zip(discriminator.layers[0:10:2], (1, 2, 1, 2, 1), strict=True):
        assert layer.weight.shape[2:] == ((4, 4) if stride == 2 else (3, 3))
        features = F.leaky_relu(F.conv2d(features, layer.weight, layer.bias, stride, 1), 0.1)
    assert [layer.out_channels for layer in discriminator.layers[0:10:2]] == [3, 3, 6, 6, 12]
    logit = F.linear(features.flatten(1), discriminator.head.weight, discriminator.head.bias)
    torch.testing.assert_close(discriminator(image), logit.squeeze(1))


def test_lsgan_widths():
    """Of the published network for 112 pixels: strides 2, 1, 2, 1, 2, 2, 1."""
    with torch.device("meta"):
        layers = [layer for layer in LSGANGenerator((3, 112, 112)).layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.stride[0] for layer in layers] == [2, 1, 2, 1, 2, 2, 1]
    assert [layer.out_channels for layer in layers] == [256, 256, 256, 256, 128, 64, 3]
    assert {layer.kernel_size for layer in layers} == {(3, 3)}


@pytest.mark.parametrize(
    ("network", "shares"), [(MaxoutDiscriminator, [0.2, 0.5, 0.5]), (CGANDiscriminator, [0.5] * 3)]
)
def test_dropout_is_inverted(network, shares):
    dropouts = [module for module in network((1, 8, 8), 2).modules() if isinstance(module, nn.Dropout)]
    assert len(dropouts) == len(shares)
    for dropout, share in zip(dropouts, shares, strict=True):
        kept = dropout(torch.ones(20_000))
        assert kept.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])
        assert kept.mean().item() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("network", [CGANGenerator, CGANDiscriminator, MaxoutDiscriminator])
def test_dropout_acts_in_training_only(network):
    network = network((1, 8, 8), 2)
    inputs = torch.randn(2, 100) if hasattr(network, "latent_dim") else torch.randn(2, 1, 8, 8)
    label = torch.arange(2)
    assert not network(inputs, label).equal(network(inputs, label))
    network.eval()
    assert network(inputs, label).equal(network(inputs, label))
