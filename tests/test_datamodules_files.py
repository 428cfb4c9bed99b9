"""CelebA, ImageFolder and the cache of decoded images, on small real files."""

import errno
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

from datamodules import CelebA, ImageFolder, cache
from lit_gans.errors import UserError

FACES = [f"{number:06d}.jpg" for number in range(1, 21)]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LIT_GANS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(seed, width, height, mode="RGB"):
    """Smooth colours, so that JPEG keeps them and scales agree."""
    corners = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def write_faces(folder, scale=1.0, names=FACES):
    folder.mkdir(parents=True)
    for seed, name in enumerate(names):
        picture(seed, round(178 * scale), round(218 * scale)).save(folder / name, quality=95)
    return folder


def write_archive(path, folder, prefix=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def write_pictures(folder, classes=("cat", "dog"), count=8):
    suffixes = ("png", "jpg", "webp", "bmp")
    for seed in range(count):
        path = folder / classes[seed % len(classes)] / f"{seed:02d}.{suffixes[seed % 4]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed, 40 + seed, 30 + 2 * seed, "L" if seed == 3 else "RGB").save(path)
    return folder


def pixels(data):
    return torch.cat([data.split("train")[0], data.split("test")[0]])


def broken(path):
    path.write_bytes(path.read_bytes()[:100])
    return path


def test_celeba_layouts_give_the_same_pixels(tmp_path):
    faces = write_faces(tmp_path / "plain" / "img_align_celeba")
    write_archive(tmp_path / "zip" / "img_align_celeba.zip", faces, "img_align_celeba/")
    shutil.copytree(faces, tmp_path / "torchvision" / "celeba" / "img_align_celeba")
    expected = pixels(CelebA(root=str(faces)))
    shutil.copytree(faces, tmp_path / "kaggle" / "img_align_celeba" / "img_align_celeba")
    for layout in ("plain", "zip", "torchvision", "kaggle"):
        data = CelebA(root=str(tmp_path / layout), num_workers=2)
        assert torch.equal(pixels(data), expected), layout
    crop = v2.Compose([v2.PILToTensor(), v2.CenterCrop(178)])(Image.open(faces / FACES[0]))
    whole = CelebA(root=str(faces), image_size=178).split("train")[0][0]
    assert torch.equal(whole, crop)
    assert data.image_shape == (3, 64, 64)
    assert (data.name, data.num_classes) == ("celeba", 0)
    assert data.split("test")[0].shape == (2, 3, 64, 64)  # the last tenth
    assert data.split("train")[1].tolist() == [0] * 18


def test_celeba_crop_scales_with_the_copy(tmp_path):
    full = CelebA(root=str(write_faces(tmp_path / "full")), crop=100, image_size=32)
    half = CelebA(root=str(write_faces(tmp_path / "half", 0.5)), crop=100, image_size=32)
    assert (pixels(full).float() - pixels(half).float()).abs().mean() < 2
    assert (pixels(full).float() - pixels(CelebA(root=full.root, image_size=32)).float()).abs().mean() > 4


def test_celeba_partition_and_attributes(tmp_path):
    folder = write_faces(tmp_path / "celeba" / "img_align_celeba").parent
    parts = [0] * 14 + [1] * 2 + [2] * 4
    lines = [f"{name} {part}" for name, part in zip(FACES, parts, strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines))
    rows = [f"{name} {1 if number % 3 == 0 else -1:2d} -1" for number, name in enumerate(FACES)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(len(FACES)), "Smiling Male", *rows, ""]))
    data = CelebA(root=str(tmp_path), attribute="Smiling")
    assert data.num_classes == 2
    assert data.split("train")[1].tolist() == [int(number % 3 == 0) for number in range(14)]
    assert data.split("test")[1].tolist() == [int(number % 3 == 0) for number in range(16, 20)]
    assert CelebA(root=str(tmp_path), attribute="Male").split("train")[1].sum() == 0
    with pytest.raises(UserError, match=r"'Smilling'.*did you mean Smiling\?"):
        CelebA(root=str(tmp_path), attribute="Smilling")
    (folder / "list_attr_celeba.txt").write_text("\n".join(["1", "Smiling Male", *rows[1:]]))
    with pytest.raises(UserError, match="no line for 000001.jpg"):
        CelebA(root=str(tmp_path), attribute="Smiling").setup()
    (folder / "list_eval_partition.txt").write_text("\n".join(lines[:14]))
    with pytest.raises(UserError, match="list_eval_partition.txt names none of the 20 images .* 'test'"):
        CelebA(root=str(tmp_path)).setup()


