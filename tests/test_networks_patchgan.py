"""Discriminators of patches: how many logits they give, and what each of these sees."""

import pytest
import torch
from torch import nn

from lit_gans.errors import UserError
from lit_gans.networks import PatchDiscriminator
from lit_gans.networks.heads import Projection


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


PORT = {"norm": "instance", "affine": False, "bias": True}


def meta(size, **arguments):
    with torch.device("meta"):
        return PatchDiscriminator((3, size, size), **arguments)


PATCHES = [
    # receptive field, widths, logits along a side of 256 and of 128 pixels
    (1, [64, 128, 1], 256, 128),
    (16, [64, 128, 1], 126, 62),
    (34, [64, 128, 256, 1], 62, 30),
    (70, [64, 128, 256, 512, 1], 30, 14),
    (142, [64, 128, 256, 512, 512, 1], 14, 6),
    (286, [64, 128, 256, 512, 512, 512, 1], 6, 2),
    (574, [64, 128, 256, 512, 512, 512, 512, 1], 2, None),
]


@pytest.mark.parametrize(("field", "widths", "of_256", "of_128"), PATCHES)
def test_patches(field, widths, of_256, of_128):
    network = meta(256, receptive_field=field)
    assert [layer.out_channels for layer in network.layers if isinstance(layer, nn.Conv2d)] == widths
    assert network(torch.empty(2, 3, 256, 256, device="meta")).shape == (2, 1, of_256, of_256)
    if of_128:
        assert network(torch.empty(2, 3, 128, 128, device="meta")).shape == (2, 1, of_128, of_128)
    else:
        with pytest.raises(UserError, match="128x128 is too small for receptive_field=574: it needs 192 pixels"):
            meta(128, receptive_field=574)


@pytest.mark.parametrize("field", [1, 16, 34, 70, 142, 286])
def test_the_receptive_field_is_what_a_logit_depends_on(field):
    network = PatchDiscriminator((1, 320, 320), receptive_field=field, width=1, norm="none").double()
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.5, 1.0)  # so that nothing cancels
    image = torch.rand(1, 1, 320, 320, dtype=torch.double, requires_grad=True)
    logits = network(image)
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    for axis in (0, 1):
        touched = image.grad[0, 0].any(axis).nonzero()[:, 0]
        assert len(touched) == touched[-1] - touched[0] + 1 == field
        assert abs((touched[0] + touched[-1]) / 2 - 160) < 34


@pytest.mark.parametrize("field", [0, 50, 71])
def test_other_receptive_fields_are_refused(field):
    with pytest.raises(UserError, match=f"one of 1, 16, 34, 70, 142, 286, 574 pixels, not {field}"):
        PatchDiscriminator((3, 256, 256), receptive_field=field)


@pytest.mark.parametrize(("field", "least"), [(16, 6), (34, 12), (70, 24), (286, 96)])
@pytest.mark.parametrize("options", [{}, PORT])
def test_the_smallest_images(field, least, options):
    """One logit is left; a single image can be trained on, since norms see more than one place."""
    network = PatchDiscriminator((3, least, least), receptive_field=field, width=2, **options)
    logits = network(torch.randn(1, 3, least, least))
    assert logits.shape == (1, 1, 1, 1)
    assert logits.isfinite().all()
    with pytest.raises(UserError, match=f"an image of 300x{least - 1} is too small .* needs {least} pixels"):
        PatchDiscriminator((3, 300, least - 1), receptive_field=field)


def test_patches_and_labels():
    images, network = torch.randn(2, 3, 32, 32), PatchDiscriminator((3, 32, 32), 2, width=2).eval()
    zero, one = (network(images, torch.full((2,), label)) for label in (0, 1))
    assert not zero.equal(one)
    with pytest.raises(UserError, match="give one for each image"):
        network(images)
    with pytest.raises(UserError, match="PatchDiscriminator has no features and head for labels"):
        Projection(PatchDiscriminator((3, 32, 32), width=2), 3)
