import io
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from lit_gans.errors import UserError
from lit_gans.networks import BigGANDiscriminator, BigGANGenerator
from lit_gans.networks.heads import Projection
from lit_gans.networks.layers import SelfAttention
from lit_gans.networks.resnet import ResidualBlock

SMALL = {"width": 2, "shared_dim": 3}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def inputs(generator, n=2):
    return torch.randn(n, generator.latent_dim), torch.arange(n) % max(generator.num_classes, 1)


def layers(network):
    return [part for part in network.modules() if isinstance(part, (nn.Conv2d, nn.Linear))]


def watched(network, kind, look):
    """What `look(inputs, output)` says of each module of a kind, in the order of their calls."""
    seen = []
    for module in network.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda _, inputs, output: seen.append(look(inputs, output)))
    return seen


COUNTS = [
    # counted in the published PyTorch code: BigGAN on ImageNet with ch 96 and 64, and SAGAN
    (128, 1000, {}, {}, 70_433_988, 87_982_370),
    (128, 1000, {"width": 64}, {"width": 64}, 31_978_628, 39_448_258),
    (128, 1000, {"width": 64, "shared_dim": 0}, {"width": 64}, 42_017_412, 39_448_258),
    # CIFAR-10: StudioGAN, and the published PyTorch code
    (32, 10, {}, {"width": 48}, 9_416_196, 2_415_170),
    (32, 10, {"width": 64, "shared_dim": 0, "attention": 0}, {"width": 64, "attention": 0}, 4_304_387, 4_207_361),
]


@pytest.mark.parametrize(("size", "classes", "generator", "discriminator", "of_g", "of_d"), COUNTS)
def test_parameter_counts(size, classes, generator, discriminator, of_g, of_d):
    shape = (3, size, size)
    with torch.device("meta"):  # and without the power iterations, which would take seconds
        assert count(BigGANGenerator(shape, classes, spectral=False, **generator)) == of_g
        assert count(Projection(BigGANDiscriminator(shape, spectral=False, **discriminator), classes)) == of_d


@pytest.mark.parametrize(("size", "latent_dim"), [(28, 60), (32, 80), (64, 100), (128, 120), (256, 140), (512, 160)])
def test_latents_have_twenty_numbers_for_each_piece(size, latent_dim):
    with torch.device("meta"):
        assert BigGANGenerator((3, size, size), spectral=False).latent_dim == latent_dim


# widths of the maps made; widths and sides of the maps judged; the side that has attention: tables 4 to 6 of the paper
# and, for other sizes, its PyTorch code
MAPS = [
    (28, [4, 4], [4, 4, 4, 4], [14, 7, 7, 7], 14),
    (32, [4, 4, 4], [4, 4, 4, 4], [16, 8, 8, 8], 16),
    (64, [16, 8, 4, 2], [1, 2, 4, 8, 16], [32, 16, 8, 4, 4], 32),
    (128, [16, 8, 4, 2, 1], [1, 2, 4, 8, 16, 16], [64, 32, 16, 8, 4, 4], 64),
    (256, [16, 8, 8, 4, 2, 1], [1, 2, 4, 8, 8, 16, 16], [128, 64, 32, 16, 8, 4, 4], 64),
    (512, [16, 8, 8, 4, 2, 1, 1], [1, 1, 2, 4, 8, 8, 16, 16], [256, 128, 64, 32, 16, 8, 4, 4], 64),
]


@pytest.mark.parametrize(("size", "made", "judged", "sides", "attended"), MAPS)
def test_maps_have_the_widths_sides_and_attention_of_the_paper(size, made, judged, sides, attended):
    def width_and_side(_, output):
        return output.shape[1] // 8, output.shape[2]

    doubled = [size >> times for times in reversed(range(len(made)))]
    with torch.device("meta"):
        generator = BigGANGenerator((3, size, size), width=8, spectral=False)
        discriminator = BigGANDiscriminator((3, size, size), width=8, spectral=False)
        for network, given, maps in (
            (generator, torch.randn(2, generator.latent_dim), zip(made, doubled, strict=True)),
            (discriminator, torch.randn(2, 3, size, size), zip(judged, sides, strict=True)),
        ):
            blocks, attention = (watched(network, kind, width_and_side) for kind in (ResidualBlock, SelfAttention))
            network(given)
            assert blocks == list(maps)
            assert [side for _, side in attention] == [attended]