def test_celeba_bad_input(tmp_path):
    with pytest.raises(UserError, match="CelebA not found .*img_align_celeba.zip"):
        CelebA(root=str(tmp_path / "nowhere"))
    root = str(write_faces(tmp_path / "faces", names=FACES[:3]))
    with pytest.raises(UserError, match="list_attr_celeba.txt"):
        CelebA(root=root, attribute="Smiling")
    for crop in (0, 179):
        with pytest.raises(UserError, match="crop must be in 1..178"):
            CelebA(root=root, crop=crop)


def test_celeba_tables_of_kaggle(tmp_path):
    write_faces(tmp_path / "img_align_celeba" / "img_align_celeba")
    parts = [f"{name},{number // 8}" for number, name in enumerate(FACES)]
    (tmp_path / "list_eval_partition.csv").write_text("\n".join(["image_id,partition", *parts]))
    rows = [f"{name},{'1,-1' if number % 3 == 0 else '-1,-1'}" for number, name in enumerate(FACES)]
    (tmp_path / "list_attr_celeba.csv").write_text("\n".join(["image_id,Smiling,Male", *rows]))
    data = CelebA(root=str(tmp_path), attribute="Smiling")
    assert data.split("train")[1].tolist() == [int(number % 3 == 0) for number in range(8)]
    assert data.split("test")[1].tolist() == [int(number % 3 == 0) for number in range(16, 20)]
    (tmp_path / "list_attr_celeba.csv").write_text("\n".join(["image_id,Smiling,Male", rows[0], rows[1][:-3]]))
    with pytest.raises(UserError, match="list_attr_celeba.csv is damaged"):
        CelebA(root=str(tmp_path), attribute="Smiling")


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("zipped", [False, True])
def test_image_folder_gives_torchvisions_pixels(tmp_path, zipped, channels):
    folder = write_pictures(tmp_path / "my pets")
    steps = [v2.Lambda(lambda image: v2.functional.center_crop(image, [min(image.size)])), v2.Resize([16, 16])]
    theirs = torchvision.datasets.ImageFolder(folder, v2.Compose(steps))
    if channels == 1:  # torchvision opens all in colour
        theirs.loader = lambda path: Image.open(path).convert("L")
    root = write_archive(tmp_path / "My pets.zip", folder, "wrapped/") if zipped else folder
    data = ImageFolder(root=str(root), image_size=16, channels=channels, labels=True)
    assert data.image_shape == (channels, 16, 16)
    assert (data.name, data.num_classes) == ("my_pets", 2)
    places = {Path(path).name: place for place, (path, _) in enumerate(theirs.samples)}
    for split in ("train", "test"):
        expected = [theirs[places[Path(name).name]] for name in data.names(split)]
        images, labels = data.split(split)
        assert torch.equal(images, torch.stack([v2.functional.pil_to_tensor(image) for image, _ in expected]))
        assert labels.tolist() == [label for _, label in expected]
    assert len(images) == 1


def test_the_first_of_a_folder_are_of_all_classes(tmp_path):
    folder = write_pictures(tmp_path / "pets", count=40)
    data = ImageFolder(root=str(folder), image_size=8, labels=True)
    assert sorted(data.names("train") + data.names("test")) == data.source.names
    assert set(data.split("train")[1][:8].tolist()) == {0, 1}


def test_sixteen_bits_are_refused(tmp_path):
    folder = write_pictures(tmp_path / "pets")
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(folder / "cat" / "deep.png")
    with pytest.raises(UserError, match=r"cannot use .*deep.png \(its pixels have more than 8 bits"):
        ImageFolder(root=str(folder), image_size=8).setup()


def test_image_folder_holds_out_every_tenth(tmp_path):
    folder = write_pictures(tmp_path / "pets", count=24)
    data = ImageFolder(root=str(folder), image_size=8, seed=1)
    assert (len(data.split("train")[0]), len(data.split("test")[0])) == (21, 3)
    assert data.num_classes == 0
    assert torch.equal(data.split("test")[0], ImageFolder(root=str(folder), image_size=8, seed=2).split("test")[0])
    assert len(pixels(ImageFolder(root=str(folder), image_size=8, limit=5))) == 5


def test_image_folder_bad_input(tmp_path):
    folder = write_pictures(tmp_path / "pets")
    shutil.copy(folder / "cat" / "00.png", folder / "stray.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden.png").touch()
    (tmp_path / "no.zip").write_text("nothing")
    for arguments, message in (
        ({"root": str(tmp_path / "nowhere")}, "no folder or zip archive .*nowhere"),
        ({"root": str(tmp_path / "empty")}, "0 images in .*empty"),
        ({"root": str(tmp_path / "no.zip")}, "cannot read the archive .*no.zip"),
        ({"root": str(folder), "labels": True}, "stray.png lies outside"),
        ({"root": str(folder), "limit": 0}, "limit"),
        ({"root": str(folder), "channels": 2}, "channels must be 1"),
    ):
        with pytest.raises(UserError, match=message):
            ImageFolder(**arguments)


