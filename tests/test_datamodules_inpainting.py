"""Images with holes: where they are, that the rest is untouched, and that evaluation has the same ones always."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageFolder, Inpainting
from datamodules.masks import MASKS, rectangle, strokes
from lit_gans.errors import UserError
from lit_gans.randomness import keyed_generator

KINDS = pytest.mark.parametrize("mask", MASKS)


def write(folder, count=20):
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return str(folder)


def holes(kind, count=300, size=64, share=0.2):
    return np.stack([MASKS[kind](size, share, keyed_generator("hole", number)) for number in range(count)])


@KINDS
@pytest.mark.parametrize("channels", [1, 3])
def test_a_source_is_its_target_but_for_the_hole(tmp_path, mask, channels):
    data = Inpainting(root=write(tmp_path), image_size=32, channels=channels, mask=mask, batch_size=6)
    assert (data.image_shape, data.source_shape) == ((channels, 32, 32), (channels + 1, 32, 32))
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for source, target in loader:
            image, marks = source[:, :-1], source[:, -1:]
            assert set(marks.unique().tolist()) == {-1.0, 1.0}
            inside = (marks > 0).expand_as(image)
            assert (image[inside] == 0).all()
            assert torch.equal(image[~inside], target[~inside])
            assert ((marks > 0).float().mean((1, 2, 3)) > 0.05).all()


def test_images_and_splits_are_those_of_a_folder(tmp_path):
    data, folder = (
        cls(root=write(tmp_path), image_size=24, batch_size=4, seed=5, flip=True) for cls in (Inpainting, ImageFolder)
    )
    assert data.name == folder.name
    assert all(torch.equal(data.split(split)[0], folder.split(split)[0]) for split in ("train", "test"))
    for pair, labelled in zip(data.train_dataloader(), folder.train_dataloader(), strict=True):
        assert torch.equal(pair.target, labelled.image)


@KINDS
def test_holes_change_in_training_and_stay_in_evaluation(tmp_path, mask):
    def marks(batches):
        return torch.cat([batch.source[:, -1] for batch in batches])

    root = write(tmp_path)
    data = Inpainting(root=root, image_size=32, mask=mask, batch_size=6, flip=False)
    stream = data.train_dataloader()
    drawn = marks(stream[number] for number in range(12))  # four passes
    assert len(drawn.flatten(1).unique(dim=0)) == 72
    first = marks(data.val_dataloader())
    other = Inpainting(root=root, image_size=32, mask=mask, batch_size=1, seed=9)
    assert torch.equal(marks(other.val_dataloader()), first)
    assert len(first.flatten(1).unique(dim=0)) == len(first) == 2
    assert not torch.equal(marks([other.train_dataloader()[0]])[0], drawn[0])


@KINDS
def test_holes_have_the_shares_asked_for(tmp_path, mask):
    data = Inpainting(root=write(tmp_path), image_size=64, mask=mask, hole=(0.15, 0.4), batch_size=10)
    stream = data.train_dataloader()
    shares = torch.cat([(stream[number].source[:, -1] > 0).float().mean((1, 2)) for number in range(10)])
    slack = 0.01 if mask == "rectangle" else 0.06  # a stroke's last line may be more than is missing
    assert 0.15 - 0.01 < shares.min() < 0.2
    assert 0.35 < shares.max() < 0.4 + slack
    assert shares.mean() == pytest.approx(0.275 + slack / 4, abs=0.03)


def test_rectangles_are_anywhere_and_of_all_proportions():
    found = holes("rectangle")
    places = [(np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))) for hole in found]
    assert all(hole.sum() == len(down) * len(across) for hole, (down, across) in zip(found, places, strict=True))
    ratios = np.array([math.log2(len(down) / len(across)) for down, across in places])
    assert -1.1 < ratios.min() < -0.8
    assert 0.8 < ratios.max() < 1.1
    assert abs(ratios.mean()) < 0.1
    assert {0, 63} <= {int(end) for down, across in places for end in (down[0], down[-1], across[0], across[-1])}
    centre = found.mean(0)
    assert centre[32, 32] > 2 * centre[2, 2] > 0


def test_strokes_are_neither_straight_nor_blocks():
    found = holes("strokes", 100)
    boxes = [np.ptp(np.argwhere(hole), axis=0) + 1 for hole in found]
    filled = [hole.sum() / box.prod() for hole, box in zip(found, boxes, strict=True)]
    assert np.median(filled) < 0.5
    assert (found.mean(0) > 0).all()  # no place is spared


@pytest.mark.parametrize("size", [2, 3, 8])
def test_tiny_images_have_holes_too(size):
    for draw in (rectangle, strokes):
        for share in (0.01, 0.5, 0.95):
            hole = draw(size, share, keyed_generator(size))
            assert hole.shape == (size, size)
            assert hole.any()


def test_the_photographs_have_holes():
    data = Inpainting()
    assert (data.name, data.image_shape, data.source_shape) == ("photographs", (3, 64, 64), (4, 64, 64))
    assert len(data.train_dataloader()) == 312 // 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hole": (0.3, 0.2)}, r"hole must be two numbers .* smaller one first, not \[0.3, 0.2\]"),
        ({"hole": (0, 0.2)}, "hole must be two numbers between 0 and 1"),
        ({"hole": (0.1, 1)}, "hole must be two numbers between 0 and 1"),
        ({"image_size": 1}, "image_size must be at least 2"),
        ({"channels": 4}, "channels must be 3"),
        ({"root": "absent"}, "no folder or zip archive .*absent"),
        ({"root": "."}, "0 images in .*needs at least 2"),
        ({"root": None, "image_size": 161}, "patches of at most 160 pixels, not 161"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_in_one_line(tmp_path, arguments, message):
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=message) as caught:
        Inpainting(**{"root": write(tmp_path / "images") if "root" not in arguments else None} | arguments).setup()
    assert "\n" not in str(caught.value)
