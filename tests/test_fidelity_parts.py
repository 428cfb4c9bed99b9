"""Pairs over two processes, their protocols, classes, LPIPS, and the picture of the worst and best."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.strategies import DDPStrategy
from PIL import Image
from torch.nn import functional as F
from torchmetrics.functional.image import lpips as published

from lit_gans.callbacks import Checkpoint
from lit_gans.errors import UserError
from lit_gans.metrics import ImageQuality, PairQuality, SmallClassifier, extremes
from lit_gans.metrics.labels import classes, palette
from lit_gans.metrics.lpips import BACKBONES, LPIPS
from tests.conftest import Noise, same, small_gan, trainer
from tests.pairs import WHOLE, Pairs, PlainPairs, Translator, fitted, from_levels, levels, noise, validated

COLOURS = torch.tensor([[128, 0, 0], [128, 128, 128], [0, 0, 192], [0, 0, 0]], dtype=torch.uint8)


def label_pairs(count, size=16):
    """Targets of blocks in four colours, of which the later are rarer; sources are noise."""
    shares = torch.tensor([4.0, 3.0, 2.0, 1.0])
    generator = torch.Generator().manual_seed(1)
    targets = []
    for _ in range(count):
        number = torch.multinomial(shares, (size // 4) ** 2, True, generator=generator).view(size // 4, size // 4)
        number = number.repeat_interleave(4, 0).repeat_interleave(4, 1)
        targets.append(from_levels(COLOURS[number].permute(2, 0, 1)[None]))
    return [(source, target) for (source, _), target in zip(noise(count, size=size), targets, strict=True)]


class Dump(Checkpoint):
    """Each process writes what it ends with, and the last checkpoint."""

    def __init__(self, world):
        super().__init__(monitor="val/psnr", mode="max")
        self.world = world

    def on_train_end(self, trainer, pl_module):
        super().on_train_end(trainer, pl_module)
        quality = next(callback for callback in trainer.callbacks if isinstance(callback, PairQuality))
        metrics = {
            name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith(("val", "best"))
        }
        torch.save([metrics, quality.per_image, quality.descriptions], f"{self.world}.{trainer.global_rank}.pt")


def ended(world, pairs, batch_size):
    """What each process ended with, and the picture of the extremes."""
    fitted(
        Translator(),
        pairs,
        steps=2,
        batch_size=batch_size,
        callbacks=[PairQuality(miou=True, shown=2), Dump(world)],
        devices=world,
        strategy=DDPStrategy(start_method="fork", process_group_backend="gloo") if world > 1 else "auto",
        precision="64-true",
    )
    (picture,) = Path("samples").iterdir()
    return [torch.load(f"{world}.{rank}.pt", weights_only=True) for rank in range(world)], picture.read_bytes()


@pytest.mark.parametrize("batch_size", [2, 8])
def test_two_processes_equal_one(batch_size):
    """Seven images in whole batches; of eight, the other process has none."""
    ((one,), picture), ((first, second), again) = (ended(world, label_pairs(7), batch_size) for world in (1, 2))
    assert same(first, one)
    assert same(second, one)
    assert {"val/psnr", "val/miou", "val/copy_psnr", "val/mean_miou", "best/psnr"} <= one[0].keys()
    assert len(one[1]["psnr"]) == 7
    assert picture == again


def test_protocols_tell_what_would_not_compare():
    def told(pairs=None, **kwargs):
        fitted(Translator(), pairs or noise(3), callbacks=[PairQuality(**kwargs)], steps=2)
        return json.loads(Path("protocols.json").read_text())["values"]

    first = told()
    assert first.keys() >= {"val/psnr", "val/ssim_y", "val/copy_l1", "val/mean_psnr_y"}
    assert len(set(first.values())) == len(first)
    assert told() == first
    shaved = told(shave=2)
    assert {name for name in first if first[name] != shaved[name]} == {name for name in first if name.endswith("_y")}
    others = told(pairs=noise(3, seed=1))
    assert not {name for name in first if first[name] == others[name]}
    fewer = told(pairs=noise(2))
    assert not {name for name in first if first[name] == fewer[name]}


def test_protocols_of_both_callbacks_are_told():
    class Told(DummyLogger):
        def log_protocols(self, hashes):
            self.hashes = hashes

    class Both(type(small_gan())):
        def validation_step(self, batch, batch_idx):
            found = super().validation_step(batch, batch_idx)
            return found | {"source": found["real"]}

    quality = ImageQuality(features=[SmallClassifier("digits")], n_real=20, n_fake=20)
    log = Told()
    run = trainer(callbacks=[quality, PairQuality(), Checkpoint()], logger=log, val_check_interval=3, **WHOLE)
    run.fit(small_gan(Both, image_shape=(1, 12, 12)), Noise(image_size=12))
    assert (
        {"val/fid", "val/psnr"} <= log.hashes.keys() == json.loads(Path("protocols.json").read_text())["values"].keys()
    )
    assert {"best/fid", "best/of", "best/psnr", "best/psnr_of"} <= run.callback_metrics.keys()


def test_one_image():
    found, _ = validated(Translator(), noise(1), callback=PairQuality())
    assert found["psnr"] > 0
    fitted(Translator(), noise(1), steps=2, callbacks=[PairQuality()])
    assert len(list(Path("samples").iterdir())) == 1


def test_models_without_pairs_are_left_alone():
    _, callback = validated(Translator(), noise(2))
    found, _ = validated(Translator(paired=False), noise(2), callback=callback)
    assert not [name for name in found if "psnr" in name]
    assert callback.per_image == {}
    run = trainer(callbacks=[PairQuality()], **WHOLE)
    run.fit(small_gan(), Noise())
    assert not [name for name in run.callback_metrics if "psnr" in name or "best" in name]


def test_intersection_over_union():
    """Half of the first colour's 8 rows are taken for the second, which has 3: 4 / 8, 3 / (3 + 4), 1 and 1."""
    target = torch.zeros(1, 16, 16, dtype=torch.long)
    target[:, 8:], target[:, 11:], target[:, 13:, :12] = 1, 2, 3
    guess = target.clone()
    guess[:, :4] = 1
    real, fake = (from_levels(COLOURS[number].permute(0, 3, 1, 2)) for number in (target, guess))
    wobble = 8 / 127.5 * torch.rand(fake.shape, generator=torch.Generator().manual_seed(0))

    class Guess(Translator):
        def validation_step(self, batch, batch_idx):
            found = super().validation_step(batch, batch_idx)
            return found | {"fake": (fake + wobble).clamp(-1, 1)[: len(batch.target)]}

    found, callback = validated(Guess(), [(real, real)] * 2, batch_size=1, callback=PairQuality(miou=True))
    assert found["miou"] == pytest.approx((4 / 8 + 3 / 7 + 1 + 1) / 4)
    assert found["copy_miou"] == 1
    assert callback.descriptions["miou"]["colours"].split() == ["800000", "808080", "000000", "0000c0"]