def test_attention_is_after_the_block_that_halves_to_its_side():
    """There are three maps of side 8."""
    discriminator = BigGANDiscriminator((3, 32, 32), width=2, attention=8)
    names = [name for name, part in discriminator.named_modules() if isinstance(part, SelfAttention)]
    assert names == ["layers.1.attention"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 28, 32, 48, 64, 128])
@pytest.mark.parametrize(("classes", "shared_dim"), [(0, 3), (5, 3), (0, 0), (5, 0)])
def test_shapes(size, channels, classes, shared_dim):
    shape = (channels, size, size)
    generator = BigGANGenerator(shape, classes, width=1, shared_dim=shared_dim, attention=0)
    discriminator = BigGANDiscriminator(shape, classes, width=1, attention=0)
    latent, label = inputs(generator)
    image = generator(latent, label)
    assert image.shape == (2, *shape)
    assert image.abs().max() <= 1
    assert discriminator(image, label).shape == (2,)
    assert discriminator.features(image, label).shape == (2, discriminator.feature_dim)


# -- latent and label --------------------------------------------------------------------------------------------------


def test_each_piece_of_the_latent_changes_its_block_and_those_after_it():
    generator = BigGANGenerator((1, 32, 32), 5, **SMALL).eval()
    outputs = watched(generator, ResidualBlock, lambda _, output: output)
    latent, label = inputs(generator)
    generator(latent, label)
    before = outputs.copy()
    for piece in range(4):
        changed = latent.clone()
        changed[:, 20 * piece : 20 * (piece + 1)] += 1
        outputs.clear()
        generator(changed, label)
        assert [not one.equal(other) for one, other in zip(outputs, before, strict=True)] == [
            index + 1 >= piece for index in range(3)
        ]


def test_labels_go_through_their_vector_only():
    generator = BigGANGenerator((1, 16, 16), 2, **SMALL).eval()
    latent, _ = inputs(generator, 1)
    one, other = torch.tensor([0]), torch.tensor([1])
    assert not generator(latent, one).equal(generator(latent, other))
    with torch.no_grad():
        generator.label.embedding.weight[1] = generator.label.embedding.weight[0]
    assert generator(latent, one).equal(generator(latent, other))
    with pytest.raises(UserError, match="give one for each image"):
        generator(latent)


def test_labels_with_gains_of_their_own():
    generator = BigGANGenerator((1, 16, 16), 2, width=2, shared_dim=0).eval()
    latent, label = inputs(generator)
    assert generator.latent_dim == 128
    assert generator(latent, label).equal(generator(latent, 1 - label))  # as all classes are alike at first
    nn.init.normal_(generator.blocks[1].norm2.class_gain)
    assert not generator(latent, label).equal(generator(latent, 1 - label))


def test_discriminator_sees_labels():
    discriminator = BigGANDiscriminator((1, 16, 16), 2, width=2).eval()
    assert discriminator.label.embedding.weight.std().item() == pytest.approx(1, rel=0.2)
    image = torch.randn(1, 1, 16, 16)
    assert not discriminator(image, torch.tensor([0])).equal(discriminator(image, torch.tensor([1])))


# -- the state at first ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("network", [BigGANGenerator, BigGANDiscriminator])
def test_weights_are_orthogonal_at_first_and_spectrally_normalised_without_the_vectors_of_classes(network, spectral):
    network = network((1, 16, 16), 5, width=2, spectral=spectral)
    assert len(layers(network)) > 10
    for layer in layers(network):
        assert is_parametrized(layer, "weight") == spectral
        if spectral:
            assert layer.parametrizations.weight[0].eps == 1e-6
        # orthogonal, so that the largest singular value is one, and normalization changes nothing
        rows = layer.weight.flatten(1)
        rows = rows if rows.shape[0] <= rows.shape[1] else rows.T
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-5, rtol=0)
    assert not is_parametrized(network.label.embedding)


def test_vectors_of_classes_are_orthogonal_at_first():
    vectors = BigGANGenerator((1, 16, 16), 5, width=2).label.embedding.weight
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(5), atol=1e-5, rtol=0)


def test_spectral_normalisation_divides_by_the_largest_singular_value():
    torch.manual_seed(0)
    generator = BigGANGenerator((1, 16, 16), 5, **SMALL)
    for layer in layers(generator):
        layer.parametrizations.weight.original.data.normal_()
    for _ in range(100):
        [layer.weight for layer in layers(generator)]
    for layer in layers(generator):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("network", [BigGANGenerator, BigGANDiscriminator])
