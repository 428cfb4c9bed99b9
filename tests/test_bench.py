"""The plain loops of the benchmark do what our training does, so that their times can be compared."""

import copy
from functools import partial
from itertools import islice

import pytest
import torch
from torch import nn

from experiments.bench import training
from experiments.bench.memory import VARIANTS, configured
from experiments.bench.training import PAIRS, shapes
from experiments.bench.translating import photo
from lit_gans.networks import PatchDiscriminator, ResNetTranslator, UNetGenerator
from lit_gans.randomness import seed_engines
from lit_gans.variants.translation import Translation
from tests.conftest import trainer

SMALL = {
    "Pix2Pix": {
        "generator": partial(UNetGenerator, width=4),
        "discriminator": partial(PatchDiscriminator, receptive_field=16, width=4),
    },
    "CycleGAN": {
        # without biases before a norm, whose gradients are nothing but rounding, which Adam makes large
        "generator": partial(ResNetTranslator, blocks=1, width=4, affine=True, bias=False),
        "discriminator": partial(PatchDiscriminator, receptive_field=16, width=4),
        "pool_size": 7,
    },
}
"""Of translators, whose networks in full are slow."""


def recorded(model):
    """All numbers that the model draws from now on, and those that its pools are given."""
    numbers, draw = [], model.draw
    for pool in getattr(model, "pools", {}).values():
        pool.register_forward_pre_hook(lambda module, inputs: numbers.append(inputs[1]))

    def recording(sampler, purpose, *shape):
        numbers.append(draw(sampler, purpose, *shape))
        return numbers[-1]

    model.draw = recording
    return numbers


def passes(model):
    """The number of images in each pass of any network from now on, in order."""
    judged = []
    for player in ("generator", "discriminator"):
        network = getattr(model, player)
        for name, part in network.items() if isinstance(network, nn.ModuleDict) else [(player, network)]:
            part.register_forward_hook(lambda module, inputs, output, name=name: judged.append((name, len(inputs[0]))))
    return judged


@pytest.mark.parametrize("name", PAIRS)
def test_plain_loops_have_our_arithmetic(name):
    """In float64 both sides, drawing the same numbers, end with the same weights, statistics, pools and average."""
    torch.manual_seed(0)
    steps, data = 6, PAIRS[name].data(image_size=8, batch_size=4)  # on the sixth SNGAN's generator moves again
    data.setup()
    batches = [type(batch)(*map(in_double, batch)) for batch in islice(data.train_dataloader(), steps)]
    model = PAIRS[name].model(**shapes(data) | SMALL.get(name, {}))
    plain = copy.deepcopy(model).double()
    before = copy.deepcopy(plain.state_dict())
    numbers, our_passes, plain_passes = recorded(model), passes(model), passes(plain)
    trainer(max_steps=steps, precision="64-true").fit(model, data)

    def draw(sampler, *shape):
        drawn = numbers.pop(0)
        assert drawn.shape == shape
        return drawn

    def seeded():
        for turn, batch in enumerate(batches):
            seed_engines(model.device, model.seed, "step", turn, 0)  # for dropout
            yield batch

    PAIRS[name].loop(plain, seeded(), draw)
    assert not numbers
    assert sorted(our_passes) == sorted(plain_passes)
    ours, theirs = model.state_dict(), plain.state_dict()
    torch.testing.assert_close(dict(ours), dict(theirs), rtol=0, atol=1e-10)
    for part in ("generator.", "discriminator.", "ema."):
        moved = [not torch.equal(before[key], theirs[key]) for key in theirs if key.startswith(part)]
        assert sum(moved) > len(moved) / 2


def in_double(values):
    return values.double() if values.is_floating_point() else values


@pytest.mark.parametrize("name", VARIANTS)
def test_memory_is_measured_on_a_config(name):
    model, data = configured(name)
    assert type(model).__name__ == name
    assert len(model.phases()) == 2
    if isinstance(model, Translation):
        assert (model.source_shape, model.image_shape) == (data.source_shape, data.image_shape)
    else:
        assert data.image_shape == model.generator.image_shape == (1, 28, 28)


def test_memory_takes_all_of_a_config():
    model, data = configured("R3GAN")
    assert data.batch_size == 64
    assert model.generator.basis.shape == (64, 7, 7)
    assert model.penalties[0].weight(0.0) == 2.0
    assert configured("CGAN")[0].loss.real_code == 1.0


def test_ratios_are_medians_of_rounds_after_the_first(monkeypatch):
    monkeypatch.setattr(training, "seconds", lambda work: work())
    sides = {"ours": iter([9.0, 1.0, 2.0, 3.0]).__next__, "theirs": iter([1.0, 2.0, 10.0, 6.0]).__next__}
    assert training.compared(sides, 3) == ({"theirs": 0.5}, 2.0)
    sides = {"ours": iter([9.0, 3.0]).__next__, "theirs": iter([1.0, 4.0]).__next__}
    assert training.against(sides, 1) == "0.75 of theirs time (3.00 s)"


def test_rows_of_photos_tell_what_was_made():
    """Held are a photo of floats and an output of bytes: 3 + 0.75 MiB, and 0.19 + 0.75."""
    cells = [cell.strip() for cell in photo("ResNetTranslator", 512, 512, 256).split("|")[1:-1]]
    assert cells[:4] == ["ResNetTranslator", "512 x 512", "512 x 512", "256"]
    assert cells[6] == "4"
    assert all(float(cell) >= 0 for cell in cells[4:])
    cells = [cell.strip() for cell in photo("SRResNet", 128, 128, None).split("|")[1:-1]]
    assert (cells[2], cells[3], cells[6]) == ("512 x 512", "none", "1")
