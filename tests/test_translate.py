"""`lit-gans translate` and `upscale`: photos of any size, form and colours, from files to files."""

import warnings
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lit_gans
from lit_gans.cli import main
from lit_gans.networks import ResNetTranslator, StyleTranslator, UNetGenerator
from lit_gans.verbs import translate as verb
from tests.commands import fails
from tests.conftest import same
from tests.photos import files, photo, read, tensor
from tests.translation import TRANSLATORS, PairNoise, TwoSets


@pytest.mark.parametrize("name", TRANSLATORS)
def test_photos_in_tiles_and_whole(name, run):
    """The files hold what Python makes of the bytes, and the bytes are those of the floats."""
    checkpoint, model = run(name), lit_gans.load(run(name))
    scale = model.image_shape[1] // model.source_shape[1]
    command = ["upscale" if scale > 1 else "translate", checkpoint, "photo.png"]
    levels = tensor(photo("photo.png", 61, 50))
    main([*command, "--output=whole", "--tile=null"])
    main([*command, "--output=tiled", "--tile=24", "--overlap=8"])
    main([*command, "--output=eighth", "--tile=24"])
    whole, tiled = read("whole/photo.png"), read("tiled/photo.png")
    assert whole.shape == (1, 3, 61 * scale, 50 * scale)
    assert torch.equal(whole, model.translate(levels))
    assert torch.equal(tiled, model.translate(levels, tile=24, overlap=8))
    assert torch.equal(read("eighth/photo.png"), model.translate(levels, tile=24, overlap=3))
    assert not torch.equal(tiled, whole)
    floats = model.translate(levels / 127.5 - 1)
    assert torch.equal(whole, ((floats + 1) * 127.5).round().to(torch.uint8))
    smallest = model.translate(levels[:, :, :1, :1])
    assert smallest.shape == (1, 3, scale, scale)


def test_formats_and_names(run):
    """Files keep theirs; a format changes the suffix alone."""
    names = ["a.png", "b.JPG", "sub/c.jpeg", "sub/deep/d.webp", "e.bmp"]
    for name in names:
        photo(f"photos/{name}")
    Path("photos/notes.txt").write_text("no image")
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for name in names:
            archive.write(f"photos/{name}", name)
    main(["translate", run("Pix2Pix"), "photos", "--output=kept"])
    assert files("kept") == sorted(names)
    kinds = {name: Image.open(f"kept/{name}").format for name in names}
    assert list(kinds.values()) == ["PNG", "JPEG", "JPEG", "WEBP", "BMP"]
    assert all(Image.open(f"kept/{name}").size == (10, 13) for name in names)
    main(["translate", run("Pix2Pix"), "photos.zip", "--output=unpacked"])
    assert {name: Path("unpacked", name).read_bytes() for name in names} == {
        name: Path("kept", name).read_bytes() for name in names
    }
    for form, kind in {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}.items():
        main(["translate", run("Pix2Pix"), "photos", f"--output={form}", f"--format={form}"])
        expected = [f"a.{form}", f"b.{form}", f"e.{form}", f"sub/c.{form}", f"sub/deep/d.{form}"]
        assert files(form) == expected
        assert {Image.open(f"{form}/{name}").format for name in expected} == {kind}
    made = read("png/a.png")
    assert torch.equal(made, read("kept/a.png"))
    Image.open("png/a.png").save("expected.jpg", quality=95)
    assert torch.equal(read("jpg/a.jpg"), read("expected.jpg"))
    Image.open("png/a.png").save("expected.webp", quality=95)
    assert torch.equal(read("webp/a.webp"), read("expected.webp"))


def test_one_photo_and_the_name_of_its_output(run, capsys):
    photo("photos/a.png")
    command = ["translate", run("Pix2Pix"), "photos/a.png"]
    main([*command, "--output=out"])
    assert "1 image: out" in capsys.readouterr().out
    main([*command, "--output=new/named.png"])
    main([*command, "--output=new/named.JPG", "--format=jpg"])
    main([*command, "--output=v1.2"])
    Path("x.png").mkdir()
    main([*command, "--output=x.png"])
    main([*command, "--output=photos", "--format=webp"])
    made = ["new/named.JPG", "new/named.png", "out/a.png", "photos/a.png", "photos/a.webp", "v1.2/a.png", "x.png/a.png"]
    assert files(".") == made
    assert Image.open("new/named.JPG").format == "JPEG"
    assert len({Path(name).read_bytes() for name in ("new/named.png", "out/a.png", "v1.2/a.png", "x.png/a.png")}) == 1


def test_what_lies_in_the_output_is_not_taken_again(run):
    photo("photos/a.png")
    photo("photos/made.png")
    for _ in range(2):
        main(["translate", run("Pix2Pix"), "photos", "--output=photos/made"])
    assert files("photos") == ["a.png", "made.png", "made/a.png", "made/made.png"]
    main(["translate", run("Pix2Pix"), "photos/made", "--output=photos"])
    assert same(read("photos/a.png"), lit_gans.load(run("Pix2Pix")).translate(read("photos/made/a.png")))


