"""Images of two kinds: orders of their own, squares of unlike images, the shorter set starts over."""

import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import datamodules.photographs as module
from datamodules import Digits, UnpairedImages
from lit_gans.errors import UserError

SHAPES = [(40, 40), (40, 80), (70, 50), (40, 41)]


def places(number, height, width):
    """Red is the column, green is the row, twice; blue is the number of the image."""
    down, across = np.mgrid[:height, :width]
    return np.stack([2 * across, 2 * down, np.full_like(down, 10 * number)], axis=2).astype(np.uint8)


def write(root, counts, shapes=SHAPES, form="{split}{side}"):
    """Images of A are numbered from 0, those of B from 12."""
    for (split, side), count in counts.items():
        folder = root / form.format(split=split, side=side)
        folder.mkdir(parents=True)
        for number in range(count):
            image = places(number + 12 * (side == "B"), *shapes[number % len(shapes)])
            Image.fromarray(image).save(folder / f"{number:02}.png")
    return root


COUNTS = {("train", "A"): 5, ("train", "B"): 8, ("test", "A"): 6, ("test", "B"): 4}


def unpaired(root, **arguments):
    defaults = {"root": str(root), "image_size": 32, "load_size": 40, "batch_size": 4}
    return UnpairedImages(**defaults | arguments)


def levels(images):
    return ((images + 1) * 127.5).round().int()


def take(data, batches):
    stream = data.train_dataloader()
    return [torch.cat(side) for side in zip(*(stream[number] for number in range(batches)), strict=True)]


