"""Pairs of images from files: both sides stay together, labels keep their colours, any layout gives the same."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import PairedImages
from lit_gans.errors import UserError

SIZE = 40
FLAT = np.array([[200, 10, 30], [0, 90, 255], [255, 255, 0], [7, 7, 7]], dtype=np.uint8)


def places(number=0):
    """An image whose red is the column and whose green is the row, times four; blue is its number."""
    down, across = np.mgrid[:SIZE, :SIZE]
    return np.stack([4 * across, 4 * down, np.full_like(down, 10 * number)], axis=2).astype(np.uint8)


def labels(seed, height=SIZE, width=SIZE):
    """Blocks of four colours."""
    blocks = np.random.default_rng(seed).integers(0, 4, (height // 5, width // 5))
    return FLAT[blocks.repeat(5, 0).repeat(5, 1)]


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def side_by_side(root, counts=(12, 5), a=places, b=lambda number: 255 - places(number), test="test"):
    for split, count in zip(("train", test), counts, strict=True):
        for number in range(count):
            save(np.concatenate([a(number), b(number)], axis=1), root / split / f"{number:02}.png")
    return root


def paired(root, **arguments):
    defaults = {"root": root and str(root), "image_size": 32, "load_size": SIZE, "batch_size": 4}
    return PairedImages(**defaults | arguments)


def levels(images):
    return ((images + 1) * 127.5).round().int()


def test_both_sides_are_cropped_and_mirrored_alike(tmp_path):
    stream = paired(side_by_side(tmp_path)).train_dataloader()
    batches = [stream[number] for number in range(60)]
    source = levels(torch.cat([batch.source for batch in batches]))
    assert torch.equal(levels(torch.cat([batch.target for batch in batches])), 255 - source)
    mirrored = source[:, 0, 0, 0] > source[:, 0, 0, -1]
    straight = torch.where(mirrored.view(-1, 1, 1, 1), source.flip(-1), source)
    across, down, number = straight[:, 0, 0, 0] // 4, straight[:, 1, 0, 0] // 4, straight[:, 2, 0, 0] // 10
    expected = torch.tensor(np.stack([places(n) for n in range(12)])).permute(0, 3, 1, 2)
    for image, x, y, n in zip(straight, across, down, number, strict=True):
        assert torch.equal(image, expected[n, :, y : y + 32, x : x + 32].int())
    assert across.unique().tolist() == down.unique().tolist() == list(range(9))  # up to both borders
    assert abs(np.corrcoef(across, down)[0, 1]) < 0.2
    assert 80 < mirrored.sum() < 160
    assert torch.equal(number.view(-1, 12).sort(1).values, torch.arange(12).expand(20, 12))


def test_without_flip_none_is_mirrored(tmp_path):
    stream = paired(side_by_side(tmp_path), flip=False).train_dataloader()
    assert all((batch.source[:, 0, 0, 0] < batch.source[:, 0, 0, -1]).all() for batch in stream)


def test_evaluation_is_resized_alone_and_in_order(tmp_path):
    data = paired(side_by_side(tmp_path))
    batches = list(data.val_dataloader())
    assert [len(batch.source) for batch in batches] == [4, 1]
    for side, image in (("source", places), ("target", lambda number: 255 - places(number))):
        ours = levels(torch.cat([getattr(batch, side) for batch in batches]))
        theirs = [np.asarray(Image.fromarray(image(n)).resize((32, 32), Image.Resampling.BICUBIC)) for n in range(5)]
        assert torch.equal(ours, torch.tensor(np.stack(theirs)).permute(0, 3, 1, 2).int())
    assert torch.equal(data.split("test")[0].int(), ours)
    assert len(data.split("train")[0]) == 12


@pytest.mark.parametrize(("direction", "side"), [("ab", "target"), ("ba", "source")])
def test_maps_of_labels_keep_their_very_colours(tmp_path, direction, side):
    root = side_by_side(tmp_path, a=lambda n: np.random.default_rng(n).integers(0, 256, (35, 55, 3), np.uint8),
                        b=lambda n: labels(n, 35, 55))  # fmt: skip
    known = {tuple(colour) for colour in FLAT.tolist()}

    def colours(**arguments):
        data = paired(root, load_size=37, direction=direction, **arguments)
        batches = [*data.train_dataloader(), *data.val_dataloader()]
        found = torch.cat([levels(getattr(batch, side)).permute(0, 2, 3, 1).flatten(0, 2) for batch in batches])
        reals = data.split("train")[0].permute(0, 2, 3, 1).flatten(0, 2)
        return {tuple(colour) for colour in found.tolist()}, {tuple(colour) for colour in reals.tolist()}

    drawn, reals = colours(labels=side)
    assert drawn == known
    assert (reals == known) == (direction == "ab")  # the reals are the targets
    assert len(colours()[0]) > 100  # what a blend makes of them


def test_the_direction_swaps_the_sides(tmp_path):
    root = side_by_side(tmp_path)
    forth, back = paired(root, flip=False), paired(root, flip=False, direction="ba")
    for one, other in zip(forth.train_dataloader(), back.train_dataloader(), strict=True):
        assert torch.equal(one.source, other.target)
        assert torch.equal(one.target, other.source)
    assert torch.equal(back.split("test")[0], 255 - forth.split("test")[0])


def test_grey_and_colour(tmp_path):
    data = paired(side_by_side(tmp_path), source_channels=1)
    assert (data.source_shape, data.image_shape) == ((1, 32, 32), (3, 32, 32))
    batch = data.val_dataloader()[0]
    grey = Image.fromarray(places(3)).convert("L").resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(levels(batch.source[3, 0]).numpy(), np.asarray(grey))
    assert batch.target.shape == (4, 3, 32, 32)


def two_folders(root, form, tests=("test",), suffixes=("", "")):
    """The files of `side_by_side` taken apart; `form` says how the folders are called."""
    whole = side_by_side(root.parent / "whole")
    for split in ("train", "test"):
        for number, path in enumerate(sorted((whole / split).iterdir())):
            pixels = np.asarray(Image.open(path))
            for side, part in zip("AB", np.split(pixels, 2, axis=1), strict=True):
                folder = form.format(split=split if split == "train" else tests[0], side=side)
                save(
                    part, root / folder / f"{number:02}{suffixes['AB'.index(side)]}.{('png', 'bmp')['AB'.index(side)]}"
                )
    return root


@pytest.mark.parametrize("form", ["{split}/{side}", "{split}{side}", "{side}/{split}"])
@pytest.mark.parametrize("zipped", [False, True])
def test_any_layout_gives_the_same_pairs(tmp_path, form, zipped):
    root = two_folders(tmp_path / "apart", form, ("val",), ("_A", "_B"))
    if zipped:
        with zipfile.ZipFile(tmp_path / "My apart.zip", "w") as archive:
            for path in sorted(root.rglob("*.*")):
                archive.write(path, f"apart/{path.relative_to(root).as_posix()}")
        root = tmp_path / "My apart.zip"
    data, whole = paired(root), paired(tmp_path / "whole")
    assert data.name == ("my_apart" if zipped else "apart")
    for one, other in zip(data.train_dataloader(), whole.train_dataloader(), strict=True):
        assert all(map(torch.equal, one, other))
    assert all(torch.equal(data.split(split)[0], whole.split(split)[0]) for split in ("train", "test"))
    assert all(map(torch.equal, data.val_dataloader()[1], whole.val_dataloader()[1]))


def test_of_two_plain_folders_every_tenth_pair_is_for_test(tmp_path):
    for number in range(21):
        for side, image in (("A", places(number)), ("B", 255 - places(number))):
            save(image, tmp_path / side / f"{number:02}.png")
    data = paired(tmp_path)
    assert data.split("test")[0][:, 2, 0, 0].tolist() == [255, 155, 55]
    assert data.split("train")[0][:, 2, 0, 0].tolist() == [255 - 10 * n for n in range(21) if n % 10]


def test_val_is_for_test_only_where_there_is_no_test(tmp_path):
    shutil.copytree(side_by_side(tmp_path / "other", (1, 3)) / "test", tmp_path / "mine" / "val")
    side_by_side(tmp_path / "mine", (2, 2))
    assert len(paired(tmp_path / "mine").split("test")[0]) == 2
    shutil.rmtree(tmp_path / "mine" / "test")
    assert len(paired(tmp_path / "mine").split("test")[0]) == 3


def test_decoded_once(tmp_path, monkeypatch):
    root = side_by_side(tmp_path / "pairs")
    data = paired(root)
    data.setup()
    monkeypatch.setattr("datamodules.paired_images.open_image", None)
    again = paired(root.rename(tmp_path / "moved"))
    again.prepare_data()
    assert all(map(torch.equal, again.train_dataloader()[0], data.train_dataloader()[0]))


@pytest.mark.parametrize("side", ["trainA/03.png", "trainB/03.bmp"])
def test_a_pair_is_decoded_again_when_one_of_its_files_changes(tmp_path, side):
    root = two_folders(tmp_path / "apart", "{split}{side}")
    before = paired(root).pairs("train").images[3].copy()
    save(places(17), root / side)
    assert (paired(root).pairs("train").images[3] != before).any()


def test_the_photographs_give_labels_and_patches():
    data = PairedImages(direction="ba", image_size=64)
    assert (data.name, data.image_shape, PairedImages().image_shape[1:]) == ("photographs", (3, 64, 64), (32, 32))
    flat = data.split("train")[0]
    assert len(flat.permute(0, 2, 3, 1).flatten(0, 2).unique(dim=0)) == 12
    photos = PairedImages(image_size=64).split("train")[0]
    near = torch.nn.functional.avg_pool2d(torch.stack([flat, photos]).flatten(0, 1).float(), 32).chunk(2)
    assert (near[0] - near[1]).abs().mean() < 25  # the same places
    assert Path("cache").exists() is False


ERRORS = [
    ({"load_size": 31}, "load_size must be at least 32, not 31"),
    ({"image_size": 0}, "image_size must be at least 1"),
    ({"source_channels": 2}, r"source_channels must be 3 \(colour\) or 1 \(grey\), not 2"),
    ({"root": None, "target_channels": 1}, r"target_channels must be 3 \(colour\), not 1"),
    ({"root": None, "load_size": 200}, "patches of at most 160 pixels, not 200"),
    ({"root": "nowhere"}, "no folder or zip archive .*nowhere"),
]


@pytest.mark.parametrize(("arguments", "message"), ERRORS, ids=lambda value: str(value)[:30])
def test_arguments_that_make_no_sense(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        paired(**{"root": side_by_side(tmp_path, (2, 2)), **arguments}).setup()
    assert "\n" not in str(caught.value)


def remove(name):
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def crop(name, width):
    def change(root):
        image = Image.open(root / name)
        image.crop((0, 0, width, image.height)).save(root / name)

    return change


def truncate(name):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:60])


def deepen(root):
    Image.fromarray(np.zeros((SIZE, SIZE), np.uint16)).save(root / "trainA" / "03.png")


DAMAGES = [
    ("", remove("train"), r"no pairs for train in .*apart: it needs folders train and test \(or val\)"),
    ("", crop("train/03.png", 79), r"cannot use .*train/03.png \(two images side by side can't be 79 pixels wide\)"),
    ("", truncate("test/01.png"), r"cannot use .*test/01.png"),
    ("split", remove("trainB/04.bmp"), r"trainA/04.png has no partner in B: add or remove files"),
    ("split", remove("trainB"), r"trainA/00.png has no partner in B, nor have 11 more"),
    ("split", remove("testA/00.png"), r"testB/00.bmp has no partner in A"),
    ("split", crop("trainB/04.bmp", 30), r"cannot use .*trainA/04.png \(A has 40x40 pixels, B 30x40\)"),
    ("split", truncate("trainB/04.bmp"), r"cannot use .*trainA/04.png \(its partner in B: .*truncated"),
    ("split", deepen, r"cannot use .*trainA/03.png \(its pixels have more than 8 bits"),
    ("split", lambda root: shutil.copy(root / "trainA/01.png", root / "trainA/01.bmp"), "have the same partner"),
]


@pytest.mark.parametrize(("layout", "damage", "message"), DAMAGES, ids=lambda value: str(value)[:25])
def test_what_is_wrong_with_files_is_said_in_one_line(tmp_path, layout, damage, message):
    root = tmp_path / "apart"
    two_folders(root, "{split}{side}") if layout else side_by_side(root)
    damage(root)
    with pytest.raises(UserError, match=message) as caught:
        paired(root).setup()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["", "{split}{side}", "{side}"])
def test_without_a_folder_for_test_every_tenth_pair_is_kept(tmp_path, layout):
    two_folders(tmp_path, layout) if layout else side_by_side(tmp_path)
    for test in tmp_path.glob("test*"):
        shutil.rmtree(test)
    count, data = len(list((tmp_path / {"": "train", "{side}": "A"}.get(layout, "trainA")).iterdir())), paired(tmp_path)
    data.setup()
    assert [len(data.pairs(split)) for split in ("train", "test")] == [count - -(-count // 10), -(-count // 10)]


def test_photos_are_turned_as_their_exif_says(tmp_path):
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    for side in "AB":
        (tmp_path / side).mkdir()
    for number in range(12):
        picture = Image.fromarray(random.integers(0, 255, (SIZE, 2 * SIZE, 3), np.uint8))
        picture.save(tmp_path / "A" / f"{number}.png")
        picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "B" / f"{number}.png", exif=exif)
    data = paired(tmp_path)
    data.setup()
    source, target = data.pairs("test").pair(0, None)
    assert (source == target).all()


def test_a_damaged_pair_can_be_left_out(tmp_path):
    root = two_folders(tmp_path / "apart", "{split}{side}")
    truncate("trainB/04.bmp")(root)
    data = paired(root, on_corrupt="skip")
    with pytest.warns(UserWarning, match="skipped 1 of 12 images .* the first is trainA/04.png"):
        data.setup()
    assert data.split("train")[0][:, 2, 0, 0].tolist() == [255 - 10 * n for n in range(12) if n != 4]


def test_coloured_labels_are_not_read_in_grey(tmp_path):
    root = side_by_side(tmp_path, a=labels)
    with pytest.raises(UserError, match=r"its labels are colours, which data.source_channels=1 would mix up"):
        paired(root, labels="source", source_channels=1).setup()
    paired(root, labels="target", source_channels=1).setup()
