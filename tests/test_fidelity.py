"""The callback that measures pairs: means over images, whatever the batches, processes, precision and sizes."""

import math
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from PIL import Image

from lit_gans.callbacks import Checkpoint
from lit_gans.metrics import PairQuality
from lit_gans.metrics.pairwise import PAIRWISE, compare
from tests.pairs import Translator, fitted, levels, noise, validated


def outputs(model, pairs):
    """8-bit outputs and targets of each pair."""
    with torch.no_grad():
        return [(levels(model.ema(source)), levels(target)) for source, target in pairs]


def test_means_over_images():
    pairs, model = noise(5), Translator()
    found, callback = validated(model, pairs)
    each = [compare(*pair) for pair in outputs(model, pairs)]
    for name in set(PAIRWISE) - {"ms_ssim"}:
        expected = [values[name].item() for values in each]
        assert callback.per_image[name] == expected
        assert found[name] == pytest.approx(np.mean(expected), rel=1e-6)
    assert callback.per_image["place"] == [0, 1, 2, 3, 4]
    whole = compare(*(torch.cat(side, 3) for side in zip(*outputs(model, pairs), strict=True)))
    assert abs(found["psnr"] - whole["psnr"].item()) > 1e-4  # the PSNR of all pixels is another number


def test_batches_do_not_matter():
    found = [validated(Translator(), noise(5), batch_size=size)[0] for size in (1, 2, 5)]
    assert found[0] == found[1] == found[2]


def test_images_of_all_sizes():
    """The border is as wide as the scale; two are large enough for MS-SSIM, one is too small for a window within it."""
    pairs = [*noise(1, size=184, scale=4), *noise(1, size=180, scale=4), *noise(1, size=40, scale=4)]
    model = Translator(scale=4)
    pairs += [(torch.zeros(1, 3, 3, 3), torch.full((1, 3, 12, 12), 0.5))]
    with pytest.warns(UserWarning, match="ms_ssim wants images of at least 176 x 176 pixels: 2 of 4 are counted"):
        found, callback = validated(model, pairs, batch_size=1, callback=PairQuality(shown=0))
    each = [compare(*pair, shave=4) for pair in outputs(model, pairs)]
    assert found["ms_ssim"] == pytest.approx(np.mean([values["ms_ssim"].item() for values in each[:2]]), rel=1e-6)
    assert found["ssim_y"] == pytest.approx(np.mean([values["ssim_y"].item() for values in each[:3]]), rel=1e-6)
    assert callback.per_image["psnr_y"] == [values["psnr_y"].item() for values in each]
    assert math.isnan(callback.per_image["ssim_y"][3])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "ms_ssim")
        validated(model, pairs, batch_size=1, callback=callback)


def bicubic(source, size):
    """Pillow's of 8-bit images."""
    image = Image.fromarray(levels(source)[0].permute(1, 2, 0).numpy())
    return torch.from_numpy(np.array(image.resize(size[::-1], Image.Resampling.BICUBIC))).permute(2, 0, 1)[None]


def test_enlarged_sources_are_measured_too():
    pairs = noise(3, size=32, scale=2)
    found, _ = validated(Translator(scale=2), pairs)
    each = [compare(bicubic(source, (32, 32)), levels(target), shave=2) for source, target in pairs]
    for name in ("psnr", "psnr_y", "ssim", "l1"):
        assert found[f"bicubic_{name}"] == pytest.approx(np.mean([values[name].item() for values in each]), rel=1e-3)
    assert not [name for name in found if name.startswith(("copy", "mean"))]


def test_sources_and_the_mean_are_measured_too():
    pairs, model = noise(4), Translator()
    found, _ = validated(model, pairs)
    with torch.no_grad():
        model.ema.number.zero_()
    copied, _ = validated(model, pairs)
    assert found["copy_psnr"] == copied["psnr"] == copied["copy_psnr"] != found["psnr"]
    assert found["copy_ssim"] == copied["ssim"]
    targets = torch.cat([levels(target) for _, target in pairs]).double()
    mean = targets.mean(0).round().to(torch.uint8).expand(4, -1, -1, -1)
    assert found["mean_psnr"] == pytest.approx(compare(mean, targets.to(torch.uint8))["psnr"].mean().item(), rel=1e-6)
    assert not [name for name in validated(model, pairs, callback=PairQuality(baselines=False))[0] if "copy" in name]


