"""Frozen networks and the losses on what they see; weights are random ones in the published files' form."""

import copy
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F
from torchvision.models.vgg import VGG, make_layers

import lit_gans
from lit_gans import perceptual
from lit_gans.callbacks import Checkpoint
from lit_gans.cli import main
from lit_gans.errors import UserError
from lit_gans.files import cache_dir
from lit_gans.metrics.staging import sha256_of
from lit_gans.perceptual import PerceptualNetwork, VGGFeatures, content_loss, prepare_perceptual, style_loss
from tests.commands import QUIET, fails
from tests.conftest import trainer
from tests.translation import data_for, translator

# Two convolutions, then two, then four: as the first blocks of VGG-19, but narrow.
NARROW = [3, 3, "M", 4, 4, "M", 5, 5, 5, 5, "M"]


def narrow():
    return VGG(make_layers(NARROW), num_classes=2)


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Stages a narrow VGG-19 under its published name; gives its path and weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    torch.manual_seed(0)
    layers = make_layers(NARROW)
    for parameter in layers.parameters():
        nn.init.normal_(parameter, 0.1, 0.4)
    state = {f"features.{key}": value for key, value in layers.state_dict().items()}
    folder = cache_dir() / "features"
    folder.mkdir(parents=True)
    torch.save(state | {"classifier.0.bias": torch.zeros(2)}, folder / "new.pth")
    name = f"vgg19-{sha256_of(folder / 'new.pth')[:8]}.pth"
    monkeypatch.setitem(perceptual.MODELS, "vgg19", (narrow, f"https://example.org/models/{name}"))
    return (folder / "new.pth").rename(folder / name), state


