import pytest
import torch

from lit_gans.errors import UserError
from lit_gans.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


COUNTS = [
    # counted in the published code: pytorch/examples (64 pixels) and WassersteinGAN (32 pixels)
    ((3, 64, 64), 3_576_704, 2_765_568),
    ((1, 64, 64), 3_574_656, 2_763_520),
    ((3, 32, 32), 1_068_928, 663_296),
]


@pytest.mark.parametrize(("shape", "generator", "discriminator"), COUNTS)
def test_dcgan_parameter_counts(shape, generator, discriminator):
    assert count(DCGANGenerator(shape)) == generator
    assert count(DCGANDiscriminator(shape)) == discriminator


def test_mlp_parameter_counts():
    """Of the tutorials: weights and biases of 100-128-256-784 and so on."""

    def affine(*sizes):
        return sum((before + 1) * after for before, after in zip(sizes, sizes[1:], strict=False))

    shape = (1, 28, 28)
    assert count(MLPGenerator(shape)) == affine(100, 128, 256, 784)
    assert count(MLPDiscriminator(shape)) == affine(784, 128, 64, 1)
    assert count(MLPGenerator(shape, widths=[256, 512, 1024])) == affine(100, 256, 512, 1024, 784)
    assert count(MLPDiscriminator(shape, widths=[1024, 512, 256], dropout=0.3)) == affine(784, 1024, 512, 256, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 28, 32, 48, 64, 128])
@pytest.mark.parametrize("classes", [0, 5])
def test_shapes(size, channels, classes):
    shape, label = (channels, size, size), torch.arange(2)
    for generator, discriminator in (
        (MLPGenerator(shape, classes), MLPDiscriminator(shape, classes)),
        (DCGANGenerator(shape, classes, width=4), DCGANDiscriminator(shape, classes, width=4)),
    ):
        image = generator(torch.randn(2, generator.latent_dim), label)
        assert image.shape == (2, *shape)
        assert image.abs().max() <= 1
        assert discriminator(image, label).shape == (2,)


@pytest.mark.parametrize(
    ("generator", "discriminator"), [(MLPGenerator, MLPDiscriminator), (DCGANGenerator, DCGANDiscriminator)]
)
def test_labels_change_the_result(generator, discriminator):
    generator, discriminator = generator((1, 8, 8), 2).eval(), discriminator((1, 8, 8), 2).eval()
    latent = torch.randn(1, generator.latent_dim)
    images = [generator(latent, torch.tensor([label])) for label in (0, 1)]
    assert not images[0].equal(images[1])
    assert not discriminator(images[0], torch.tensor([0])).equal(discriminator(images[0], torch.tensor([1])))
    with pytest.raises(UserError, match="give one for each image"):
        generator(latent)


def test_dcgan_initialisation():
    torch.manual_seed(0)
    for module in DCGANGenerator((3, 64, 64)).modules():
        if isinstance(module, torch.nn.ConvTranspose2d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.03)
            assert module.bias is None
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1.0, abs=0.01)
            assert module.bias.abs().max() == 0


@pytest.mark.parametrize("shape", [(3, 7, 7), (3, 36, 36), (1, 30, 30), (1, 32, 64)])
def test_sizes_that_do_not_halve_are_refused(shape):
    with pytest.raises(UserError, match=f"{shape[1]}x{shape[2]}"):
        DCGANDiscriminator(shape)
