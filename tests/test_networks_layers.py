import copy

import pytest
import torch
from torch import nn

from lit_gans.errors import UserError
from lit_gans.networks import DCGANDiscriminator, DCGANGenerator
from lit_gans.networks.layers import ConditionalBatchNorm, SelfAttention


def attend(block, image):
    """Equations 1 to 3 of SAGAN for one image, place by place, with keys and values pooled."""
    query, key, value, output = (
        layer.weight[:, :, 0, 0] for layer in (block.query, block.key, block.value, block.output)
    )
    _, height, width = image.shape
    keys, values = [], []
    for row in range(0, height, 2):
        for column in range(0, width, 2):
            window = image[:, row : row + 2, column : column + 2].flatten(1)
            keys.append((key @ window).amax(1))
            values.append((value @ window).amax(1))
    result = torch.empty_like(image)
    for row in range(height):
        for column in range(width):
            scores = torch.stack([(query @ image[:, row, column]).dot(key) for key in keys]).exp()
            seen = sum(score * value for score, value in zip(scores, values, strict=True)) / scores.sum()
            result[:, row, column] = image[:, row, column] + block.strength * (output @ seen)
    return result


@pytest.mark.parametrize(("height", "width"), [(4, 4), (7, 7), (2, 5), (1, 1)])
def test_self_attention_place_by_place(height, width):
    torch.manual_seed(0)
    block = SelfAttention(16).double()
    nn.init.constant_(block.strength, 0.7)
    images = torch.randn(2, 16, height, width, dtype=torch.double)
    expected = torch.stack([attend(block, image) for image in images])
    torch.testing.assert_close(block(images), expected, rtol=1e-10, atol=1e-12)


def test_self_attention_is_the_identity_at_first_and_learns_its_strength():
    block, features = SelfAttention(16), torch.randn(2, 16, 7, 7)
    result = block(features)
    assert result.equal(features)
    result.square().sum().backward()
    assert block.strength.grad != 0
    assert block.query.weight.grad.abs().max() == 0


def test_self_attention_sees_the_last_place_of_an_odd_map():
    block, features = SelfAttention(8), torch.randn(1, 8, 7, 7, requires_grad=True)
    nn.init.ones_(block.strength)
    block(features)[0, :, 0, 0].sum().backward()
    assert features.grad[0, :, 6, 6].abs().max() > 0


def test_self_attention_needs_eight_channels():
    with pytest.raises(UserError, match="at least 8 channels, not 7"):
        SelfAttention(7)


def test_conditional_batch_norm_is_batch_norm_with_the_affine_of_the_class():
    torch.manual_seed(0)
    norm, features = ConditionalBatchNorm(4, 3), 2 * torch.randn(6, 4, 5, 5) + 1
    label = torch.tensor([0, 2, 1, 2, 0, 0])
    nn.init.normal_(norm.class_gain)
    nn.init.normal_(norm.class_bias)
    for training in (True, False):
        norm.train(training)
        before = copy.deepcopy(norm)
        result = norm(features, label)
        for index in range(3):
            plain = nn.BatchNorm2d(4).train(training)
            plain.load_state_dict(
                dict(before.named_buffers()) | {"weight": 1 + norm.class_gain[index], "bias": norm.class_bias[index]}
            )
            expected = plain(features)  # statistics are those of all classes together
            torch.testing.assert_close(result[label == index], expected[label == index])
            assert all(mine.equal(its) for mine, its in zip(norm.buffers(), plain.buffers(), strict=True))


def test_conditional_batch_norm_at_first_and_without_classes():
    features, label = torch.randn(6, 4, 5, 5), torch.tensor([0, 2, 1, 2, 0, 0])
    expected = nn.BatchNorm2d(4)(features)
    assert ConditionalBatchNorm(4, 3)(features, label).equal(expected)
    unconditional = ConditionalBatchNorm(4)
    assert unconditional(features).equal(expected)
    assert unconditional(features, label).equal(expected)
    assert {name: parameter.shape for name, parameter in unconditional.named_parameters()} == {
        "weight": (4,),
        "bias": (4,),
    }
    with pytest.raises(UserError, match="give one for each image"):
        ConditionalBatchNorm(4, 3)(features)


def test_gradient_of_a_class_comes_from_its_images():
    norm = ConditionalBatchNorm(4, 3)
    norm(torch.randn(2, 4, 5, 5), torch.tensor([2, 2])).sum().backward()
    assert norm.class_bias.grad[:2].abs().max() == 0
    torch.testing.assert_close(norm.class_bias.grad[2], torch.full((4,), 50.0))


@pytest.mark.parametrize(("size", "sides"), [(28, [4, 7, 14, 28]), (50, [4, 7, 13, 25, 50]), (11, [3, 6, 11])])
def test_uneven_maps(size, sides):
    """The published code of WGAN-GP for MNIST: doubled maps lose their last row and column, halves are rounded up."""
    generator = DCGANGenerator((1, size, size), width=2, kernel=5, uneven=True)
    discriminator = DCGANDiscriminator((1, size, size), width=2, kernel=5, norm="none", uneven=True)
    maps = {"Crop": [], "ReLU": [], "Tanh": [], "LeakyReLU": []}
    for module in (*generator.layers, *discriminator.layers):
        if (name := type(module).__name__) in maps:
            module.register_forward_hook(lambda module, inputs, output, name=name: maps[name].append((*inputs, output)))
    images = generator(torch.randn(2, 100))
    discriminator(images)
    assert [output.shape[2] for _, output in maps["ReLU"] + maps["Tanh"]] == sides
    assert [output.shape[2] for _, output in maps["LeakyReLU"]] == sides[-2::-1]
    assert len(maps["Crop"]) == sum(side % 2 for side in sides[1:])
    assert all(torch.equal(whole[:, :, :-1, :-1], cropped) for whole, cropped in maps["Crop"])


def test_uneven_maps_want_an_odd_kernel():
    with pytest.raises(UserError, match="uneven maps want an odd kernel, such as 5, not 4"):
        DCGANDiscriminator((1, 28, 28), uneven=True)
