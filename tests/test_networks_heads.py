import pytest
import torch
from torch.nn.utils.parametrize import is_parametrized

from lit_gans.errors import UserError
from lit_gans.networks import MLPDiscriminator, ResNetDiscriminator
from lit_gans.networks.heads import AuxiliaryClassifier, Projection
from lit_gans.networks.layers import Discriminator


def body(spectral=False):
    torch.manual_seed(0)
    return ResNetDiscriminator((1, 8, 8), width=2, spectral=spectral).eval()


@pytest.mark.parametrize("spectral", [False, True])
def test_projection_by_hand(spectral):
    judge, image, label = Projection(body(spectral), 3).eval(), torch.randn(4, 1, 8, 8), torch.tensor([0, 2, 1, 2])
    assert is_parametrized(judge.layer, "weight") == spectral
    features = judge.body.features(image)
    expected = [
        judge.body.head.weight[0].dot(feature) + judge.body.head.bias[0] + judge.layer.weight[index].dot(feature)
        for feature, index in zip(features, label, strict=True)
    ]
    torch.testing.assert_close(judge(image, label), torch.stack(expected))
    assert judge(image, label).shape == (4,)
    assert not judge(image, label).allclose(judge(image, torch.zeros(4, dtype=torch.long)))
    with pytest.raises(UserError, match="give one for each image"):
        judge(image)
    assert (judge.image_shape, judge.num_classes, judge.feature_dim) == ((1, 8, 8), 3, 4)


def test_projection_without_classes_is_its_body():
    judge, image = Projection(body(), 0), torch.randn(4, 1, 8, 8)
    assert judge(image).equal(judge.body(image))
    assert judge(image, torch.zeros(4, dtype=torch.long)).equal(judge.body(image))


@pytest.mark.parametrize("spectral", [False, True])
def test_auxiliary_classifier_by_hand(spectral):
    judge, image = AuxiliaryClassifier(body(spectral), 3).eval(), torch.randn(4, 1, 8, 8)
    assert is_parametrized(judge.layer, "weight") == spectral
    logits, classes = judge(image, torch.tensor([0, 2, 1, 2]))
    assert logits.equal(judge.body(image))
    assert judge.layer.bias.abs().max() == 0
    torch.testing.assert_close(classes, judge.body.features(image) @ judge.layer.weight.T)
    assert classes.shape == (4, 3)
    assert judge(image)[1].equal(classes)


@pytest.mark.parametrize("head", [Projection, AuxiliaryClassifier])
def test_heads_begin_from_glorots_distribution(head):
    weight = head(MLPDiscriminator((1, 8, 8), widths=(300,)), 100).layer.weight
    limit = (6 / (300 + 100)) ** 0.5
    assert 0.99 * limit < weight.abs().max() <= limit


def test_heads_learn_with_their_body():
    for head in (Projection, AuxiliaryClassifier):
        judge = head(body(spectral=True), 3).train()
        result = judge(torch.randn(4, 1, 8, 8), torch.tensor([0, 2, 1, 2]))
        sum(part.square().sum() for part in (result if isinstance(result, tuple) else [result])).backward()
        assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in judge.parameters())


def test_heads_sit_on_any_discriminator_with_features_and_on_no_other():
    judge = Projection(MLPDiscriminator((1, 8, 8), widths=(6,)), 3)
    assert judge(torch.randn(2, 1, 8, 8), torch.tensor([0, 1])).shape == (2,)

    class Featureless(Discriminator):
        def forward(self, image, label=None):
            return image.flatten(1).sum(1)

    for head in (Projection, AuxiliaryClassifier):
        with pytest.raises(UserError, match="Featureless has no features"):
            head(Featureless(), 3)
