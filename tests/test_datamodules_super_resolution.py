"""Small copies of photographs: MATLAB's resize, squares that lie at the same place, whole photos for test."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import SuperResolution
from datamodules.bicubic import matlab_bicubic
from lit_gans.errors import UserError

SHAPES = [(61, 83), (50, 48), (49, 100)]


def write(folder, count=3, shapes=SHAPES):
    """Photos of noise on smooth colours, the first of which has bytes of all values."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(count):
        height, width = shapes[number % len(shapes)]
        smooth = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((width, height))
        noise = random.integers(-60, 60, (height, width, 3))
        Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


def read(path):
    return np.asarray(Image.open(path)).transpose(2, 0, 1)


def levels(images):
    return ((images + 1) * 127.5).round().to(torch.uint8)


def keys(x):
    """The cubic convolution kernel for a = -0.5, from its general form in a."""
    a, x = -0.5, abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def resized_slowly(row, scale):
    """One row of pixels made smaller, pixel by pixel; beyond its ends it is mirrored, the last pixel twice."""
    padded = np.concatenate([row[::-1], row, row[::-1]])
    small = []
    for place in range(len(row) // scale):
        centre = len(row) + place * scale + (scale - 1) / 2
        taps = [tap for tap in range(len(padded)) if abs(tap - centre) < 2 * scale]
        shares = np.array([keys((tap - centre) / scale) for tap in taps])
        small.append((padded[taps] * shares).sum() / shares.sum())
    return np.array(small)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_small_copies_are_matlabs(scale):
    image = np.random.default_rng(scale).integers(0, 256, (6 * scale, 9 * scale), np.uint8)
    image[:, : 3 * scale] = 255  # overshoots beside it
    expected = np.apply_along_axis(resized_slowly, 0, image.astype(float), scale)
    expected = np.apply_along_axis(resized_slowly, 1, expected, scale)
    assert expected.max() > 255.5
    assert np.array_equal(matlab_bicubic(image, scale), np.floor(expected + 0.5).clip(0, 255).astype(np.uint8))
    theirs = np.asarray(Image.fromarray(image).resize((9, 6), Image.Resampling.BICUBIC)).astype(int)
    away = np.abs(theirs - matlab_bicubic(image, scale))
    assert away[2:-2, 2:-2].max() <= 1  # PIL has the same kernel
    assert away.max() > 1  # but not at borders


def test_flat_and_mirrored_images():
    assert (matlab_bicubic(np.full((3, 12, 24), 77, np.uint8), 3) == 77).all()
    image = np.random.default_rng(0).integers(0, 256, (3, 24, 36), np.uint8)
    assert np.array_equal(matlab_bicubic(image[..., ::-1], 4), matlab_bicubic(image, 4)[..., ::-1])
    assert np.array_equal(matlab_bicubic(image.swapaxes(1, 2), 4), matlab_bicubic(image, 4).swapaxes(1, 2))


@pytest.mark.parametrize("kernel", ["matlab", "bicubic"])
def test_training_squares_are_cut_from_whole_photos_and_copies(tmp_path, kernel):
    write(tmp_path / "train")
    write(tmp_path / "test", 1)
    data = SuperResolution(root=str(tmp_path), scale=3, crop=24, kernel=kernel, batch_size=8, flip=False)
    assert (data.image_shape, data.source_shape) == ((3, 24, 24), (3, 8, 8))
    stream = data.train_dataloader()
    assert stream.count == 2 * 3 + 2 * 2 + 2 * 4
    photos = [read(path) for path in sorted((tmp_path / "train").iterdir())]
    copies = [copy(photo, 3, kernel) for photo in photos]
    batches = [stream[number] for number in range(90)]  # forty passes
    seen = {}
    for small, large in zip(*(levels(torch.cat(side)).numpy() for side in zip(*batches, strict=True)), strict=True):
        number, top, left = found(small, copies)
        assert np.array_equal(large, photos[number][:, 3 * top : 3 * top + 24, 3 * left : 3 * left + 24])
        seen.setdefault(number, []).append((top, left))
    assert [len(seen[number]) for number in range(3)] == [40 * 6, 40 * 4, 40 * 8]
    for number, places in seen.items():
        tops, lefts = zip(*places, strict=True)
        assert (min(tops), max(tops)) == (0, copies[number].shape[1] - 8)
        assert (min(lefts), max(lefts)) == (0, copies[number].shape[2] - 8)


def copy(photo, scale, kernel):
    height, width = (side // scale for side in photo.shape[1:])
    photo = photo[:, : scale * height, : scale * width]
    if kernel == "matlab":
        return matlab_bicubic(photo, scale)
    return np.asarray(Image.fromarray(photo.transpose(1, 2, 0)).resize((width, height), 3)).transpose(2, 0, 1)


def found(small, copies):
    """The photo, row and column where a square of a copy is from."""
    for number, whole in enumerate(copies):
        windows = np.lib.stride_tricks.sliding_window_view(whole, small.shape[1:], (1, 2))
        places = np.argwhere((windows[:, :, :, 0, 0] == small[:, None, None, 0, 0]).all(0))
        for top, left in places.tolist():
            if np.array_equal(whole[:, top : top + small.shape[1], left : left + small.shape[2]], small):
                return number, top, left
    raise AssertionError("it is no square of a copy")


def test_squares_are_mirrored_with_their_copies(tmp_path):
    root = str(write(tmp_path, 16))
    straight, flipped = (SuperResolution(root=root, crop=24, batch_size=64, flip=flip) for flip in (False, True))
    one, other = (data.train_dataloader()[0] for data in (straight, flipped))
    mirrored = (one.target != other.target).flatten(1).any(1)
    assert 15 < mirrored.sum() < 50
    for side in ("source", "target"):
        before, after = getattr(one, side), getattr(other, side)
        assert torch.equal(torch.where(mirrored.view(-1, 1, 1, 1), before.flip(-1), before), after)


def test_whole_photos_are_for_test_one_by_one(tmp_path):
    write(tmp_path, 13)
    data = SuperResolution(root=str(tmp_path), crop=48, batch_size=6)
    assert data.name == tmp_path.name.lower()
    batches = list(data.test_dataloader())
    assert data.val_dataloader().batch_size == 1
    assert [tuple(batch.target.shape) for batch in batches] == [(1, 3, 60, 80), (1, 3, 48, 48)]
    for batch, name in zip(batches, ("00.png", "10.png"), strict=True):
        height, width = batch.target.shape[2:]
        assert np.array_equal(levels(batch.target[0]).numpy(), read(tmp_path / name)[:, :height, :width])
        assert np.array_equal(levels(batch.source[0]).numpy(), copy(read(tmp_path / name), 4, "matlab"))
    assert data.split("test")[0].shape == (1 + 1, 3, 48, 48)
    assert np.array_equal(data.split("test")[0][1].numpy(), read(tmp_path / "10.png")[:, :48, :48])
    assert len(data.split("train")[0]) == sum((h // 48) * (w // 48) for h, w in (SHAPES * 5)[:13]) - 2


def test_reals_are_at_most_so_many_evenly_spread(tmp_path, monkeypatch):
    monkeypatch.setattr("datamodules.super_resolution.MOST", 10)
    write(tmp_path, 3)
    data = SuperResolution(root=str(tmp_path), crop=8, test_root=str(tmp_path))
    targets = data.split("train")[0]
    assert len(targets) == 3 * 3
    first = read(tmp_path / "00.png")
    for image, (row, column) in zip(targets, ((0, 0), (3, 4), (6, 9)), strict=False):
        assert np.array_equal(image.numpy(), first[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8])


def test_photos_for_test_may_be_elsewhere(tmp_path):
    train, test = write(tmp_path / "photos", 2), write(tmp_path / "others", 3)
    data = SuperResolution(root=str(train), test_root=str(test), crop=48)
    assert len(data.pairs("train").photos) == 2
    assert len(data.val_dataloader()) == 3
    (train / "train").mkdir()
    for path in train.glob("*.png"):
        path.rename(train / "train" / path.name)
    shutil.copytree(test, train / "val")
    data = SuperResolution(root=str(train), crop=48)
    assert [len(data.pairs(split).photos) for split in ("train", "test")] == [2, 3]


def test_copies_are_made_once(tmp_path, monkeypatch):
    root = str(write(tmp_path, 12))
    data = SuperResolution(root=root, crop=24)
    data.setup()
    monkeypatch.setattr("datamodules.super_resolution.matlab_bicubic", None)
    again = SuperResolution(root=root, crop=48, batch_size=2, seed=1)
    again.setup()
    assert torch.equal(data.val_dataloader()[1].source, again.val_dataloader()[1].source)
    with pytest.raises(UserError, match="cannot use"):
        SuperResolution(root=root, crop=24, scale=2).setup()


def test_grey(tmp_path):
    data = SuperResolution(root=str(write(tmp_path, 12)), crop=24, channels=1, batch_size=2)
    assert (data.image_shape, data.source_shape) == ((1, 24, 24), (1, 6, 6))
    batch = data.train_dataloader()[0]
    assert [tuple(side.shape) for side in batch] == [(2, 1, 6, 6), (2, 1, 24, 24)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 5}, "scale must be 2, 3 or 4 and divide data.crop=96, not 5"),
        ({"scale": 3, "crop": 32}, "divide data.crop=32, not 3"),
        ({"crop": 0}, "crop must be at least 1"),
        ({"channels": 2}, "channels must be 3"),
        ({"root": None, "test_root": "x"}, "test_root needs data.root"),
        ({"crop": 52}, "01.png has 48x50 pixels, too few for data.crop=52"),
        ({"root": "absent"}, "no folder or zip archive .*absent"),
        ({"crop": 48, "test_root": "absent"}, "no folder or zip archive .*absent"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_in_one_line(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        SuperResolution(**{"root": str(write(tmp_path / "photos", 12))} | arguments).setup()
    assert "\n" not in str(caught.value)


def test_no_photos_and_damaged_ones(tmp_path):
    with pytest.raises(UserError, match=f"no photos for train in {tmp_path}: it has 0 in all"):
        SuperResolution(root=str(tmp_path)).setup()
    (write(tmp_path, 12) / "03.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot use .*03.png"):
        SuperResolution(root=str(tmp_path), crop=24).setup()
    data = SuperResolution(root=str(tmp_path), crop=24, on_corrupt="skip")
    with pytest.warns(UserWarning, match="skipped 1 of 10 images"):
        data.setup()
    assert len(data.pairs("train").photos) == 9
