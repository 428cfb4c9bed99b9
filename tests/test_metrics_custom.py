"""Networks of one's own as feature networks."""

import pytest
import torch
from torch import nn

from lit_gans.errors import UserError
from lit_gans.files import cache_dir
from lit_gans.metrics import CustomFeatures, ImageQuality
from lit_gans.randomness import keyed_generator
from tests.test_metrics import ToyData, ToyGAN, trainer_of


class Moments(nn.Module):
    """Scaled mean and spread of the levels; as logits too, if asked for."""

    def __init__(self, *, scale: float = 1.0, logits: bool = True) -> None:
        super().__init__()
        self.scale, self.logits = nn.Parameter(torch.tensor(scale, dtype=torch.float64)), logits
        self.noise = nn.Dropout(0.5)

    def forward(self, images):
        flat = images.flatten(1)
        both = self.noise(self.scale * torch.stack([flat.mean(1), flat.std(1)], 1))
        return (both, both @ both.new_ones(2, 3)) if self.logits else both


def test_an_own_module_is_frozen_and_reads_256_levels():
    network = CustomFeatures(Moments(scale=2.0).train(), (1, 8, 8))
    network.train()
    assert (network.name, network.num_features, network.num_classes, network.resize) == ("moments", 2, 3, "own")
    (scale,) = network.parameters()
    assert (scale.dtype, scale.requires_grad) == (torch.float32, False)
    images = torch.randint(0, 256, (4, 1, 8, 8), generator=keyed_generator("levels")) / 127.5 - 1
    features, logits = network(images + 0.4 / 127.5)
    torch.testing.assert_close(features, 2 * torch.stack([images.mean((1, 2, 3)), images.flatten(1).std(1)], 1))
    assert (features.dtype, logits.dtype, logits.shape) == (torch.float32, torch.float32, (4, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(images + 0.4 / 127.5)[1], logits)
    plain = CustomFeatures(Moments(scale=2.0, logits=False), (1, 8, 8))
    assert torch.equal(plain(images)[0], features)
    assert (plain.num_classes, plain(images)[1].shape) == (0, (4, 0))


class Largest(nn.Module):
    def forward(self, images):
        return images.amax((2, 3))


class Smallest(nn.Module):
    def forward(self, images):
        return images.amin((2, 3))


def test_an_own_module_without_weights_is_known_by_its_code():
    assert CustomFeatures(Largest(), (1, 8, 8)).sha256 != CustomFeatures(Smallest(), (1, 8, 8)).sha256


def test_an_own_module_is_known_by_its_weights():
    digests = [CustomFeatures(Moments(scale=scale), (1, 8, 8)).sha256 for scale in (1.0, 1.0, 2.0)]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64
    flat = CustomFeatures(type("_Flat2D_Ä", (nn.Flatten,), {})(), (2, 3, 3))
    assert (flat.name, flat.num_features) == ("flat2d", 18)
    assert CustomFeatures(type("Ä", (nn.Flatten,), {})(), (2, 3, 3)).name == "own"


WRONG = {
    "torch.float32 (2, 1, 8, 8)": lambda images: images,
    "torch.int64 (2, 64)": lambda images: images.flatten(1).long(),
    "torch.float32 (1, 64)": lambda images: images.flatten(1)[:1],
    "dict": lambda images: {"features": images.flatten(1)},
    "torch.float32 (2, 64), torch.float32 (2,)": lambda images: (images.flatten(1), images.mean((1, 2, 3))),
    "NoneType, NoneType, NoneType": lambda images: (None, None, None),
}


@pytest.mark.parametrize("given", WRONG)
def test_what_an_own_module_must_not_give(given):
    module = type("Wrong", (nn.Module,), {"forward": lambda self, images: WRONG[given](images)})()
    with pytest.raises(UserError) as caught:
        CustomFeatures(module, (1, 8, 8))
    assert str(caught.value) == f"wrong: features are floats (N, F), alone or with logits (N, K), not {given}"


class Careless(nn.Module):
    def forward(self, images):
        return images.flatten(1) + torch.rand(1)


def test_an_own_module_moves_no_random_state():
    state = torch.get_rng_state()
    CustomFeatures(Careless(), (1, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)


def test_own_modules_measure_an_image_quality():
    quality = ImageQuality(features=[Moments()], n_real=150, n_fake=100)
    trainer = trainer_of(quality)
    trainer.validate(ToyGAN(), ToyData(), verbose=False)
    assert trainer.callback_metrics["val/fid"] == trainer.callback_metrics["val/fid_moments"] > 0
    description = quality.descriptions["fid"]
    assert (description["features"], description["resize"]) == ("moments", "own")
    assert description["sha256"] == CustomFeatures(Moments(), (1, 8, 8)).sha256
    assert not cache_dir().exists()  # the module's code may change, and the hash of its weights would not


def test_without_logits_there_is_no_inception_score():
    trainer = trainer_of(ImageQuality(features=[Moments(logits=False)], n_real=150, n_fake=100))
    trainer.validate(ToyGAN(), ToyData(), verbose=False)
    assert trainer.callback_metrics.keys() == {"val/fid", "val/fid_moments"}