def test_grey_models_and_models_of_two_kinds(run):
    """A model sees and makes as many channels as it was trained on."""
    model = run("Pix2Pix", PairNoise((1, 8, 8)), source_shape=(1, 8, 8))
    photo("photo.png")
    main(["translate", model, "photo.png", "--output=colour.png"])
    grey = tensor(np.asarray(Image.open("photo.png").convert("L"))[..., None])
    assert torch.equal(read("colour.png"), lit_gans.load(model).translate(grey))
    data = PairNoise()
    data.image_shape = (1, 8, 8)
    model = run("Pix2Pix", data, image_shape=(1, 8, 8))
    main(["translate", model, "photo.png", "--output=grey.png"])
    assert Image.open("grey.png").mode == "L"
    assert torch.equal(read("grey.png"), lit_gans.load(model).translate(read("photo.png")))


def test_directions(run, capsys):
    model = lit_gans.load(run("CycleGAN"))
    levels = tensor(photo("photo.png"))
    for direction in ("ab", "ba"):
        main(["translate", run("CycleGAN"), "photo.png", f"--direction={direction}", f"--output={direction}"])
        assert torch.equal(read(f"{direction}/photo.png"), model.translate(levels, direction=direction))
    main(["translate", run("CycleGAN"), "photo.png", "--output=out"])
    assert same(read("out/photo.png"), read("ab/photo.png"))
    assert not same(read("out/photo.png"), read("ba/photo.png"))
    data, sides = TwoSets(), TwoSets().sides
    data.sides = lambda split: (sides(split)[0][:, :1], sides(split)[1])
    unlike = run("CycleGAN", data, source_shape=(1, 8, 8), identity_weight=0.0)
    for direction, mode in {"ab": "RGB", "ba": "L"}.items():
        main(["translate", unlike, "photo.png", f"--direction={direction}", "--output=unlike.png"])
        assert Image.open("unlike.png").mode == mode
    line = fails(["translate", run("Pix2Pix"), "photo.png", "--output=none", "--direction=ab"], capsys)
    assert "--direction is nothing to a Pix2Pix: leave it out" in line


def test_styles(run, capsys):
    """Of any size; those larger than a tile are made as small."""
    checkpoint = run("StyleTransferGAN", generator=partial(StyleTranslator, blocks=1, width=4))
    model, levels = lit_gans.load(checkpoint), tensor(photo("photo.png", 30, 26))
    style = tensor(photo("style.png", 31, 33, seed=1))
    command = ["translate", checkpoint, "photo.png"]
    main([*command, "--style=style.png", "--output=out"])
    assert torch.equal(read("out/photo.png"), model.translate(levels, style=style))
    assert not torch.equal(read("out/photo.png"), model.translate(levels, style=levels))
    photo("style.png", 64, 32, seed=1)
    main([*command, "--style=style.png", "--output=out", "--tile=32"])
    smaller = torch.nn.functional.interpolate(read("style.png"), (32, 16), mode="bilinear", antialias=True)
    assert torch.equal(read("out/photo.png"), model.translate(levels, style=smaller, tile=32, overlap=4))
    line = fails([*command, "--output=none"], capsys)
    assert "give a style image to a generator that is shown the style" in line
    assert "there is no nowhere.png" in fails([*command, "--style=nowhere.png", "--output=none"], capsys)
    line = fails([*command, "--style=style.png", "--output=style.png"], capsys)
    assert "style.png is itself one of the images given" in line
    line = fails(["translate", run("StyleTransferGAN"), "photo.png", "--style=style.png", "--output=none"], capsys)
    assert "to no other" in line
    line = fails(["translate", run("CycleGAN"), "photo.png", "--style=style.png", "--output=none"], capsys)
    assert "--style is nothing to a CycleGAN" in line
    assert not Path("none").exists()


def test_tiles_that_may_show_are_warned_of(run):
    """Not where the photo is one tile, nor of networks that see each place alone."""
    photo("photo.png", 13, 40)
    norms = partial(ResNetTranslator, blocks=1, width=4, norm="batch")
    command = ["translate", run("Pix2Pix"), "photo.png", "--output=out"]
    with pytest.warns(UserWarning, match="normalises over each tile, which may show"):
        main([*command, "--tile=39"])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "this network")
        main([*command, "--tile=40"])
        main([*command, "--tile=null"])
        main(["translate", run("Pix2Pix", generator=norms), "photo.png", "--output=out", "--tile=16"])