def test_palettes_survive_compression():
    """JPEG gives thousands of colours; each class keeps its own."""
    generator = torch.Generator().manual_seed(0)
    heights = F.interpolate(torch.randn(3, 4, 12, 12, generator=generator), (200, 200), mode="bicubic")
    numbers = (heights + torch.tensor([0.8, 0.4, 0, -0.4]).view(4, 1, 1)).argmax(1)
    images = COLOURS[numbers].permute(0, 3, 1, 2)
    jpegs = torch.stack([torchvision.io.decode_jpeg(torchvision.io.encode_jpeg(image, quality=90)) for image in images])
    assert len(jpegs.transpose(0, 1).flatten(1).T.unique(dim=0)) > 2000
    found = palette([from_levels(jpegs[:2]), from_levels(jpegs[2:])])
    assert len(found) == 4
    assert (found.float() - COLOURS.float()).abs().max() < 4  # the most frequent first
    assert (classes(jpegs, found) == numbers).float().mean() > 0.98


def test_the_random_state_stays():
    states = []
    for callbacks in ([], [PairQuality(miou=True)]):
        torch.manual_seed(0)
        trainer(callbacks=callbacks, max_steps=2, **WHOLE).fit(Translator(), PlainPairs(label_pairs(4)))
        states.append(torch.get_rng_state())
    assert same(*states)


def test_photographs_have_no_palette():
    with pytest.raises(UserError, match="leave --pairs.miou out"):
        validated(Translator(), noise(4, size=64), callback=PairQuality(miou=True))


