"""Photos in files: what is read of them, what is written, and where."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from lit_gans.errors import UserError
from lit_gans.photos import ROWS, photos_at, places_for, read_photo, write_photo
from tests.photos import photo, tensor


def content(image, form="PNG", **options):
    image.save("written", form, **options)
    return Path("written").read_bytes()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("height", [1, ROWS - 1, ROWS, 2 * ROWS + 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_levels_are_those_of_the_file(height, channels):
    """Strip by strip, there and back."""
    levels = noise(height, 5, channels)
    write_photo(Path("photo"), tensor(levels), ".PNG")
    assert np.array_equal(np.atleast_3d(np.asarray(Image.open("photo"))), levels)
    pixels, profile = read_photo(Path("photo").read_bytes(), channels)
    assert torch.equal(pixels, tensor(levels))
    assert pixels.is_contiguous()
    assert profile == b""


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_photos_are_the_right_way_up(form):
    """The eight orientations of EXIF, by what they mean: where row 0 and column 0 of the file are seen."""
    levels = np.zeros((24, 40, 3), np.uint8)
    levels[:12, :20] = 255  # the corner of row 0 and column 0
    levels[:12, 20:] = 120  # the rest of the first rows
    seen = {
        1: levels,  # top, left
        2: levels[:, ::-1],  # top, right
        3: levels[::-1, ::-1],  # bottom, right
        4: levels[::-1],  # bottom, left
        5: levels.transpose(1, 0, 2),  # left, top
        6: levels.transpose(1, 0, 2)[:, ::-1],  # right, top
        7: levels.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
        8: levels.transpose(1, 0, 2)[::-1],  # left, bottom
    }
    for orientation, expected in seen.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        pixels, _ = read_photo(content(Image.fromarray(levels), form, exif=exif, quality=95), 3)
        assert pixels.shape == tensor(expected).shape
        assert (pixels.int() - tensor(expected).int()).abs().float().mean() < 3


def test_what_is_transparent_is_white():
    colours, alpha = noise(4, 6, 3), noise(4, 6, 1)
    alpha[0], alpha[1] = 0, 255
    pixels, _ = read_photo(content(Image.fromarray(np.concatenate([colours, alpha], 2))), 3)
    expected = 255 + (colours.astype(float) - 255) * alpha / 255
    assert np.abs(pixels[0].permute(1, 2, 0).numpy() - expected).max() <= 1
    assert (pixels[0, :, 0] == 255).all()
    assert torch.equal(pixels[0, :, 1], tensor(colours)[0, :, 1])
    grey, _ = read_photo(content(Image.fromarray(np.concatenate([colours[..., :1], alpha], 2), "LA")), 1)
    assert (grey[0, 0, 0] == 255).all()
    assert np.array_equal(grey[0, 0, 1], colours[1, :, 0])
    palette = Image.fromarray(noise(4, 6) % 4, "P")
    palette.putpalette([*range(12)])
    pixels, _ = read_photo(content(palette, transparency=2), 3)
    index = np.asarray(palette)
    expected = np.where((index == 2)[..., None], 255, np.stack([3 * index, 3 * index + 1, 3 * index + 2], 2))
    assert torch.equal(pixels, tensor(expected.astype(np.uint8)))


def test_colour_becomes_grey_and_grey_colour():
    colours = Image.fromarray(noise(4, 6, 3))
    grey, _ = read_photo(content(colours), 1)
    assert np.array_equal(grey[0, 0], np.asarray(colours.convert("L")))
    pixels, _ = read_photo(content(colours.convert("L")), 3)
    assert torch.equal(pixels, grey.expand(-1, 3, -1, -1))
    pixels, _ = read_photo(content(colours.convert("1")), 3)
    assert set(pixels.unique().tolist()) <= {0, 255}


def test_deep_pixels():
    """Those of grey are refused, for Pillow would clip them to white."""
    with pytest.raises(OSError, match="more than 8 bits"):
        read_photo(content(Image.fromarray(noise(4, 6).astype(np.uint16) * 256)), 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_profiles_are_kept_where_they_fit(suffix):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels, found = read_photo(content(Image.fromarray(noise(4, 6, 3)), "JPEG", icc_profile=profile), 3)
    assert found == profile
    write_photo(Path("made"), pixels, suffix, found)
    assert Image.open("made").info["icc_profile"] == profile
    assert not Image.open("made").getexif()
    _, found = read_photo(content(Image.fromarray(noise(4, 6, 3)), "JPEG", icc_profile=profile), 1)
    assert found == b""
    printed = profile[:16] + b"CMYK" + profile[20:]
    _, found = read_photo(content(Image.fromarray(noise(4, 6, 4), "CMYK"), "JPEG", icc_profile=printed), 3)
    assert found == b""
    write_photo(Path("made"), pixels, suffix)
    assert "icc_profile" not in Image.open("made").info


def test_photos_may_be_larger_than_pillow_likes(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_photo(content(Image.fromarray(noise(9, 9, 3))), 3)[0].shape == (1, 3, 9, 9)
    with pytest.raises(OSError, match="cannot identify"):
        read_photo(b"no image", 3)
    assert Image.MAX_IMAGE_PIXELS == 10


def refused(images, output, form="keep"):
    with pytest.raises(UserError) as error:
        places_for(photos_at(Path(images), Path(output)), Path(output), form)
    return str(error.value)


def test_outputs_that_would_overwrite_are_refused():
    for name in ("a.png", "a.jpg", "sub/a.png"):
        photo(f"photos/{name}")
    Path("link").symlink_to("photos")
    assert "photos/a.jpg is itself one of the images given: name another --output" in refused("photos", "photos")
    assert "photos/a.png is itself one" in refused("photos/a.png", "photos")
    assert "photos/a.png is itself one" in refused("photos/a.png", "photos/a.png")
    assert "link/a.png is itself one" in refused("photos/a.png", "link")
    assert "photos/sub/../a.png is itself one" in refused("photos/a.png", "photos/sub/..")
    both = "a.jpg and a.png would both become out/a.png: rename one, or keep the format"
    assert both in refused("photos", "out", "png")
    Path("elsewhere").mkdir()
    Path("elsewhere/b.png").symlink_to(Path("photos/a.png").resolve())
    assert "photos/b.png" in str(places_for(photos_at(Path("elsewhere"), Path("photos")), Path("photos"), "keep"))
    Path("elsewhere/b.png").rename("elsewhere/a.png")
    assert "photos/a.png is itself one" in refused("elsewhere", "photos")


def test_outputs_that_are_no_place_are_refused():
    photo("photos/a.png")
    assert "--output=out.png is a single file: give a folder" in refused("photos", "out.png")
    for name in ("out.tif", "out.gif"):
        assert f"--output={name} is no name for jpg, png, webp or bmp" in refused("photos/a.png", name)
    assert "--output=out.png is no name for --format=jpg" in refused("photos/a.png", "out.png", "jpg")
    assert not Path("out.png").exists()


def test_no_photos_are_refused():
    Path("empty").mkdir()
    Path("notes.txt").write_text("no image")
    Path("damaged.zip").write_text("no archive")
    photo("inside/made/a.png")
    neither = "is neither an image (jpg, png, webp, bmp) nor a folder or zip archive of images"
    assert "there is no nowhere" in refused("nowhere", "out")
    assert "there are no images (jpg, png, webp, bmp) in empty" in refused("empty", "out")
    assert "there are no images (jpg, png, webp, bmp) in inside" in refused("inside", "inside/made")
    assert f"notes.txt {neither}" in refused("notes.txt", "out")
    assert f"damaged.zip {neither}" in refused("damaged.zip", "out")


def test_archives_write_nowhere_else():
    photo("a.png")
    with zipfile.ZipFile("up.zip", "w") as archive:
        archive.write("a.png", "../a.png")
    assert "there are no images" in refused("up.zip", "out")
    with zipfile.ZipFile("root.zip", "w") as archive:
        archive.write("a.png", "placeholder")
        archive.filelist[0].filename = "/tmp/a.png"
    assert "has an image named /tmp/a.png, which is no place in a folder" in refused("root.zip", "out")
