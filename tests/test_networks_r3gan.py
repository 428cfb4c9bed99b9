import copy
from math import sqrt

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lit_gans.errors import UserError
from lit_gans.networks import R3GANDiscriminator, R3GANGenerator
from lit_gans.networks.heads import Projection
from lit_gans.networks.r3gan import Downsample, ResidualBlock, Upsample, widths_of_maps
from lit_gans.penalties import R1


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def scrambled(network):
    """With all parameters random, so that no block is the identity and no bias is zero."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 1 / sqrt(parameter[0].numel()))
    return network


IMAGENET = {"width": 1536, "channels_per_group": 32}
COUNTS = [
    # counted in the published code: CIFAR-10, FFHQ-64, FFHQ-256, ImageNet-32, ImageNet-64
    (32, 10, {}, 20_781_952, 21_280_512),
    (64, 0, {}, 22_429_824, 22_381_440),
    (256, 0, {}, 23_057_952, 23_009_568),
    (32, 1000, IMAGENET, 82_914_304, 86_548_992),
    (64, 1000, {**IMAGENET, "width": [1536] * 5}, 103_570_432, 107_205_120),
]


@pytest.mark.parametrize(("size", "classes", "keywords", "generator", "discriminator"), COUNTS)
def test_parameter_counts(size, classes, keywords, generator, discriminator):
    with torch.device("meta"):
        assert count(R3GANGenerator((3, size, size), classes, **keywords)) == generator
        assert count(R3GANDiscriminator((3, size, size), classes, **keywords)) == discriminator


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 28, 32, 48, 64])
@pytest.mark.parametrize("classes", [0, 5])
def test_shapes(size, channels, classes):
    shape, label = (channels, size, size), torch.arange(2)
    generator = R3GANGenerator(shape, classes, width=16, blocks=1)
    discriminator = R3GANDiscriminator(shape, classes, width=16, blocks=1)
    image = generator(torch.randn(2, generator.latent_dim), label)
    assert image.shape == (2, *shape)
    assert discriminator.features(image, label).shape == (2, discriminator.feature_dim)
    assert discriminator(image, label).shape == (2,)


def test_widths_are_halved_beyond_32_pixels():
    assert widths_of_maps((3, 32, 32), 768) == [768] * 4
    assert widths_of_maps((3, 256, 256), 768) == [768, 768, 768, 768, 384, 192, 96]
    assert widths_of_maps((1, 28, 28), 64) == [64] * 3
    assert widths_of_maps((1, 112, 112), 64) == [64, 64, 64, 32, 16]
    assert widths_of_maps((1, 28, 28), (64, 32, 16)) == [64, 32, 16]


def test_widths_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"one for each of the maps of \[7, 14, 28\] pixels, not \[64, 32\]"):
        R3GANGenerator((1, 28, 28), width=[64, 32])
    with pytest.raises(UserError, match="a block of 12 channels has 24 in its middle, which groups of 16"):
        R3GANDiscriminator((1, 28, 28), width=12)
    with pytest.raises(UserError, match="the smallest width must be at least 1, not 0"):
        R3GANDiscriminator((1, 256, 256), width=4, channels_per_group=1)


def filtered(image, up, down, pad, gain):
    """Zero insertion, padding (before, after), the filter [1, 3, 3, 1] and decimation, each as it is defined."""
    n, c, height, width = image.shape
    spread = image.new_zeros(n, c, height * up, width * up)
    spread[:, :, ::up, ::up] = image
    weights = torch.tensor([1.0, 3.0, 3.0, 1.0]).to(image) / 8
    kernel = gain * weights.outer(weights)[None, None]
    padded = F.pad(spread, (*pad, *pad)).flatten(0, 1)[:, None]
    return F.conv2d(padded, kernel).unflatten(0, (n, c))[:, :, 0, ::down, ::down]


def upsampled(image):
    return filtered(image, up=2, down=1, pad=(2, 1), gain=4)


def downsampled(image):
    return filtered(image, up=1, down=2, pad=(1, 1), gain=1)


def test_resampling_of_known_images():
    """Numbers of upfirdn2d, with the filter [1, 3, 3, 1]."""
    up = Upsample()(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    expected = [
        [0.5625, 0.9375, 1.3125, 1.125],
        [1.125, 1.75, 2.25, 1.875],
        [1.875, 2.75, 3.25, 2.625],
        [1.6875, 2.4375, 2.8125, 2.25],
    ]
    assert up.tolist() == [[expected]]
    down = Downsample()(torch.arange(16.0).view(1, 1, 4, 4))
    assert down.tolist() == [[[[2.734375, 3.9375], [7.546875, 8.75]]]]


@pytest.mark.parametrize("size", [4, 7])
def test_resampling_is_filtering(size):
    small, large = torch.randn(2, 3, size, size).double(), torch.randn(2, 3, 2 * size, 2 * size).double()
    torch.testing.assert_close(Upsample()(small), upsampled(small))
    torch.testing.assert_close(Downsample()(large), downsampled(large))


def test_resampling_is_differentiable_twice():
    image = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    for resample in (Upsample(), Downsample()):
        assert torch.autograd.gradgradcheck(lambda x, r=resample: r(x).pow(3), image)


def blocks_of(weights, features, first, blocks, groups):
    for index in range(first, first + blocks):
        name = f"layers.{index}.layers"
        middle = F.conv2d(features, weights[f"{name}.0.weight"])
        middle = F.leaky_relu(middle + weights[f"{name}.0.bias"][:, None, None], 0.2)
        middle = F.conv2d(middle, weights[f"{name}.2.weight"], padding=1, groups=groups)
        middle = F.leaky_relu(middle + weights[f"{name}.2.bias"][:, None, None], 0.2)
        features = features + F.conv2d(middle, weights[f"{name}.4.weight"])
    return features


@pytest.mark.parametrize("training", [True, False])
def test_generator_computes_what_the_paper_says(training):
    keywords = {"latent_dim": 5, "width": [8, 8, 4], "channels_per_group": 4, "embedding_dim": 3}
    generator = scrambled(R3GANGenerator((3, 28, 28), 4, **keywords)).double().train(training)
    weights, latent, label = generator.state_dict(), torch.randn(6, 5).double(), torch.arange(6) % 4

    one_hot = F.one_hot(label, 4).double()
    style = torch.cat([latent, one_hot @ weights["label.embedding.weight"]], dim=1) @ weights["scales.weight"].T
    features = torch.einsum("nc,chw->nchw", style, weights["basis"])
    features = upsampled(blocks_of(weights, features, first=0, blocks=2, groups=4))
    features = F.conv2d(blocks_of(weights, features, first=3, blocks=2, groups=4), weights["layers.5.weight"])
    features = blocks_of(weights, upsampled(features), first=7, blocks=2, groups=2)
    image = F.conv2d(features, weights["layers.9.weight"])

    assert image.abs().max() > 1
    torch.testing.assert_close(generator(latent, label), image if training else image.clamp(-1, 1))


@pytest.mark.parametrize("classes", [0, 4])
def test_discriminator_computes_what_the_paper_says(classes):
    discriminator = scrambled(R3GANDiscriminator((3, 28, 28), classes, width=[8, 8, 4], channels_per_group=4)).double()
    weights, image, label = discriminator.state_dict(), torch.randn(6, 3, 28, 28).double(), torch.arange(6) % 4

    features = F.conv2d(image, weights["layers.0.weight"])
    features = downsampled(blocks_of(weights, features, first=1, blocks=2, groups=2))
    features = F.conv2d(features, weights["layers.4.weight"])
    features = downsampled(blocks_of(weights, features, first=5, blocks=2, groups=4))
    features = blocks_of(weights, features, first=8, blocks=2, groups=4)
    features = torch.einsum("nchw,cohw->nc", features, weights["layers.10.weight"])
    if classes:
        logits = ((features @ weights["layers.12.weight"].T) * weights["embedding.weight"][label]).sum(1)
    else:
        logits = features @ weights["head.weight"][0]

    torch.testing.assert_close(discriminator(image, label), logits)


def test_a_block_is_the_identity_at_first():
    features = torch.randn(2, 16, 4, 4)
    block = ResidualBlock(16, expansion=2, channels_per_group=16, total=4)
    assert block(features).equal(features)
    assert not scrambled(block)(features).allclose(features)


def test_scale_of_a_block():
    """The published block of 768 channels, in a network of eight."""
    torch.manual_seed(0)
    first, _, grouped, _, last = ResidualBlock(768, expansion=2, channels_per_group=16, total=8).layers
    assert first.weight.std().item() == pytest.approx(0.029753990596446823, rel=0.01)
    assert grouped.weight.std().item() == pytest.approx(0.06871389792129666, rel=0.01)
    assert grouped.groups == 96
    assert last.weight.count_nonzero() == first.bias.count_nonzero() == grouped.bias.count_nonzero() == 0
    assert last.bias is None


@pytest.mark.parametrize(("size", "blocks", "total"), [(16, 1, 3), (28, 3, 9), (32, 2, 8)])
def test_scale_of_blocks_counts_all_of_them(size, blocks, total):
    torch.manual_seed(0)
    for network in (R3GANGenerator, R3GANDiscriminator):
        layers = network((1, size, size), width=64, blocks=blocks).layers
        found = [layer for layer in layers if isinstance(layer, ResidualBlock)]
        assert len(found) == total
        expected = sqrt(2 / 1.04) * total**-0.25 / sqrt(64)
        assert found[0].layers[0].weight.std().item() == pytest.approx(expected, rel=0.04)


def test_scale_of_the_other_layers():
    """One over the root of the fan-in; the labels enter as one-hot vectors."""
    torch.manual_seed(0)
    keywords = {"width": [1024, 256, 256], "blocks": 0}
    generator = R3GANGenerator((3, 16, 16), 100, **keywords)
    discriminator = R3GANDiscriminator((3, 16, 16), 100, **keywords)
    plain = R3GANDiscriminator((3, 16, 16), **keywords)
    transition, to_image = generator.layers[0], generator.layers[-1]
    from_image, depthwise, linear = discriminator.layers[0], discriminator.layers[-3], discriminator.layers[-1]
    for parameter, std in (
        (generator.basis, 1.0),
        (generator.label.embedding.weight, 1 / sqrt(100)),
        (generator.scales.weight, 1 / sqrt(128)),
        (transition.weight, 1 / sqrt(1024)),
        (to_image.weight, 1 / sqrt(256)),
        (from_image.weight, 1 / sqrt(3)),
        (depthwise.weight, 1 / sqrt(16)),
        (linear.weight, 1 / sqrt(1024)),
        (discriminator.embedding.weight, 1 / sqrt(100 * 1024)),
        (plain.head.weight, 1 / sqrt(1024)),
    ):
        assert parameter.std().item() == pytest.approx(std, rel=0.08)
        assert parameter.mean().item() == pytest.approx(0, abs=0.1 * std)


def test_images_are_clamped_in_eval_mode_only():
    generator = scrambled(R3GANGenerator((3, 8, 8), width=8))
    latent = 3 * torch.randn(4, 64)
    free, clamped = generator(latent), generator.eval()(latent)
    assert free.abs().max() > 1
    assert clamped.equal(free.clamp(-1, 1))
    (gradient,) = torch.autograd.grad(free[free > 1].sum(), generator.basis)
    assert gradient.abs().max() > 0


def test_labels_change_the_result_and_are_required():
    generator, discriminator = R3GANGenerator((1, 8, 8), 2, width=8), R3GANDiscriminator((1, 8, 8), 2, width=8)
    latent = torch.randn(1, 64)
    images = [generator(latent, torch.tensor([label])) for label in (0, 1)]
    assert not images[0].equal(images[1])
    assert not discriminator(images[0], torch.tensor([0])).equal(discriminator(images[0], torch.tensor([1])))
    with pytest.raises(UserError, match="give one for each image"):
        generator(latent)
    with pytest.raises(UserError, match="give one for each image"):
        discriminator(images[0])


def test_a_head_for_labels_fits_the_plain_discriminator_only():
    images, label = torch.randn(3, 1, 8, 8), torch.tensor([0, 1, 1])
    body = R3GANDiscriminator((1, 8, 8), width=8)
    judge = Projection(body, 2)
    expected = body(images) + (judge.layer.weight[label] * body.features(images)).sum(1)
    torch.testing.assert_close(judge(images, label), expected)
    with pytest.raises(UserError, match="R3GANDiscriminator has no features and head for labels"):
        Projection(R3GANDiscriminator((1, 8, 8), 2, width=8), 2)


@pytest.mark.parametrize("classes", [0, 2])
def test_gradients_and_those_of_the_penalty(classes):
    """By finite differences; those of the penalty along a random direction of all weights."""
    discriminator = scrambled(R3GANDiscriminator((1, 8, 8), classes, width=8)).double()
    images, label = torch.randn(3, 1, 8, 8).double(), torch.tensor([0, 1, 1])
    assert torch.autograd.gradcheck(discriminator, (images.clone().requires_grad_(), label))

    def penalty():
        return R1(1.0)(lambda x: discriminator(x, label), images, images)

    parameters = list(discriminator.parameters())
    gradients = torch.autograd.grad(penalty(), parameters, materialize_grads=True)  # none for biases
    slope = torch.cat([gradient.flatten() for gradient in gradients])
    start = parameters_to_vector(parameters).detach()
    direction, values = torch.randn_like(start), []
    for step in (1e-6, -1e-6):
        vector_to_parameters(start + step * direction, parameters)
        values.append(penalty())
    torch.testing.assert_close((values[0] - values[1]) / 2e-6, slope @ direction, rtol=1e-5, atol=0)


def test_bfloat16_is_close_to_float32():
    generator, latent = scrambled(R3GANGenerator((1, 28, 28), width=8)), torch.randn(4, 64)
    discriminator = scrambled(R3GANDiscriminator((1, 28, 28), width=8))
    exact_image = generator(latent)
    exact_logits = discriminator(exact_image)
    with torch.autocast("cpu", torch.bfloat16):
        image = generator(latent)
        logits = discriminator(exact_image)
    assert image.dtype == logits.dtype == torch.bfloat16
    assert (image - exact_image).norm() < 0.03 * exact_image.norm()
    assert (logits - exact_logits).norm() < 0.03 * exact_logits.norm()


def test_copies_are_alike_and_their_own(tmp_path):
    generator, latent = scrambled(R3GANGenerator((1, 8, 8), width=8)).eval(), torch.randn(2, 64)
    twin = copy.deepcopy(generator)
    torch.save(generator.state_dict(), tmp_path / "weights.pt")
    before = generator(latent)
    generator.basis.data.zero_()
    assert not generator(latent).equal(before)
    assert twin(latent).equal(before)
    generator.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert generator(latent).equal(before)
