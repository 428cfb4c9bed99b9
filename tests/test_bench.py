"""The plain loops of the benchmark do what our training does, so that their times can be compared."""

import copy
from itertools import islice

import pytest
import torch

from datamodules import Labelled
from experiments.bench.fitting import Noise
from experiments.bench.memory import VARIANTS, configured
from experiments.bench.training import PAIRS
from tests.conftest import trainer


def recorded(model):
    """All numbers that the model draws from now on."""
    numbers, draw = [], model.draw

    def recording(sampler, purpose, *shape):
        numbers.append(draw(sampler, purpose, *shape))
        return numbers[-1]

    model.draw = recording
    return numbers


def passes(model):
    """The number of images in each pass of either network from now on, in order."""
    judged = []
    for name in ("generator", "discriminator"):
        network = getattr(model, name)
        network.register_forward_hook(lambda module, inputs, output, name=name: judged.append((name, len(inputs[0]))))
    return judged


@pytest.mark.parametrize("name", PAIRS)
def test_plain_loops_have_our_arithmetic(name):
    """In float64 both sides, drawing the same numbers, end with the same weights, statistics and average."""
    torch.manual_seed(0)
    steps, data = 6, Noise(image_size=8, batch_size=4)  # on the sixth batch SNGAN's generator moves again
    data.setup()
    batches = [Labelled(batch.image.double(), batch.label) for batch in islice(data.train_dataloader(), steps)]
    model = PAIRS[name].model(image_shape=data.image_shape, num_classes=data.num_classes)
    plain = copy.deepcopy(model).double()
    before = copy.deepcopy(plain.state_dict())
    numbers, our_passes, plain_passes = recorded(model), passes(model), passes(plain)
    trainer(max_steps=steps, precision="64-true").fit(model, data)

    def draw(sampler, *shape):
        drawn = numbers.pop(0)
        assert drawn.shape == shape
        return drawn

    PAIRS[name].loop(plain, batches, draw)
    assert not numbers
    assert sorted(our_passes) == sorted(plain_passes)
    ours, theirs = model.state_dict(), plain.state_dict()
    torch.testing.assert_close(dict(ours), dict(theirs), rtol=0, atol=1e-10)
    for part in ("generator.", "discriminator.", "ema."):
        moved = [not torch.equal(before[key], theirs[key]) for key in theirs if key.startswith(part)]
        assert sum(moved) > len(moved) / 2


@pytest.mark.parametrize("name", VARIANTS)
def test_memory_is_measured_on_the_configs_for_mnist(name):
    model, data = configured(name)
    assert type(model).__name__ == name
    assert data.image_shape == model.generator.image_shape == (1, 28, 28)


def test_memory_takes_all_of_a_config():
    model, data = configured("R3GAN")
    assert data.batch_size == 64
    assert model.generator.basis.shape == (64, 7, 7)
    assert model.penalties[0].weight(0.0) == 2.0
    assert configured("CGAN")[0].loss.real_code == 1.0
