"""What convolutional networks can be told: norms, kernels, and spectrally normalised weights."""

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from lit_gans.errors import UserError
from lit_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    DiscriminatorFactory,
    MLPDiscriminator,
    MLPGenerator,
    SNDCGANDiscriminator,
    SNDCGANGenerator,
)
from lit_gans.networks.layers import LabelEmbedding, doubling, halving, normalisation


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("kernel", [2, 3, 4, 5, 6])
def test_any_kernel_doubles_and_halves(kernel):
    features = torch.randn(1, 2, 6, 6)
    assert doubling(2, 3, kernel)(features).shape == (1, 3, 12, 12)
    assert halving(2, 3, kernel)(features).shape == (1, 3, 3, 3)


NORMS = {"batch": (0, 2, 3), "instance": (2, 3), "layer": (1, 2, 3)}


@pytest.mark.parametrize(("norm", "over"), NORMS.items())
def test_norms(norm, over):
    """Zero mean and unit variance over what the name says, then a gain and a bias for each channel."""
    layer, features = normalisation(norm, 4), torch.randn(3, 4, 5, 5) * 3 + torch.randn(3, 4, 1, 1)
    assert [tuple(parameter.shape) for parameter in layer.parameters()] == [(4,), (4,)]
    with torch.no_grad():
        layer.weight.copy_(torch.rand(4))
        layer.bias.copy_(torch.rand(4))
    variance, mean = torch.var_mean(features, over, keepdim=True, correction=0)
    expected = (features - mean) / (variance + layer.eps).sqrt()
    torch.testing.assert_close(layer(features), expected * layer.weight[:, None, None] + layer.bias[:, None, None])


def test_no_norm():
    features = torch.randn(3, 4, 5, 5)
    assert normalisation("none", 4)(features) is features
    with pytest.raises(UserError, match="norm must be batch, instance, layer or none, not group"):
        DCGANDiscriminator((1, 16, 16), norm="group")


@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none"])
def test_which_logits_depend_on_other_images(norm):
    discriminator = DCGANDiscriminator((1, 16, 16), width=4, norm=norm, bias=True)
    images = torch.randn(3, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(images)[0], images)
    assert gradient[0].any()
    assert gradient[1:].any() == (norm == "batch")


@pytest.mark.parametrize(
    "factory",
    [MLPGenerator, MLPDiscriminator, DCGANGenerator, DCGANDiscriminator, SNDCGANGenerator, SNDCGANDiscriminator],
)
def test_spectral(factory):
    """Each weight but that of the labels has a largest singular value of one; without the option none is normalised."""
    small = {"widths": (8, 8)} if factory in (MLPGenerator, MLPDiscriminator) else {"width": 4}
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)
    network = factory((1, 8, 8), 3, spectral=True, **small)
    inputs = torch.randn(2, network.latent_dim) if hasattr(network, "latent_dim") else torch.randn(2, 1, 8, 8)
    for _ in range(30):
        network(inputs, torch.arange(2))
    network.eval()
    told = [module.embedding for module in network.modules() if isinstance(module, LabelEmbedding)]
    layers = [module for module in network.modules() if isinstance(module, kinds) and module not in told]
    assert len(layers) >= 2
    assert not any(is_parametrized(embedding) for embedding in told)
    for layer in layers:
        matrix = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
        assert torch.linalg.matrix_norm(matrix.flatten(1), ord=2).item() == pytest.approx(1.0, abs=0.01)
    assert not any(is_parametrized(module) for module in factory((1, 8, 8), 3, **small).modules())


def test_a_norm_from_the_command_line():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=DiscriminatorFactory)
    chosen = "--network=lit_gans.networks.DCGANDiscriminator"
    assert parser.parse_args([chosen, "--network.norm=none"]).network.init_args.norm == "none"
    with pytest.raises(Exception, match="group"):
        parser.parse_args([chosen, "--network.norm=group"])