def test_noise_is_that_of_the_seed_and_the_photo(run):
    noisy = run("Pix2Pix", generator=partial(UNetGenerator, width=4), noise=True)
    for name in ("a", "b"):
        photo(f"photos/{name}.png")
    for seed in (0, 1):
        main(["translate", noisy, "photos", f"--output={seed}", f"--seed={seed}"])
    torch.rand(5)
    main(["translate", noisy, "photos/b.png", "--output=again"])
    assert same(read("again/b.png"), read("0/b.png"))
    others = ["0/a.png", "1/a.png", "1/b.png"]
    assert not any(same(read("0/b.png"), read(other)) for other in others)


def test_two_lines_of_python(run):
    photo("photo.png", 70, 90)
    model = lit_gans.load(run("Pix2Pix"))
    image = model.translate(read("photo.png"), tile=64)
    assert (image.shape, image.dtype) == ((1, 3, 70, 90), torch.uint8)


def test_a_damaged_photo_is_named_and_the_others_are_made(run, capsys):
    for name in ("a", "b", "c"):
        photo(f"photos/{name}.png", 60, 60)
    whole = Path("photos/b.png").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no image", b""):
        Path("photos/b.png").write_bytes(damaged)
        line = fails(["translate", run("Pix2Pix"), "photos", f"--output=out{len(damaged)}"], capsys)
        assert "cannot use photos/b.png (" in line
        assert "mend or remove it" in line
        assert files(f"out{len(damaged)}") == ["a.png", "c.png"]
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for name in ("a", "b", "c"):
            archive.write("photos/c.png", f"{name}.png")
    content = bytearray(Path("photos.zip").read_bytes())
    content[len(content) // 2] ^= 1
    Path("photos.zip").write_bytes(content)
    assert "cannot use photos.zip/b.png" in fails(["translate", run("Pix2Pix"), "photos.zip", "--output=o"], capsys)
    assert files("o") == ["a.png", "c.png"]
    Path("photos/c.png").write_bytes(b"")
    line = fails(["translate", run("Pix2Pix"), "photos", "--output=two"], capsys)
    assert "b.png (it is no image): mend or remove it; and 1 more" in line


def test_a_file_that_cannot_be_finished_leaves_the_old_one(run, monkeypatch):
    photo("photo.png")
    main(["translate", run("Pix2Pix"), "photo.png", "--output=out"])
    before = Path("out/photo.png").read_bytes()

    def half(path, *_):
        Path(path).write_bytes(b"half")
        raise RuntimeError("out of power")

    monkeypatch.setattr(verb, "write_photo", half)
    with pytest.raises(RuntimeError, match="out of power"):
        main(["translate", run("Pix2Pix"), "photo.png", "--output=out"])
    assert Path("out/photo.png").read_bytes() == before
    assert files("out") == ["photo.png"]


def test_runs_of_another_kind_are_refused(run, capsys):
    photo("photo.png")
    photo("long.png", 1, 8200)

    def line(name, verb="translate", image="photo.png", *more):
        return fails([verb, run(name), image, "--output=out", *more], capsys)

    for verb_ in ("translate", "upscale"):
        assert "has a GAN, which makes images from nothing: use `lit-gans sample`" in line("GAN", verb_)
    assert "has a SRGAN that makes images 2 times as large: use `lit-gans upscale`" in line("SRGAN")
    assert "has a Pix2Pix that leaves images their size: use `lit-gans translate`" in line("Pix2Pix", "upscale")
    images = (
        "which makes images from images: use `lit-gans translate` or `lit-gans upscale`; `lit-gans test` measures it"
    )
    for arguments in (["sample", run("CycleGAN"), "--output=out"], ["evaluate", run("CycleGAN"), "photos"]):
        Path("photos").mkdir(exist_ok=True)
        assert f"has a CycleGAN, {images}" in fails(arguments, capsys)
    holes = run("Pix2Pix", PairNoise((4, 8, 8)), source_shape=(4, 8, 8))
    refused = fails(["translate", holes, "photo.png", "--output=out"], capsys)
    assert "wants images of 4 channels and makes such of 3, and files have 1 or 3: use lit_gans.load(" in refused
    assert "tiles of 64 pixels must be larger than twice" in line(
        "Pix2Pix", "translate", "photo.png", "--tile=64", "--overlap=32"
    )
    assert "tile must be at least 8, not 0" in line("Pix2Pix", "translate", "photo.png", "--tile=0")
    assert "overlap must be at least 0, not -1" in line("Pix2Pix", "translate", "photo.png", "--overlap=-1")
    long = line("SRGAN", "upscale", "long.png", "--format=webp")
    assert "out/long.webp would be 16400 pixels long, of which its format holds 16383: use --format=png" in long
    assert "PyTorch finds no GPU here" in line("Pix2Pix", "translate", "photo.png", "--device=cuda")
    assert "no checkpoint at nowhere" in fails(["translate", "nowhere", "photo.png", "--output=out"], capsys)
    assert not Path("out").exists()
