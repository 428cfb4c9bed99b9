"""The page of test images, and grids of models at work."""

import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from PIL import Image

from lit_gans.callbacks import Gallery, SampleGrid
from lit_gans.callbacks.gallery import number
from lit_gans.errors import UserError
from lit_gans.metrics import PairQuality
from tests.conftest import trainer
from tests.pairs import WHOLE, Pairs, PlainPairs, Translator, fitted, levels, noise


class Cells(HTMLParser):
    """The rows of the last table: texts, `data-value`s and sources of images of their cells; and all text."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.text, self.open = [], "", []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "table":
            self.rows = []
        if tag == "tr":
            self.rows.append([])
        if "data-value" in attrs:
            self.rows[-1].append(float(attrs["data-value"]))
        if tag == "img":
            self.rows[-1].append(attrs["src"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def after_test(model, pairs, *, callbacks=None, folder=".", batch_size=2, **kwargs):
    callbacks = [PairQuality(), Gallery()] if callbacks is None else callbacks
    run = trainer(callbacks=callbacks, default_root_dir=folder, **WHOLE, **kwargs)
    run.test(model, Pairs(pairs, batch_size), verbose=False)
    return callbacks[0]


def page(folder="."):
    return Cells(Path(folder, "gallery", "index.html").read_text())


def test_each_image_with_its_values():
    pairs, model = noise(5), Translator()
    quality = after_test(model, pairs)
    _, *rows = page().rows
    with torch.no_grad():
        outputs = [model.ema(source) for source, _ in pairs]
    for place, (row, (source, target), output) in enumerate(zip(rows, pairs, outputs, strict=True)):
        assert row[:4] == [place, *(quality.per_image[name][place] for name in ("psnr", "ssim", "l1"))]
        for path, image in zip(row[4:], (source, output, target), strict=True):
            found = np.array(Image.open(Path("gallery", path)))
            assert np.array_equal(found, levels(image)[0].permute(1, 2, 0).numpy())
    assert "Translator after 0.000 kimg, 5 test images" in page().text


def test_images_of_all_kinds():
    """Low resolution, grey, and with a mask."""
    after_test(Translator(scale=2), noise(2, size=32, scale=2))
    assert [Image.open(Path("gallery", path)).size[0] for path in page().rows[1][4:]] == [16, 32, 32]
    after_test(Translator(channels=1), noise(2, channels=1))
    assert [Image.open(Path("gallery", path)).mode for path in page().rows[1][4:]] == ["L"] * 3
    masked = [(torch.cat([source, torch.ones(1, 1, 16, 16)], 1), target) for source, target in noise(2)]
    after_test(Translator(), masked)
    assert np.array_equal(
        np.array(Image.open(Path("gallery", page().rows[1][4]))), levels(masked[0][0][0, :3]).permute(1, 2, 0).numpy()
    )


def test_without_targets_or_values():
    after_test(Translator(paired=False), noise(3))
    assert [len(row) for row in page().rows[1:]] == [1 + 2] * 3
    after_test(Translator(), noise(3), callbacks=[Gallery(images=2)])
    assert [len(row) for row in page().rows[1:]] == [1 + 3] * 2
    shutil.rmtree("gallery")
    after_test(Translator(), noise(3), callbacks=[Gallery(images=0)])
    assert not Path("gallery").exists()
    with pytest.raises(UserError):
        Gallery(images=-1)


def test_names_are_text():
    folder = "<script>alert('1') & \"$title"
    after_test(Translator(), noise(1), folder=folder)
    text = Path(folder, "gallery", "index.html").read_text()
    assert folder in page(folder).text
    assert text.count("<script>") == 1
    assert "alert" not in page(folder).text.replace(folder, "")
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)  # nothing from elsewhere


def test_a_broken_test_leaves_the_page_before_it():
    class Broken(Translator):
        def test_step(self, batch, batch_idx):
            if batch_idx:
                raise KeyError
            return super().test_step(batch, batch_idx)

    after_test(Translator(), noise(4))
    before = page().rows
    with pytest.raises(KeyError):
        after_test(Broken(), noise(4, seed=1))
    assert page().rows == before
    assert all(Path("gallery", path).exists() for row in before for path in row[4:])
    after_test(Translator(), noise(2))
    assert len(list(Path("gallery").glob("images-*"))) == 1
    assert len(list(Path("gallery").glob("images-*/*"))) == 6


@pytest.mark.parametrize("batch_size", [2, 8])
def test_two_processes_make_one_page(batch_size):
    found = []
    for world in (1, 2):
        after_test(
            Translator(),
            noise(7),
            batch_size=batch_size,
            devices=world,
            strategy=DDPStrategy(start_method="fork", process_group_backend="gloo") if world > 1 else "auto",
        )
        text = Path("gallery", "index.html").read_text()
        files = sorted(Path("gallery").glob("images-*/*"))
        found.append((re.sub("images-[0-9a-f]{8}", "", text), [path.read_bytes() for path in files]))
    assert len(found[0][1]) == 21
    assert found[0] == found[1]


def test_numbers_that_are_none():
    assert number(math.inf, 2) == '<td data-value="Infinity">inf</td>'
    assert 'data-value="NaN">–' in number(math.nan, 2)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_sorting_in_a_browser(tmp_path):
    """Clicks once on PSNR and twice on L1; an image without a value stays last."""
    quality = after_test(Translator(), noise(5))
    text = Path("gallery", "index.html").read_text()
    psnr, l1 = quality.per_image["psnr"], quality.per_image["l1"]
    text = text.replace(f'data-value="{psnr[0]!r}"', 'data-value="NaN"')
    for clicks, values, reverse in (([1], [math.inf, *psnr[1:]], False), ([3, 3], l1, True)):
        buttons = "".join(f"document.querySelectorAll('#images button')[{click}].click();" for click in clicks)
        Path("clicked.html").write_text(text.replace("</body>", f"<script>{buttons}</script></body>"))
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
        shown = subprocess.run([*command, "--dump-dom", Path("clicked.html").absolute().as_uri()], capture_output=True)
        order = [int(row[0]) for row in Cells(shown.stdout.decode().replace("<br>", "")).rows[1:]]
        assert order == sorted(range(5), key=values.__getitem__, reverse=reverse)


def grids(model, pairs, *, callback=None, **kwargs):
    """The pictures of a run, as levels (H, W, 3), by name."""
    fitted(model, pairs, callbacks=[callback or SampleGrid(rows=2, columns=3)], **kwargs)
    return {path.name: np.array(Image.open(path)) for path in sorted(Path("samples").iterdir())}


def tiles(picture, size, columns):
    """The images of a grid, row by row."""
    inner = picture[2:, 2:]
    rows = [inner[top : top + size] for top in range(0, len(inner), size + 2)]
    return [row[:, left : left + size] for row in rows for left in range(0, columns * (size + 2), size + 2)]


def test_the_same_images_at_work_over_time():
    pairs, model = noise(5, size=64), Translator()
    found = grids(model, pairs)
    assert list(found) == ["kimg-000000.000.png", "kimg-000000.004.png", "kimg-000000.008.png"]
    first, _, last = (tiles(picture, 64, 3) for picture in found.values())
    shown = [levels(image)[0].permute(1, 2, 0).numpy() for pair in (pairs[0], pairs[2]) for image in pair]
    for picture in (first, last):
        sources_and_targets = [picture[k] for k in (0, 2, 3, 5)]
        assert all(np.array_equal(one, other) for one, other in zip(sources_and_targets, shown, strict=True))
    with torch.no_grad():
        fake = levels(model.ema(pairs[2][0]))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(last[4], fake)
    assert not np.array_equal(first[4], fake)


def test_images_at_work_of_all_kinds():
    """Low resolution is enlarged, grey repeated, a mask left out, of a large image the middle shown; no target."""
    pairs = noise(1, size=128, scale=4)
    one, _, _ = tiles(next(iter(grids(Translator(scale=4), pairs).values())), 128, 3)
    assert np.array_equal(one, levels(pairs[0][0])[0].permute(1, 2, 0).numpy().repeat(4, 0).repeat(4, 1))
    pairs = [(source[:, :1].repeat(1, 2, 1, 1), target[:, :1]) for source, target in noise(1, size=64, seed=1)]
    one, _, _ = tiles(grids(Translator(channels=1), pairs)["kimg-000000.004.png"], 64, 3)
    assert np.array_equal(one, levels(pairs[0][0])[0, :1].repeat(3, 1, 1).permute(1, 2, 0).numpy())
    pairs = noise(1, size=300)
    _, _, one = tiles(grids(Translator(), pairs, batch_size=1)["kimg-000000.000.png"], 256, 3)
    assert np.array_equal(one, levels(pairs[0][1])[0, :, 22:278, 22:278].permute(1, 2, 0).numpy())
    unpaired = grids(Translator(paired=False), noise(3, size=64), callback=SampleGrid(rows=1, columns=5))
    assert unpaired["kimg-000000.004.png"].shape == (2 + 66, 2 + 4 * 66, 3)


def test_photographs_of_two_sizes_share_a_grid():
    pairs = [*noise(1, size=64, scale=2), *noise(1, size=100, scale=2)]
    picture = grids(Translator(scale=2), pairs, batch_size=1)["kimg-000000.000.png"]
    small, large = (tiles(picture, 100, 3)[k] for k in (2, 5))
    assert np.array_equal(large, levels(pairs[1][1])[0].permute(1, 2, 0).numpy())
    assert np.array_equal(small[18:82, 18:82], levels(pairs[0][1])[0].permute(1, 2, 0).numpy())
    assert (small[:18] == 255).all()


def test_two_processes_draw_one_grid():
    strategy = DDPStrategy(start_method="fork", process_group_backend="gloo")
    one, two = (
        grids(Translator(), noise(5, size=64), callback=SampleGrid(columns=3), precision="64-true", **more)
        for more in ({}, {"devices": 2, "strategy": strategy})
    )
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_any_loader_and_the_random_state():
    states = []
    for callbacks in ([], [SampleGrid(rows=2, columns=3)]):
        torch.manual_seed(0)
        trainer(callbacks=callbacks, max_steps=1).fit(Translator(), PlainPairs(noise(3, size=64)))
        states.append(torch.get_rng_state())
    assert len(list(Path("samples").iterdir())) == 2
    assert torch.equal(*states)
