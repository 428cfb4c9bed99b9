"""An independent implementation of BigGAN's networks, in plain torch and in the order of the paper."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, linear, max_pool2d

from lit_gans.networks import BigGANDiscriminator, BigGANGenerator


def normalised(x):
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
    return (x - mean) / (variance + 1e-5).sqrt()


def doubled(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def attention(x, of):
    keys, values = (max_pool2d(conv2d(x, of[f"{name}.weight"]), 2).flatten(2) for name in ("key", "value"))
    weights = torch.einsum("nkp,nkq->npq", conv2d(x, of["query.weight"]).flatten(2), keys).exp()
    seen = torch.einsum("npq,nvq->nvp", weights / weights.sum(2, keepdim=True), values)
    return x + of["strength"] * conv2d(seen.view(len(x), -1, *x.shape[2:]), of["output.weight"])


def parts(state, prefix):
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def conv(x, of, name):
    return conv2d(x, of[f"{name}.weight"], of[f"{name}.bias"], padding=of[f"{name}.weight"].shape[2] // 2)


def plain_generator(state, latent, label, blocks, shared, attends, side):
    pieces = latent.chunk(blocks + 1, 1) if shared else [latent] * (blocks + 1)

    def conditional_norm(x, of, name, piece):
        if shared:
            vector = piece if label is None else torch.cat([piece, state["label.embedding.weight"][label]], 1)
            gain, shift = linear(vector, of[f"{name}.gain.weight"]), linear(vector, of[f"{name}.shift.weight"])
        elif label is not None:
            gain, shift = of[f"{name}.class_gain"][label], of[f"{name}.class_bias"][label]
        else:
            gain, shift = of[f"{name}.weight"][None] - 1, of[f"{name}.bias"][None]
        return normalised(x) * (1 + gain)[:, :, None, None] + shift[:, :, None, None]

    x = linear(pieces[0], state["first.0.weight"], state["first.0.bias"]).view(len(latent), -1, side, side)
    for index in range(blocks):
        of = parts(state, f"blocks.{index}.")
        h = conv(doubled(conditional_norm(x, of, "norm1", pieces[index + 1]).relu()), of, "conv1")
        h = conv(conditional_norm(h, of, "norm2", pieces[index + 1]).relu(), of, "conv2")
        x = h + conv(doubled(x), of, "shortcut")
        x = attention(x, parts(of, "attention.")) if index == attends else x
    x = normalised(x) * state["last.0.weight"][:, None, None] + state["last.0.bias"][:, None, None]
    return conv(x.relu(), state, "last.2").tanh()


def plain_discriminator(state, image, blocks, halved, attends):
    x = image
    for index in range(blocks):
        of = parts(state, f"layers.{index}.")
        h = conv(conv(x.relu() if index else x, of, "conv1").relu(), of, "conv2")
        shortcut = conv(x, of, "shortcut") if index < halved or x.shape != h.shape else x
        x = avg_pool2d(h + shortcut, 2) if index < halved else h + shortcut
        x = attention(x, parts(of, "attention.")) if index == attends else x
    return linear(x.relu().sum((2, 3)), state["head.weight"], state["head.bias"]).squeeze(1)


def trained(network):
    """The network in float64, with random numbers for all parameters, so that none is where it starts."""
    network.double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.5)
    return network


@pytest.mark.parametrize(("classes", "shared_dim"), [(0, 3), (5, 3), (0, 0), (5, 0)])
def test_generator_is_what_the_paper_describes(classes, shared_dim):
    shape = (3, 28, 28)
    generator = trained(BigGANGenerator(shape, classes, width=2, latent_dim=6, shared_dim=shared_dim, spectral=False))
    latent, label = torch.randn(3, 6, dtype=torch.float64), torch.tensor([0, 4, 4]) if classes else None
    expected = plain_generator(generator.state_dict(), latent, label, 2, shared_dim > 0, 0, 7)
    torch.testing.assert_close(generator(latent, label), expected)


@pytest.mark.parametrize(("size", "blocks", "halved"), [(28, 4, 2), (32, 4, 2), (64, 5, 4)])
def test_discriminator_is_what_the_paper_describes(size, blocks, halved):
    discriminator = trained(BigGANDiscriminator((3, size, size), width=8, spectral=False))
    image = torch.randn(2, 3, size, size, dtype=torch.float64)
    expected = plain_discriminator(discriminator.state_dict(), image, blocks, halved, 0)
    torch.testing.assert_close(discriminator(image), expected)