def test_attention_does_nothing_at_first(network):
    torch.manual_seed(0)
    attentive = network((1, 16, 16), width=2).eval()
    plain = network((1, 16, 16), width=2, attention=0).eval()
    assert not any(isinstance(module, SelfAttention) for module in plain.modules())
    assert plain.load_state_dict(attentive.state_dict(), strict=False).missing_keys == []
    given = inputs(attentive) if network is BigGANGenerator else [torch.randn(2, 1, 16, 16)]
    assert attentive(*given).equal(plain(*given))
    nn.init.ones_(next(module for module in attentive.modules() if isinstance(module, SelfAttention)).strength)
    assert not attentive(*given).equal(plain(*given))


# -- what all networks must bear ---------------------------------------------------------------------------------------


def pair():
    generator = BigGANGenerator((1, 16, 16), 5, **SMALL)
    return generator, Projection(BigGANDiscriminator((1, 16, 16), width=2), 5)


def test_copies_and_saved_weights_give_the_same():
    for network, other, given in zip(pair(), pair(), (torch.randn(2, 60), torch.randn(2, 1, 16, 16)), strict=True):
        label, file = torch.arange(2), io.BytesIO()
        network(given, label)
        expected = network.eval()(given, label)
        assert deepcopy(network)(given, label).equal(expected)
        assert not other.eval()(given, label).equal(expected)
        torch.save(network.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file, weights_only=True))
        assert other(given, label).equal(expected)


def test_only_training_moves_the_estimates():
    for network, given in zip(pair(), (torch.randn(2, 60), torch.randn(2, 1, 16, 16)), strict=True):
        for module in network.modules():
            if is_parametrized(module, "weight"):
                module.parametrizations.weight.original.data.normal_()
        before = deepcopy(dict(network.named_buffers()))
        network.eval()(given, torch.arange(2))
        assert all(buffer.equal(before[name]) for name, buffer in network.named_buffers())
        network.train()(given, torch.arange(2))
        moved = [name for name, buffer in network.named_buffers() if not buffer.equal(before[name])]
        assert any(name.endswith("parametrizations.weight.0._u") for name in moved)


@pytest.mark.parametrize("spectral", [True, False])
def test_all_parameters_get_gradient_in_any_precision(spectral):
    for precision in (torch.float64, torch.bfloat16):
        generator = BigGANGenerator((1, 16, 16), 5, **SMALL, spectral=spectral)
        discriminator = Projection(BigGANDiscriminator((1, 16, 16), width=2, spectral=spectral), 5)
        latent, label = inputs(generator)
        if precision == torch.float64:
            generator, discriminator, latent = generator.double(), discriminator.double(), latent.double()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            image = generator(latent, label)
            logits = discriminator(image, label)
        assert image.dtype == precision
        logits.sum().backward()
        for parameter in [*generator.parameters(), *discriminator.parameters()]:
            assert parameter.grad.isfinite().all()


def test_on_the_meta_device():
    with torch.device("meta"):
        generator, discriminator = pair()
        latent, label = inputs(generator)
        assert discriminator(generator(latent, label), label).shape == (2,)
        assert {part.device.type for part in generator.state_dict().values()} == {"meta"}


@pytest.mark.parametrize(
    ("network", "size", "wrong", "message"),
    [
        (BigGANGenerator, 32, {"latent_dim": 82}, "multiple of 4.* not 82"),
        (BigGANGenerator, 32, {"latent_dim": 0}, "multiple of 4.* not 0"),
        (BigGANGenerator, 32, {"attention": 4}, "not 4"),
        (BigGANDiscriminator, 32, {"attention": 4}, "not 4"),
        (BigGANGenerator, 32, {"width": 0}, "width must be at least 1, not 0"),
        (BigGANGenerator, 32, {"shared_dim": -1}, "shared_dim must be at least 0, not -1"),
        (BigGANDiscriminator, 32, {"width": 0}, "width must be at least 1, not 0"),
        (BigGANGenerator, 1024, {}, "1024 pixels"),
        (BigGANDiscriminator, 1024, {}, "1024 pixels"),
    ],
)
def test_what_cannot_be_built_is_refused(network, size, wrong, message):
    with pytest.raises(UserError, match=message):
        network((3, size, size), **wrong)