@pytest.mark.parametrize(("channels", "shown"), [(4, 3), (2, 1), (1, 1)])
def test_masks_are_no_part_of_the_copy(channels, shown):
    """Inpainting: an image and its mask; and grey sources of colours."""
    pairs = [(torch.cat([source, torch.ones(1, 1, 16, 16)], 1)[:, -channels:], target) for source, target in noise(2)]
    found, _ = validated(Translator(channels=3 if channels == 4 else 1), pairs) if channels == 4 else (None, None)
    if found is None:
        pairs = [(source[:, :channels], target) for source, target in noise(2)]
        model = Translator(channels=1)
        model.ema.forward = lambda images: images.expand(-1, 3, -1, -1)
        found, _ = validated(model, pairs)
    copies = [source[:, :shown].expand(-1, 3, -1, -1) for source, _ in pairs]
    values = [compare(levels(copy), levels(target)) for copy, (_, target) in zip(copies, pairs, strict=True)]
    assert found["copy_psnr"] == pytest.approx(np.mean([value["psnr"].item() for value in values]), rel=1e-6)


def test_baselines_are_measured_once(monkeypatch):
    calls = []
    callback = PairQuality(shown=0)
    monkeypatch.setattr(
        "lit_gans.metrics.fidelity.Baselines.__call__",
        lambda self, source, real: calls.append(len(real)) or {"copy": levels(source)},
    )
    rows = []

    class Rows(DummyLogger):
        def log_metrics(self, metrics, step=None):
            rows.extend([metrics["val/copy_psnr"]] if "val/copy_psnr" in metrics else [])

    fitted(Translator(), noise(5), callbacks=[callback], logger=Rows(), log_every_n_steps=1)
    assert calls == [2, 2, 1]
    assert len(rows) == 2
    assert rows[0] == rows[1]


def test_lower_precision_is_measured_as_it_came_out():
    """Outputs of bfloat16 are rounded to 8 bits, in full precision from there on."""

    class Half(Translator):
        def validation_step(self, batch, batch_idx):
            found = super().validation_step(batch, batch_idx)
            return found | {"fake": found["fake"].bfloat16()}

    pairs, model, full = noise(3), Half(), Translator()
    model.ema.number, full.ema.number = (torch.nn.Parameter(torch.tensor(0.0975)) for _ in range(2))
    found, callback = validated(model, pairs, precision="bf16-mixed")
    fakes = [(levels(model.ema(source).bfloat16()), levels(target)) for source, target in pairs]
    assert callback.per_image["ssim"] == [compare(*pair)["ssim"].item() for pair in fakes]
    assert found["psnr"] != pytest.approx(validated(full, pairs)[0]["psnr"], rel=1e-6)


def test_the_best_survives_a_resume():
    pairs = noise(5)
    callback, again = PairQuality(shown=0), PairQuality(shown=0)
    whole = fitted(Translator(), pairs, steps=6, callbacks=[callback, Checkpoint()])
    fitted(Translator(), pairs, steps=2, callbacks=[PairQuality(shown=0), Checkpoint()])
    part = fitted(Translator(), pairs, steps=6, callbacks=[again, Checkpoint()], ckpt_path="checkpoints/last.ckpt")
    assert part["best/psnr"] == whole["best/psnr"]
    assert again.state_dict() == callback.state_dict() == {"best_psnr": callback.best_psnr, "validations": 3}


@pytest.mark.parametrize(("monitor", "mode", "best"), [("val/psnr", "max", max), ("val/l1", "min", min)])
def test_the_best_checkpoint_without_fid(monitor, mode, best):
    values = []

    class Journal(Checkpoint):
        def on_validation_end(self, trainer, pl_module):
            values.append((trainer.callback_metrics[monitor].item(), trainer.global_step))
            super().on_validation_end(trainer, pl_module)

    callbacks = [PairQuality(shown=0), Journal(monitor=monitor, mode=mode)]
    fitted(Translator(), noise(5), steps=8, callbacks=callbacks)
    assert len({value for value, _ in values}) > 1
    assert torch.load("checkpoints/best.ckpt", weights_only=True)["global_step"] == best(values)[1]
