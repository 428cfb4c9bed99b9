"""Adaptive instance normalisation, and the translator that paints in any style."""

import pytest
import torch

from lit_gans.errors import UserError
from lit_gans.networks import ResNetTranslator, StyleTranslator
from lit_gans.networks.adain import adain, statistics


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


CONTENT = [
    [[[0.19866933079506122, 0.9974949866040544, 0.33498815015590466],
      [-0.8182771110644108, -0.7727644875559871, 0.4048499206165983]],
     [[0.9893582466233818, 0.12445442350706347, -0.9227754216128066],
      [-0.6181371122370333, 0.592073514707223, 0.934895055524683]]],
    [[[-0.09190685022768164, -0.9840650050816434, -0.43456562207189675],
      [0.7515734153521483, 0.8366556385360561, -0.30396460881104703]],
     [[-0.9992759921366277, -0.23064570592739567, 0.8758810798108894],
      [0.6992400316550977, -0.5017893010205742, -0.9676961321338052]]],
]  # fmt: skip
STYLE = [
    [[[-0.479425538604203, 0.19866933079506116], [0.7833269096274833, 0.9995736030415052]],
     [[0.7457052121767203, 0.1411200080598672], [-0.5298361409084926, -0.9516020738895158]]],
    [[[-0.9258146823277325, -0.46460217941375737], [0.21511998808781552, 0.7936678638491527]],
     [[0.9989413418397721, 0.7343970978741133], [0.12445442350706347, -0.5440211108893698]]],
]  # fmt: skip
STYLED = [
    [[[0.5063725307896243, 1.2466939446896141, 0.6327076583065199],
      [-0.43609498039154604, -0.39391560177365326, 0.697452905669211]],
     [[0.5980454824819016, -0.20317671806380702, -1.1733005382602184],
      [-0.8910923087612079, 0.23001225307360984, 0.5475923376875904]]],
    [[[-0.15315199351345754, -1.1037516348735459, -0.5182568842234667],
      [0.7455810770661055, 0.8362366748485198, -0.37910075401093735]],
     [[-0.35995854995760423, 0.29175902442039703, 1.229977262400856],
      [1.0802042473308475, 0.06185779716878892, -0.33318215286591624]]],
]  # fmt: skip


def test_adain_has_the_published_values():
    """Of a common PyTorch port, in double precision."""
    content, style, expected = (torch.tensor(values, dtype=torch.double) for values in (CONTENT, STYLE, STYLED))
    torch.testing.assert_close(adain(content, style), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(adain(content, style[:1])[0], expected[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(adain(content[1:], style[:1])[0], adain(content, style[:1])[1])


def test_statistics_by_hand():
    features = torch.tensor([[[[1.0, 2.0, 6.0]]], [[[4.0, 4.0, 4.0]]]])
    mean, deviation = statistics(features)
    torch.testing.assert_close(mean.flatten(), torch.tensor([3.0, 4.0]))
    torch.testing.assert_close(deviation.flatten(), torch.tensor([7.0 + 1e-5, 1e-5]).sqrt())
    assert statistics(features.bfloat16())[1].dtype == torch.float32
    features.requires_grad_()
    statistics(features)[1].sum().backward()
    assert features.grad.isfinite().all()


def test_a_style_sets_the_statistics_of_the_maps():
    network = StyleTranslator((3, 32, 32), (3, 32, 32), width=4, blocks=1)
    seen = []
    network.blocks.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    images, style = torch.randn(2, 3, 32, 32), torch.randn(1, 3, 16, 40)
    plain, styled, other = network(images), network(images, style), network(images, torch.flip(style, [1]) + 1)
    assert not plain.equal(styled)
    assert not styled.equal(other)
    before, after = seen[0], seen[1]
    assert before.equal(network.encoder(images))
    alive = before.std((2, 3)).min(0).values > 0.1
    wanted = statistics(network.encoder(style))
    for ours, theirs in zip(statistics(after), wanted, strict=True):
        torch.testing.assert_close(ours[:, alive], theirs[:, alive].expand(2, -1, -1, -1), rtol=1e-3, atol=1e-3)
    correlation = torch.corrcoef(torch.stack([before[0, alive][0].flatten(), after[0, alive][0].flatten()]))[0, 1]
    assert correlation > 0.999  # the content stays where it was
    with pytest.raises(UserError, match="multiples of 4, not 30x32"):
        network(images, torch.zeros(1, 3, 30, 32))


def test_an_instance_norm_would_lose_the_style():
    """Why a translator with styles has no norm: the same image with less contrast is the same after one."""
    images = torch.randn(1, 3, 16, 16)
    plain, style = (
        network((3, 16, 16), (3, 16, 16), width=4, blocks=1) for network in (ResNetTranslator, StyleTranslator)
    )
    difference = [(one.encoder(images) - one.encoder(images / 2)).abs().mean() / one.encoder(images).abs().mean()
                  for one in (plain, style)]  # fmt: skip
    assert difference[0] < 0.02
    assert difference[1] > 0.4
