"""The small perceptual network that is shipped: its file, its maps, what its distances are good for, its models."""

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F
from torchvision.transforms.v2.functional import gaussian_blur

import lit_gans
from datamodules.photographs import MOTIFS, patches, photographs
from lit_gans import perceptual
from lit_gans.callbacks import Checkpoint
from lit_gans.cli import main
from lit_gans.errors import UserError
from lit_gans.loading import read_checkpoint
from lit_gans.networks import StyleTranslator
from lit_gans.perceptual import SMALL, SmallFeatures, SmallNetwork, content_loss, style_loss
from tests.commands import QUIET
from tests.conftest import trainer
from tests.translation import data_for, translator

PHOTOGRAPHS = patches([photographs()[motif] for motif in MOTIFS], "test", 34) / 127.5 - 1
"""Of the columns that the network has not seen."""


def by_hand(images):
    """The maps, from the file alone."""
    with safe_open(SMALL, "pt") as file:
        weights = {key: file.get_tensor(key) for key in sorted(file.keys())}
    features, maps = images, []
    for stage in range(3):
        weight, bias = (weights[f"convolutions.{stage}.{part}"] for part in ("weight", "bias"))
        features = F.conv2d(features, weight, bias, padding=1).clamp(min=0)
        features = features / torch.sqrt(0.1 + (features**2).sum(1, keepdim=True) / features.shape[1])
        maps.append(features)
        features = features.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))
    return maps


def test_the_maps():
    images = PHOTOGRAPHS[:3, :, :24, :16]
    found = SmallFeatures()(images)
    for ours, theirs in zip(found, by_hand(images), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert [tuple(features.shape[1:]) for features in found] == [(16, 24, 16), (32, 12, 8), (64, 6, 4)]
    sizes = [features.square().mean() for features in SmallFeatures()(PHOTOGRAPHS)]
    assert all(0.3 < size < 1 for size in sizes)
    grey = images[:, :1]
    assert all(map(torch.equal, SmallFeatures()(grey), SmallFeatures()(grey.repeat(1, 3, 1, 1))))


def test_the_file(tmp_path, monkeypatch):
    assert SMALL.stat().st_size < 300_000
    content = bytearray(SMALL.read_bytes())
    content[-5] ^= 1
    (tmp_path / "small.safetensors").write_bytes(content)
    monkeypatch.setattr(perceptual, "SMALL", tmp_path / "small.safetensors")
    with pytest.raises(UserError, match="not the published file"):
        SmallFeatures().prepare()


def test_frozen_hidden_and_nothing_drawn():
    state, images = torch.get_rng_state(), PHOTOGRAPHS[:2].clone().requires_grad_()
    eyes = SmallFeatures().train()
    content_loss(eyes(images), eyes(PHOTOGRAPHS[2:4])).backward()
    assert torch.equal(torch.get_rng_state(), state)
    assert (images.grad != 0).float().mean() > 0.99
    assert [*eyes.state_dict(), *eyes.parameters(), *eyes.buffers()] == []
    assert not any(parameter.requires_grad for parameter in eyes._made[0].parameters())


def test_flat_images_have_finite_gradients():
    images = torch.full((1, 3, 8, 8), -1.0, requires_grad=True)
    eyes = SmallFeatures()
    maps = eyes(images)
    (content_loss(maps, eyes(PHOTOGRAPHS[:1, :, :8, :8])) + style_loss(maps, eyes(-images.detach()))).backward()
    assert images.grad.isfinite().all()
    assert images.grad.abs().max() > 0


def distances(eyes, ours, theirs):
    return torch.stack([content_loss(eyes(x), eyes(y)) for x, y in zip(ours.split(1), theirs.split(1), strict=True)])


def test_a_shift_costs_less_than_a_blur():
    """Less than half in the median, where by pixels and by an untrained network it costs more."""
    whole, shifted = PHOTOGRAPHS[:, :, 1:-1, 1:-1], PHOTOGRAPHS[:, :, 1:-1, 2:]
    blurred = gaussian_blur(whole, [9, 9], [1.0, 1.0])
    torch.manual_seed(0)

    @torch.inference_mode()
    def share(eyes):
        return (distances(eyes, shifted, whole) / distances(eyes, blurred, whole)).median()

    assert share(SmallFeatures()) < 0.5
    assert share(lambda images: [images]) > 2
    assert share(SmallNetwork()) > 1.5


def test_wrong_images():
    with pytest.raises(UserError, match="images of 3x9 are too small for SmallFeatures: use 4 pixels or more"):
        SmallFeatures()(torch.zeros(1, 3, 3, 9))
    with pytest.raises(UserError, match="SmallFeatures sees images of 1 or 3 channels, not of 2"):
        SmallFeatures()(torch.zeros(1, 2, 8, 8))
    assert SmallFeatures()(torch.zeros(1, 3, 5, 7))[2].shape == (1, 64, 1, 1)


MODELS = {
    "SRGAN": ({}, {"perceptual_small"}),
    "ESRGAN": ({}, {"perceptual_small"}),
    "StyleTransferGAN": (
        {"generator": partial(StyleTranslator, blocks=1, width=4), "style_weight": 1.0},
        {"content_small", "style_small"},
    ),
}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", MODELS)
def test_models_that_look_through_it(name, precision):
    """The network is in the names of its terms, and in no checkpoint."""
    arguments, terms = MODELS[name]
    model, data = translator(name, perceptual=SmallFeatures(), **arguments), data_for(name)
    trainer(max_steps=2, log_every_n_steps=1, precision=precision, callbacks=[Checkpoint()]).fit(model, data)
    assert {key for key in model.row() if "_small" in key} == {f"generator/{term}" for term in terms}
    saved = torch.load("checkpoints/last.ckpt", weights_only=True)
    assert not any("perceptual" in key for key in saved["state_dict"])
    loaded = lit_gans.load("checkpoints/last.ckpt")
    assert loaded.hparams["perceptual"] == {"class_path": "lit_gans.perceptual.SmallFeatures", "init_args": {}}
    batch = next(iter(data.train_dataloader()))
    torch.manual_seed(0)
    expected = {key: value.item() for key, value in model.generator_loss(batch).items()}
    assert {key: value.item() for key, value in loaded.generator_loss(batch).items()} == pytest.approx(expected)


def test_bfloat16_is_near():
    eyes, blurred = SmallFeatures(), gaussian_blur(PHOTOGRAPHS, [9, 9], [1.0, 1.0])
    exact = content_loss(eyes(blurred), eyes(PHOTOGRAPHS))
    with torch.autocast("cpu", torch.bfloat16):
        maps = eyes(blurred)
        rough = content_loss(maps, eyes(PHOTOGRAPHS))
    assert {features.dtype for features in maps} == {torch.float32}
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0)


CONFIG = """
model:
  class_path: SRGAN
  init_args:
    generator: {class_path: SRResNet, init_args: {blocks: 0}}
    discriminator: {class_path: PatchDiscriminator, init_args: {receptive_field: 16}}
    perceptual: SmallFeatures
data: {class_path: SuperResolution, init_args: {crop: 16}}
metrics: {features: []}
trainer: {accelerator: cpu, max_steps: 1, limit_val_batches: 0}
"""


def test_in_a_config():
    Path("small.yaml").write_text(CONFIG)
    main(["fit", "--config=small.yaml", "--run_dir=run", *QUIET])
    assert "generator/perceptual_small" in read_checkpoint("run/checkpoints/last.ckpt")["row"]
    assert isinstance(lit_gans.load("run").perceptual, SmallFeatures)