def test_each_kind_has_an_order_of_its_own(tmp_path):
    data = unpaired(write(tmp_path / "two kinds", COUNTS))
    assert (data.name, data.image_shape, data.source_shape) == ("two_kinds", (3, 32, 32), (3, 32, 32))
    assert len(data.train_dataloader()) == 2  # the larger set
    a, b = (levels(side)[:, 2, 0, 0] // 10 for side in take(data, 100))
    assert all(order.sort().values.tolist() == list(range(5)) for order in a.view(-1, 5))
    assert all(order.sort().values.tolist() == list(range(12, 20)) for order in b.view(-1, 8))
    met = set(zip(a.tolist(), b.tolist(), strict=True))
    assert len(met) == 5 * 8


def test_sets_of_equal_size_do_not_go_in_step(tmp_path):
    a, b = take(unpaired(write(tmp_path, {**COUNTS, ("train", "A"): 8}, SHAPES[:1])), 100)
    numbers = levels(torch.stack([a, b]))[:, :, 2, 0, 0] // 10
    assert len(set(zip(*numbers.tolist(), strict=True))) == 64
    corners = [(side[:, 0].amin((1, 2)), side[:, 1].amin((1, 2))) for side in levels(torch.stack([a, b]))]
    assert abs(np.corrcoef(corners[0][0], corners[1][0])[0, 1]) < 0.2
    mirrored = [side[:, 0, 0, 0] > side[:, 0, 0, -1] for side in (a, b)]
    assert 150 < (mirrored[0] == mirrored[1]).sum() < 250


def test_squares_are_taken_anywhere_and_shapes_are_kept(tmp_path):
    """Of images whose shorter side is `load_size` nothing is resized."""
    shapes = [(40, 40), (40, 80), (60, 40)]
    data = unpaired(write(tmp_path, {**COUNTS, ("train", "A"): 3}, shapes), flip=False)
    squares = levels(take(data, 300)[0])
    corners = {}
    for square in squares:
        across, down, number = (int(square[channel, 0, 0]) // step for channel, step in enumerate((2, 2, 10)))
        whole = torch.tensor(places(number, *shapes[number])).permute(2, 0, 1).int()
        assert torch.equal(square, whole[:, down : down + 32, across : across + 32])
        corners.setdefault(number, set()).add((down, across))
    for number, (height, width) in enumerate(shapes):
        down, across = (set(values) for values in zip(*corners[number], strict=True))
        assert (min(down), max(down), min(across), max(across)) == (0, height - 32, 0, width - 32)


def test_the_shorter_side_becomes_the_load_size(tmp_path):
    data = unpaired(write(tmp_path, {**COUNTS, ("train", "A"): 1}, [(70, 50)]), flip=False)
    (image,), _ = data.sides("train")
    theirs = Image.fromarray(places(0, 70, 50)).resize((40, 56), Image.Resampling.BICUBIC)
    assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(theirs))


def test_evaluation_takes_both_sets_whole(tmp_path):
    data = unpaired(write(tmp_path, COUNTS))
    batches = list(data.val_dataloader())
    assert [len(batch.a) for batch in batches] == [len(batch.b) for batch in batches] == [4, 2]
    a, b = (levels(torch.cat(side)) for side in zip(*batches, strict=True))
    assert (a[:, 2, 0, 0] // 10).tolist() == list(range(6))
    assert (b[:, 2, 0, 0] // 10).tolist() == [12, 13, 14, 15, 12, 13]
    wide = Image.fromarray(places(1, 40, 80)).resize((64, 32), Image.Resampling.BICUBIC).crop((16, 0, 48, 32))
    assert np.array_equal(a[1].permute(1, 2, 0).numpy(), np.asarray(wide))
    assert torch.equal(data.split("test")[0].int(), b[:4])
    assert data.split("train")[0].shape == (8, 3, 32, 32)


def test_archives_and_folders_in_folders(tmp_path):
    root = write(tmp_path / "apart", COUNTS, form="{split}/{side}")
    with zipfile.ZipFile(tmp_path / "apart.zip", "w") as archive:
        for path in sorted(root.rglob("*.*")):
            archive.write(path, f"horses/{path.relative_to(root).as_posix()}")
    one, other = (take(unpaired(path), 10) for path in (root, tmp_path / "apart.zip"))
    assert all(map(torch.equal, one, other))


def test_grey(tmp_path):
    data = unpaired(write(tmp_path, COUNTS), channels=1)
    assert data.image_shape == (1, 32, 32)
    batch = data.train_dataloader()[0]
    assert batch.a.shape == batch.b.shape == (4, 1, 32, 32)


def test_the_photographs_are_a_temple_and_a_flower():
    data = UnpairedImages(image_size=64)
    a, b = (torch.stack(list(side)).float().mean((0, 2, 3)) for side in data.sides("train"))
    assert a.min() > 120  # much sky
    assert b.max() < 90  # dark leaves
    assert UnpairedImages().image_shape == (3, 32, 32)


@pytest.mark.parametrize("split", ["train", "test"])
def test_each_digit_is_on_black_or_on_a_photograph(split, monkeypatch):
    data = UnpairedImages(dataset="digits", root="nowhere", load_size=32)
    assert (data.name, data.image_shape, data.source_shape) == ("digits", (3, 32, 32), (3, 32, 32))
    every, classes = Digits(image_size=32).split(split)
    behind = module.patches(module.photographs().values(), split, 32)
    a, b = data.sides(split)
    assert torch.equal(a, every[::2].repeat(1, 3, 1, 1))
    for number, (image, digit) in enumerate(zip(b, every[1::2], strict=True)):
        patch = behind[number % len(behind)].float()
        assert torch.equal(image.float(), (digit.float() - patch).abs())
    for side in (0, 1):
        assert classes[side::2].bincount().min() > 0.07 * len(classes[side::2])
    assert torch.equal(UnpairedImages(dataset="digits", seed=1).split(split)[0], b)


def test_without_folders_for_test_every_tenth_image_is_kept(tmp_path):
    root = write(tmp_path, COUNTS)
    for side in "AB":
        shutil.rmtree(root / f"test{side}")
    data, counts = unpaired(root), [COUNTS["train", side] for side in "AB"]
    kept = [-(-count // 10) for count in counts]
    assert [len(side) for side in data.sides("test")] == kept
    assert [len(side) for side in data.sides("train")] == [count - few for count, few in zip(counts, kept, strict=True)]


@pytest.mark.parametrize("missing", ["trainA", "trainB", "testA", "testB"])
def test_a_folder_that_is_missing_is_named(tmp_path, missing):
    root = write(tmp_path, COUNTS)
    shutil.rmtree(root / missing)
    with pytest.raises(UserError, match=f"no images in a folder {missing} in {tmp_path}: it needs trainA and trainB, "):
        unpaired(root).setup()
    (root / missing).mkdir()
    with pytest.raises(UserError, match=f"no images in a folder {missing}"):
        unpaired(root).setup()


def test_a_damaged_file_is_named_or_left_out(tmp_path):
    root = write(tmp_path, COUNTS)
    (root / "trainB" / "03.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot use .*trainB/03.png") as caught:
        unpaired(root).setup()
    assert "\n" not in str(caught.value)
    data = unpaired(root, on_corrupt="skip")
    with pytest.warns(UserWarning, match="skipped 1 of 8 images .* the first is trainB/03.png"):
        data.setup()
    assert data.split("train")[0][:, 2, 0, 0].tolist() == [120, 130, 140, 160, 170, 180, 190]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"load_size": 20}, "load_size must be at least 32"), ({"channels": 4}, r"channels must be 3 \(colour\) or 1")],
)
def test_arguments_that_make_no_sense(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        unpaired(tmp_path, **arguments)