def staged_backbone(monkeypatch, cache):
    """Random weights in the place of AlexNet's."""
    with torch.device("meta"):
        network = torchvision.models.alexnet(weights=None)
    network.features.to_empty(device="cpu")
    for number, weight in enumerate(network.features.parameters()):
        weight.data = torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)) / 20
    monkeypatch.setitem(BACKBONES, "alex", "alexnet-.pth")  # any digest
    path = cache / "features" / "alexnet-.pth"
    path.parent.mkdir(parents=True)
    torch.save({f"features.{key}": value for key, value in network.features.state_dict().items()}, path)
    return network.features, path


def test_lpips_by_its_formula(monkeypatch, tmp_path):
    """Zhang et al., eq. 1: unit features of five layers, squared differences weighed by channel, means over places."""
    layers, path = staged_backbone(monkeypatch, tmp_path / "cache")
    folder = Path(published.__file__).parent / "lpips_models"
    weights = torch.load(folder / "alex.pth", map_location="cpu", weights_only=True)

    def features(images):
        hidden = (images / 127.5 - 1 - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).view(3, 1, 1)
        for layer in layers[:12]:
            hidden = layer(hidden)
            if isinstance(layer, torch.nn.ReLU):
                yield F.normalize(hidden, dim=1, eps=1e-6)

    pairs, model, expected = noise(3, size=64), Translator(), []
    callback = PairQuality(lpips="alex")
    before = torch.get_rng_state()
    found, _ = validated(model, pairs, callback=callback)
    assert same(before, torch.get_rng_state())
    for source, target in pairs:
        one, other = (levels(images).float() for images in (model.ema(source).detach(), target))
        parts = zip(features(one), features(other), range(5), strict=True)
        terms = [(weights[f"lin{k}.model.1.weight"] * (a - b).square()).sum(1).mean() for a, b, k in parts]
        expected.append(sum(terms).item())
    assert callback.per_image["lpips"] == pytest.approx(expected, rel=1e-3)
    assert found["lpips"] == pytest.approx(np.mean(expected), rel=1e-3)
    assert found["copy_lpips"] < found["mean_lpips"]
    assert callback.descriptions["lpips"]["backbone"] == sha256(path.read_bytes()).hexdigest()
    assert "lpips" not in validated(Translator(), noise(1), callback=PairQuality(lpips="alex"))[0]  # of 16 pixels


def test_lpips_without_weights(tmp_path):
    place = f"{tmp_path}/cache/features/vgg16-397923af.pth"
    with pytest.raises(UserError, match=f"download https://download.pytorch.org/.*vgg16.* to {place}"):
        validated(Translator(), noise(2), callback=PairQuality(lpips="vgg"))
    with pytest.raises(UserError):
        LPIPS("alex")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_worst_and_the_best_are_kept(count):
    """As sorting all would; of equal ones the first are worse."""
    values = [3.0, 1.0, 2.0, 1.0, 5.0, 5.0, float("inf"), 2.0, 0.5, 5.0]
    picked = extremes.Extremes(count)
    for start in range(0, 10, 4):
        part = torch.arange(start, min(start + 4, 10)).view(-1, 1, 1, 1).expand(-1, 3, 4, 4) / 10
        picked.offer(values[start : start + 4], start, part, part, part)
    order = sorted(range(10), key=lambda place: (values[place], place))
    tiles = picked.gather()
    assert tiles.keys() == {*order[:count], *order[-count:]}
    assert all((tile == levels(torch.tensor(place / 10))).all() for place, tile in tiles.items())


def test_the_picture_of_extremes():
    pairs = noise(5, size=48)
    fitted(Translator(), pairs, steps=2, callbacks=[PairQuality(shown=8)])
    (path,) = Path("samples").iterdir()
    assert path.name == "extremes-kimg-000000.004.png"
    picture = np.array(Image.open(path))
    assert picture.shape == (20 + 2 * (192 + 20 + 8) + 8, 2 * 3 * 192 + 3 * 8, 3)  # two of five, not eight twice
    quality = PairQuality(shown=0)
    model = Translator()
    run = trainer(callbacks=[quality], **WHOLE, max_steps=2, val_check_interval=2, check_val_every_n_epoch=None)
    run.fit(model, Pairs(pairs))
    worst = int(np.argmin(quality.per_image["psnr"]))
    with torch.no_grad():
        shown = torch.cat([*(pairs[worst][:1]), model.ema(pairs[worst][0]), pairs[worst][1]], 3)
    enlarged = levels(shown)[0].repeat_interleave(4, 1).repeat_interleave(4, 2).permute(1, 2, 0).numpy()
    assert np.array_equal(picture[28 : 28 + 192, 8 : 8 + 576], enlarged)