@pytest.mark.parametrize("zipped", [False, True])
def test_corrupt_file_is_named_or_skipped(tmp_path, cache_folder, zipped):
    folder = write_pictures(tmp_path / "pets", count=20)
    broken(folder / "cat" / "02.webp")
    broken(folder / "dog" / "05.jpg")
    root = str(write_archive(tmp_path / "pets.zip", folder) if zipped else folder)
    with pytest.raises(UserError, match="cannot use .*(cat.02.webp|dog.05.jpg)"):
        ImageFolder(root=root, image_size=8).prepare_data()
    assert not list(cache_folder.rglob("*.*"))
    data = ImageFolder(root=root, image_size=8, labels=True, on_corrupt="skip")
    with pytest.warns(UserWarning, match="skipped 2 of 18 images .* the first is (cat/02.webp|dog/05.jpg)"):
        data.prepare_data()
    assert data.split("train")[1].bincount().tolist() == [8, 8]


def test_all_corrupt_is_an_error(tmp_path):
    folder = write_pictures(tmp_path / "pets", count=2)
    for path in folder.rglob("*.*"):
        broken(path)
    with pytest.raises(UserError, match="none of 1 images"):
        ImageFolder(root=str(folder), image_size=8, on_corrupt="skip").setup()


@pytest.fixture
def decodings(monkeypatch):
    """The number of images decoded so far, as the length of a list."""
    done = []
    decode = cache.Decoder.__call__
    monkeypatch.setattr(cache.Decoder, "__call__", lambda self, content: done.append(1) or decode(self, content))
    return done


def test_cache_is_used_again_until_the_source_or_the_arguments_change(tmp_path, decodings):
    folder = write_pictures(tmp_path / "pets")
    root = str(folder)
    first = pixels(ImageFolder(root=root, image_size=8))
    assert len(decodings) == 8
    assert torch.equal(pixels(ImageFolder(root=root, image_size=8, seed=3, labels=True, batch_size=2)), first)
    assert len(decodings) == 8
    ImageFolder(root=root, image_size=16).setup()
    assert len(decodings) == 16
    picture(99, 50, 50).save(folder / "cat" / "02.webp")
    assert not torch.equal(pixels(ImageFolder(root=root, image_size=8)), first)
    assert len(decodings) == 16 + 7  # the test split did not change


def test_moved_source_keeps_its_cache(tmp_path, decodings):
    folder = write_pictures(tmp_path / "pets")
    ImageFolder(root=str(folder), image_size=8).setup()
    ImageFolder(root=str(folder.rename(tmp_path / "moved")), image_size=8).setup()
    assert len(decodings) == 8


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b""])
def test_damaged_cache_is_made_again(tmp_path, cache_folder, decodings, damage):
    root = str(write_pictures(tmp_path / "pets"))
    expected = pixels(ImageFolder(root=root, image_size=8)).clone()
    for path in (*cache_folder.rglob("images.bin"), *list(cache_folder.rglob("names.json"))[:1]):
        content = damage(path.read_bytes())
        path.unlink()  # the first result still maps the old file
        path.write_bytes(content)
    assert torch.equal(pixels(ImageFolder(root=root, image_size=8)), expected)
    assert len(decodings) == 16


def test_interrupted_decoding_leaves_nothing(tmp_path, cache_folder, monkeypatch):
    root = str(write_pictures(tmp_path / "pets"))
    decode = cache.Decoder.__call__

    def interrupted(self, content):
        monkeypatch.setattr(cache.Decoder, "__call__", decode)
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.Decoder, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ImageFolder(root=root, image_size=8).prepare_data()
    assert not [path for path in cache_folder.rglob("*") if path.is_file()]
    assert len(pixels(ImageFolder(root=root, image_size=8))) == 8


def test_full_disk_is_said_and_leaves_nothing(tmp_path, cache_folder, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    root = str(write_pictures(tmp_path / "pets"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left.*LIT_GANS_CACHE"):
        ImageFolder(root=root, image_size=8).prepare_data()
    assert not [path for path in cache_folder.rglob("*") if path.is_file()]


def test_loading_from_the_cache_in_workers(tmp_path):
    data = ImageFolder(root=str(write_pictures(tmp_path / "pets")), image_size=8, batch_size=3, num_workers=2)
    images = torch.cat([batch.image for batch in data.reference_dataloader("train")])
    assert torch.equal(images, data.split("train")[0].float() / 127.5 - 1)