def by_hand(state, images):
    """All maps by their names; layers of the file are counted with activations and poolings."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    features = (images.expand(-1, 3, -1, -1) / 2 + 0.5 - mean[:, None, None]) / std[:, None, None]
    maps = {}
    blocks = [(1, [0, 2]), (2, [5, 7]), (3, [10, 12, 14, 16])]
    for block, indices in blocks:
        for place, index in enumerate(indices, start=1):
            weight, bias = (state[f"features.{index}.{part}"] for part in ("weight", "bias"))
            maps[f"conv{block}_{place}"] = F.conv2d(features, weight, bias, padding=1)
            features = maps[f"relu{block}_{place}"] = maps[f"conv{block}_{place}"].clamp(min=0)
        features = maps[f"pool{block}"] = F.max_pool2d(features, 2)
    return maps


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_by_their_names(published, channels):
    _, state = published
    images = torch.rand(2, channels, 16, 24) * 2 - 1
    expected = by_hand(state, images)
    layers = ["relu2_1", "conv1_2", "relu1_2", "conv3_4", "pool1", "relu3_4", "conv1_1"]
    network = VGGFeatures(layers)
    assert network.name == "vgg19"
    found = network(images)
    assert len(found) == len(layers)
    for name, features in zip(layers, found, strict=True):
        torch.testing.assert_close(features, expected[name])
    assert (expected["conv3_4"] < 0).any()
    (scaled,) = VGGFeatures(["relu3_4"], scale=1 / 12.75)(images)
    torch.testing.assert_close(scaled, expected["relu3_4"] / 12.75)


def test_only_needed_layers_are_kept(published):
    network = VGGFeatures(["relu2_1", "relu1_1"])
    network.prepare()
    names = [name for name, _ in network._made[0].layers.named_children()]
    assert names == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1", "relu2_1"]


@pytest.mark.parametrize(
    ("model", "index"),
    [
        (
            "vgg19",
            {"relu1_1": 1, "relu3_1": 11, "relu4_1": 20, "conv5_4": 34, "relu5_4": 35, "pool5": 36},
        ),
        ("vgg16", {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "conv5_3": 28, "pool5": 30}),
    ],
)
def test_the_published_networks_have_these_layers(model, index):
    _, url = perceptual.MODELS[model]
    digest = {"vgg19": "dcbb9e9d", "vgg16": "397923af"}[model]
    assert url == f"https://download.pytorch.org/models/{model}-{digest}.pth"
    names = [name for name, _ in perceptual._without_weights(model).named_children()]
    assert {name: names.index(name) for name in index} == index
    assert len(names) == index["pool5"] + 1


def test_gradients_reach_images_and_nothing_else(published):
    holder = nn.ModuleDict({"eyes": VGGFeatures(["conv3_4"]), "own": nn.Conv2d(3, 3, 1)})
    images = torch.randn(1, 3, 8, 8, requires_grad=True)
    holder.train()
    maps = holder["eyes"](holder["own"](images))
    content_loss(maps, [torch.zeros_like(maps[0])]).backward()
    assert images.grad.abs().max() > 0
    frozen = [*holder["eyes"]._made[0].parameters()]
    assert len(frozen) == 16
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in frozen)
    assert not holder["eyes"]._made[0].training


def test_the_network_is_in_no_checkpoint_but_moves(published):
    holder = nn.ModuleDict({"eyes": VGGFeatures(["relu1_1"]), "own": nn.Conv2d(3, 3, 1)})
    prepare_perceptual(holder)
    assert set(holder.state_dict()) == {"own.weight", "own.bias"}
    assert [*holder.buffers()] == []
    holder.load_state_dict(holder.state_dict())
    twin, images = copy.deepcopy(holder), torch.randn(1, 3, 8, 8)
    assert twin["eyes"](images)[0].equal(holder["eyes"](images)[0])
    assert holder.double()["eyes"](images.double())[0].dtype == torch.double
    assert twin["eyes"](images)[0].dtype == torch.float32
    assert holder.to("meta")["eyes"](torch.empty(1, 3, 8, 8, device="meta"))[0].is_meta


def test_a_network_that_is_made_late_goes_where_the_images_are(published):
    images = torch.randn(1, 3, 8, 8)
    expected = VGGFeatures(["relu1_1"])(images)[0]
    torch.testing.assert_close(VGGFeatures(["relu1_1"]).to("meta")(images)[0], expected)
    torch.testing.assert_close(VGGFeatures(["relu1_1"])(images.double())[0].float(), expected)
    low = VGGFeatures(["relu1_1"])
    with torch.autocast("cpu", torch.bfloat16):
        assert low(images.bfloat16())[0].dtype == torch.bfloat16
    assert low(images)[0].equal(expected)


def test_nothing_is_drawn(published):
    state = torch.get_rng_state()
    VGGFeatures(["relu1_1"]).prepare()
    assert torch.equal(torch.get_rng_state(), state)


def test_missing_weights_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("lit_gans.metrics.staging.urlopen", lambda *args, **kwargs: pytest.fail("asked the network"))
    url, place = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", cache_dir() / "features/vgg19-dcbb9e9d.pth"
    with pytest.raises(UserError, match="weights vgg19-dcbb9e9d.pth are needed") as caught:
        VGGFeatures().prepare()
    assert f"download {url} to {place}, or choose another perceptual network, such as SmallF" in str(caught.value)
    with pytest.raises(UserError, match="no file of vgg16 weights at nowhere.pth"):
        VGGFeatures(model="vgg16", layers=["relu1_1"], weights="nowhere.pth").prepare()


def test_other_files_are_refused(published, monkeypatch):
    path, state = published
    other = path.with_name("other.pth")
    for content, reason in [
        ({key: value for key, value in state.items() if "16" not in key}, "features.16.weight"),
        (state | {"features.2.weight": torch.zeros(3, 4, 3, 3)}, "size mismatch|loading state_dict"),
        (Path("."), "weights_only|Unsupported|WeightsUnpickler|Weights only"),
    ]:
        torch.save(content, other)
        with pytest.raises(UserError, match=rf"other.pth does not hold weights of vgg19: .*({reason})") as caught:
            VGGFeatures(["relu1_1"], weights=str(other)).prepare()
        assert "\n" not in str(caught.value)
    VGGFeatures(["relu1_1"], weights=str(path)).prepare()
    path.write_bytes(b"half")
    with pytest.raises(UserError, match="is damaged or another file"):
        VGGFeatures(["relu1_1"]).prepare()


def test_a_trained_model_comes_back_without_the_weights(published):
    path, _ = published
    eyes = VGGFeatures(["relu2_1", "conv1_2"], scale=0.5)
    model = translator("SRGAN", perceptual=eyes)
    trainer(max_steps=1, callbacks=[Checkpoint()]).fit(model, data_for("SRGAN"))
    source = torch.rand(1, 3, 4, 4)
    path.unlink()
    loaded = lit_gans.load("checkpoints/last.ckpt")
    assert loaded.translate(source).equal(model.translate(source))
    assert loaded.hparams == model.hparams
    perceptual = loaded.hparams["perceptual"]["init_args"]
    assert perceptual == {"layers": ["relu2_1", "conv1_2"], "model": "vgg19", "scale": 0.5, "weights": None}
    assert loaded.perceptual.make.args == eyes.make.args
    moves, loaded.after_step = [], lambda player: moves.append(player)
    trainer(max_steps=0, limit_val_batches=1).validate(loaded, data_for("SRGAN"), verbose=False)
    with pytest.raises(UserError, match="weights vgg19-.*.pth are needed"):
        trainer(max_steps=1).fit(loaded, data_for("SRGAN"))
    assert moves == []


def test_on_the_command_line(published, capsys):
    path, _ = published
    fit = ["fit", "--model=SRGAN", "--model.generator=SRResNet", "--model.generator.blocks=0", "--data=SuperResolution"]
    fit += ["--model.discriminator=PatchDiscriminator", "--model.discriminator.receptive_field=16", "--data.crop=16"]
    fit += ["--model.perceptual=VGGFeatures", "--model.perceptual.layers=[relu2_1, conv1_2]", "--metrics.features=[]"]
    fit += [
        "--trainer.max_steps=1",
        "--trainer.limit_val_batches=0",
        "--trainer.accelerator=cpu",
        "--run_dir=run",
        *QUIET,
    ]
    aside = path.rename(path.with_suffix(".aside"))
    assert "or choose another perceptual network" in fails(fit, capsys)
    assert not Path("run").exists()
    aside.rename(path)
    main(fit)
    path.unlink()
    assert lit_gans.load("run").perceptual.layers == ("relu2_1", "conv1_2")
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["model"]["init_args"]["perceptual"]["init_args"]["layers"] == ["relu2_1", "conv1_2"]


def test_wrong_arguments_and_images(published):
    with pytest.raises(UserError, match="vgg19 has no layer relu9_1: choose among conv1_1, relu1_1, conv1_2"):
        VGGFeatures(["relu9_1"])
    with pytest.raises(UserError, match="number_of_layers must be at least 1, not 0"):
        VGGFeatures([])
    with pytest.raises(UserError, match="model must be one of vgg16, vgg19, not vgg11"):
        VGGFeatures(model="vgg11")
    network = VGGFeatures(["relu3_1"])
    assert network(torch.zeros(1, 3, 4, 9))[0].shape == (1, 5, 1, 2)
    with pytest.raises(UserError, match="images of 9x3 are too small for VGG: use 4 pixels or more"):
        network(torch.zeros(1, 3, 9, 3))
    with pytest.raises(UserError, match="1 or 3 channels, not of 4"):
        network(torch.zeros(1, 4, 8, 8))


def test_any_module_can_look(published):
    class Eyes(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(1, 2, 3)

        def forward(self, images):
            return [images, self.convolution(images)]

    network = PerceptualNetwork("own", Eyes)
    images = torch.randn(2, 1, 8, 8)
    assert network.name == "own"
    assert [tuple(features.shape) for features in network(images)] == [(2, 1, 8, 8), (2, 2, 6, 6)]
    assert content_loss(network(images), network(images)) == 0
    data = data_for("StyleTransferGAN")
    model = translator("StyleTransferGAN", perceptual=PerceptualNetwork("own", nn.Identity))
    trainer(max_steps=1, callbacks=[Checkpoint()]).fit(model, data)
    with pytest.raises(UserError, match="names the class torch.nn.modules.linear.Identity, .* pass it in Python"):
        lit_gans.load("checkpoints/last.ckpt")
    given = PerceptualNetwork("own", nn.Identity)
    assert lit_gans.load("checkpoints/last.ckpt", perceptual=given).perceptual is given


def test_content_loss_by_hand():
    found = [torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0]]], [[[2.0]]]])]
    wanted = [torch.tensor([[[[0.0, 0.0]]]]), torch.tensor([[[[2.0]]], [[[6.0]]]])]
    assert content_loss(found, wanted) == (1 + 9) / 2 + 16 / 2
    assert content_loss(found, wanted, F.l1_loss) == (1 + 3) / 2 + 4 / 2
    low = [[features.bfloat16() for features in maps] for maps in (found, wanted)]
    assert content_loss(*low).dtype == torch.float32
    with pytest.raises(ValueError, match="shorter"):
        content_loss(found, wanted[:1])


def test_style_loss_by_hand():
    """Maps of two places a and b: mean (a + b) / 2, unbiased variance (a - b)^2 / 2."""
    found = [torch.tensor([[[[1.0, 3.0]], [[0.0, 4.0]]]]), torch.tensor([[[[5.0, 5.0]]]])]
    style = [torch.tensor([[[[2.0, 6.0]], [[8.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0]]]])]
    means = (2 - 4) ** 2 / 2 + (2 - 4) ** 2 / 2 + (5 - 1) ** 2
    deviations = ((2**0.5 - 8**0.5) ** 2 + (8**0.5 - 32**0.5) ** 2) / 2
    assert style_loss(found, style).item() == pytest.approx(means + deviations, rel=1e-4)
    assert style_loss(style, style) == 0
    mirrored = [features.flip(3) for features in style]
    assert style_loss(mirrored, style) == 0  # places do not count
    both = [features.repeat(3, 1, 1, 1) for features in found]
    torch.testing.assert_close(style_loss(both, style), style_loss(found, style))
