"""`lit-gans evaluate`: of runs, checkpoints and folders, against the reference tool and the training's own numbers."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import torch_fidelity
import torch_fidelity.feature_extractor_inceptionv3 as fidelity_inception
from PIL import Image
from torchvision.utils import save_image

from datamodules import Digits
from datamodules.plain_images import PlainImages
from lit_gans import load
from lit_gans.cli import main
from lit_gans.metrics import Protocol, SmallClassifier
from lit_gans.metrics.evaluation import Generated, evaluate_images
from lit_gans.metrics.protocol import short_hash
from lit_gans.randomness import keyed_generator
from tests.commands import QUIET, SMALL, fails, run_dirs

FEW = ["--n_real=60", "--n_fake=70", "--device=cpu"]


def evaluation(folder):
    """Values by name of each set, and the protocols."""
    found = json.loads(Path(folder, "evaluation.json").read_text())
    return {name: {key: one["value"] for key, one in values.items()} for name, values in found["values"].items()}, found


def write_digits(folder, first, count, size=8):
    images = Digits(image_size=size).split("train")[0][first : first + count]
    Path(folder).mkdir()
    for number, image in enumerate(images):
        save_image(image / 255, f"{folder}/{number:03}.png")
    return images


def test_a_run_with_all_its_checkpoints(capsys):
    main([*SMALL, *QUIET, "--model.conditional=true"])
    (run,) = run_dirs()
    main(["evaluate", str(run), *FEW])
    printed = capsys.readouterr().out
    values, stored = evaluation(run / "evaluation")
    assert values.keys() == {"best", "last"}
    wanted = "fid is kid precision recall density coverage fid_low fid_high fid_infinity copies copying_z copying_p "
    wanted += "modes modes_kl ppl label_accuracy fid_class0"
    assert {f"{name}_digits" for name in wanted.split()} <= values["best"].keys()
    for name, value in values["last"].items():
        assert f"\n{name} " in printed
        protocol = stored["protocols"][stored["values"]["last"][name]["protocol"]]
        assert short_hash(protocol) == stored["values"]["last"][name]["protocol"]
        assert (protocol["features"], protocol["n_real"], protocol["n_fake"]) == ("digits", 60, 70)
        assert value == value
    assert stored["protocols"][stored["values"]["last"]["kid_digits"]["protocol"]]["subset_size"] == 30
    assert stored["of"]["last"] == {"path": f"{run}/checkpoints/last.ckpt", "kimg": 0.384, "seed": 0}
    assert (
        "protocol " + stored["values"]["last"]["fid_digits"]["protocol"] + ": 70 fakes, 60 reals (train) of" in printed
    )
    pictures = {"nearest-best", "classes-best", "nearest-last", "classes-last", "precision-recall"}
    assert {path.stem for path in (run / "evaluation").glob("*.png")} == pictures
    assert all(Image.open(path).size > (100, 100) for path in (run / "evaluation").glob("*.png"))
    before = Path(run, "evaluation", "evaluation.json").read_text()
    main(["evaluate", str(run / "checkpoints" / "last.ckpt"), *FEW])
    assert evaluation(run / "evaluation" / "last")[0] == {"last": values["last"]}
    main(["evaluate", str(run), *FEW, "--seed=1", "--output=other", "--scores=[]"])
    assert evaluation("other")[0]["last"].keys() < values["last"].keys()
    assert evaluation("other")[0]["last"]["fid_digits"] != values["last"]["fid_digits"]
    assert Path(run, "evaluation", "evaluation.json").read_text() == before


def test_further_protocols_are_measured_on_the_same_fakes():
    main([*SMALL, *QUIET])
    (run,) = run_dirs()
    further = ["--protocols+=Protocol", "--protocols.name=few", "--protocols.n_fake=40", "--protocols.reference=test"]
    main(["evaluate", str(run), *FEW, "--scores=[]", *further, "--output=both"])
    values, stored = evaluation("both")
    assert values["last"].keys() == {"fid_digits", "is_digits", "fid_digits_few", "is_digits_few"}
    protocol = stored["protocols"][stored["values"]["last"]["fid_digits_few"]["protocol"]]
    assert (protocol["reference"], protocol["n_real"], protocol["n_fake"]) == ("test", 297, 40)
    main(["evaluate", str(run), "--n_real=300", "--n_fake=40", "--reference=test", "--scores=[]", "--output=alone"])
    assert evaluation("alone")[0]["last"]["fid_digits"] == values["last"]["fid_digits_few"]


def test_generated_images_are_numbered():
    main([*SMALL, *QUIET])
    model = load(run_dirs()[0])
    images = torch.cat(list(Generated(model, 600, None, 0).batches(600, 100)))
    assert images.shape == (600, 1, 8, 8)
    assert torch.equal(Generated(model, 600, None, 0).pick([599, 0, 256]), images[[599, 0, 256]])
    assert torch.equal(torch.cat(list(Generated(model, 600, None, 0).batches(300, 256))), images[:300])
    assert not torch.equal(Generated(model, 600, None, 1).pick([0]), images[:1])


def test_two_folders_or_archives():
    real, fake = write_digits("real", 0, 80), write_digits("fake", 200, 90)
    classifier = ["--features+=SmallClassifier", "--features.name=digits"]
    main(["evaluate", "fake", "real", *classifier, "--output=folders"])
    values, _ = evaluation("folders")
    network = SmallClassifier("digits")
    features = [network(images / 127.5 - 1)[0] for images in (fake, real)]
    distance = (features[0].double().mean(0) - features[1].double().mean(0)).square().sum().item()
    assert values["fake"]["fid_digits"] > distance > 0
    assert {"precision_digits", "kid_low_digits", "fid_low_digits"} < values["fake"].keys()
    assert not {"ppl_digits", "copying_p_digits", "modes_digits"} & values["fake"].keys()
    with zipfile.ZipFile("fakes.zip", "w") as archive:
        for path in Path("fake").iterdir():
            archive.write(path)
    main(["evaluate", "fakes.zip", "real", *classifier, "--output=archive"])
    assert evaluation("archive")[0]["fakes"] == values["fake"]
    main(["evaluate", "fake", "real", *classifier, "--scores=[]", "--n_fake=30", "--n_real=20", "--output=few"])
    few, stored = evaluation("few")
    assert few["fake"]["fid_digits"] != values["fake"]["fid_digits"]
    protocol = stored["protocols"][stored["values"]["fake"]["fid_digits"]["protocol"]]
    assert (protocol["n_real"], protocol["n_fake"], protocol["image_size"]) == (20, 30, "8x8")
    assert (protocol["data"], protocol["reference"]) == ("images", "files")
    main(["evaluate", "fake", "fake", *classifier, "--scores=[]", "--n_fake=30", "--n_real=20", "--output=other"])
    assert not evaluation("other")[1]["protocols"].keys() & stored["protocols"].keys()  # of other reals
    main(["evaluate", "real", "real", *classifier, "--output=same"])
    same = evaluation("same")[0]["real"]
    assert same["fid_digits"] == pytest.approx(0, abs=1e-6)
    assert same["precision_digits"] == same["recall_digits"] == 1


def test_the_pictures_show_what_they_say():
    """Each fake beside its nearest real image, and eight fakes of each class in a row."""
    real = write_digits("real", 0, 60)
    fake = Path("fake")
    fake.mkdir()
    for number, image in enumerate(real[[30, 7, 59, 2]]):
        save_image(image / 255, fake / f"{number}.png")
    files, reals = PlainImages(fake), PlainImages(Path("real"))
    protocols = [Protocol(features=SmallClassifier("digits"), n_real=50)]
    result = evaluate_images(
        files,
        reals,
        [*protocols, Protocol(features=SmallClassifier("mnist"))],
        [],
        device=torch.device("cpu"),
        neighbours=3,
    )
    shown = reals.part(50)
    copied = [name for name in ("030.png", "007.png", "059.png", "002.png") if name in shown.names]
    for one, two in list(zip(*result.pairs, strict=True))[: len(copied)]:
        assert torch.equal(one, two)
    assert len(copied) >= 3
    main([*SMALL, *QUIET, "--model.conditional=true"])
    generated = Generated(load(run_dirs()[0]), 200, torch.arange(200) % 10, 0)
    digits = [Protocol(features=SmallClassifier("digits"), n_real=100, n_fake=200)]
    result = evaluate_images(generated, Digits(), digits, [], device=torch.device("cpu"), batch_size=33)
    expected = generated.pick([label + 10 * turn for label in range(10) for turn in range(8)])
    assert torch.equal(result.by_class, expected)
    labels = torch.arange(200) % 10
    logits = SmallClassifier("digits")(generated.pick(range(200)))[1]
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    assert result.values["label_accuracy_digits"] == pytest.approx(accuracy)


def test_a_part_of_many_files_is_of_all_kinds():
    write_digits("real", 0, 30)
    files = PlainImages(Path("real"))
    part = files.part(10)
    assert part.names == files.part(10).names == files.part(20).names[:10] == files.mixed().names[:10]
    assert sorted(files.mixed().names) == files.names
    assert min(part.names) < "005" < "020" < max(part.names)
    assert files.part(30) is files.part(None) is files
    assert len({files.key, part.key, files.mixed().key}) == 3


def test_a_checkpoint_against_a_folder(recwarn):
    main([*SMALL, *QUIET])
    write_digits("real", 0, 60)
    alone = shutil.copy(run_dirs()[0] / "checkpoints" / "last.ckpt", "model.ckpt")
    options = ["--features+=SmallClassifier", "--features.name=digits", *FEW, "--scores=[]"]
    main(["evaluate", str(alone), "real", *options, "--output=out"])
    main(["evaluate", str(run_dirs()[0]), *FEW, "--scores=[]", "--output=own"])
    found, own = evaluation("out")[0]["model"], evaluation("own")[0]["last"]
    assert found["fid_digits"] == pytest.approx(own["fid_digits"], rel=1e-3)  # the same 60 images, once as files
    main(["evaluate", "real", str(run_dirs()[0]), *FEW, "--scores=[]", "--output=back"])
    assert not any("what resizing does" in str(warning.message) for warning in recwarn)  # grey beside colour


@pytest.mark.slow
def test_folders_give_the_numbers_of_torch_fidelity(monkeypatch):
    """With the same randomly drawn Inception, whose features are not of full rank."""
    extractor = fidelity_inception.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:
        patch.setattr(fidelity_inception, "load_state_dict_from_url", lambda *arguments, **options: {})
        patch.setattr(extractor, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        torch.save(extractor("inception-v3-compat", ["2048"]).state_dict(), "weights.pth")
    write_digits("real", 0, 24, 32)
    write_digits("fake", 200, 20, 32)
    options = {"kid_subset_size": 12, "kid_subsets": 10, "prc_neighborhood": 3, "isc_splits": 10}
    expected = torch_fidelity.calculate_metrics(
        input1="fake",
        input2="real",
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path="weights.pth",
        **dict.fromkeys(("fid", "isc", "kid", "prc"), True),
        **dict.fromkeys(("cuda", "cache", "verbose"), False),
        **options,
    )
    scores = ["--scores+=KID", "--scores.subset_size=12", "--scores.subsets=10", "--scores+=Neighbours"]
    inception = ["--features+=Inception", "--features.weights=weights.pth"]
    main(["evaluate", "fake", "real", *inception, *scores, "--output=out"])
    found = evaluation("out")[0]["fake"]
    assert found["fid_inception"] == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    assert found["is_inception"] == pytest.approx(expected["inception_score_mean"], rel=1e-6)
    assert found["kid_inception"] == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-4)
    assert found["precision_inception"] == pytest.approx(expected["precision"])
    assert found["recall_inception"] == pytest.approx(expected["recall"])


def test_plain_images_are_the_pixels_of_the_files():
    levels = torch.randint(0, 256, (5, 3, 6, 9), generator=keyed_generator("levels"))
    Path("photos/sub").mkdir(parents=True)
    for number, image in enumerate(levels):
        save_image(image / 255, f"photos/{'sub/' * (number == 4)}{number}.png")
    images = PlainImages(Path("photos"))
    found = torch.cat(list(images.batches(10, 2)))
    assert torch.equal(((found + 1) * 127.5).round().long(), levels)
    assert torch.equal(images.pick([3, 0]), found[[3, 0]])
    assert [len(batch) for batch in images.batches(3, 2)] == [2, 1]
    key = images.key
    save_image(levels[1] / 255, "photos/0.png")
    assert PlainImages(Path("photos")).key != key


def test_mistakes_are_said_in_one_line(capsys):
    write_digits("real", 0, 8)
    Path("empty").mkdir()
    broken = shutil.copytree("real", "broken")
    Path(broken, "003.png").write_bytes(b"no image")
    unlike = shutil.copytree("real", "unlike")
    save_image(torch.zeros(1, 9, 8), Path(unlike, "003.png"))
    classifier = ["--features+=SmallClassifier", "--features.name=digits", "--output=out"]

    def line(*arguments):
        return fails(["evaluate", *arguments], capsys)

    assert "real is no run, nor a checkpoint in one: give a folder or zip of real images" in line("real")
    assert "name a folder for the results with --output" in line("real", "real")
    assert "there are no images (jpg, png, webp, bmp) in empty" in line("real", "empty", *classifier)
    assert "there is no nowhere" in line("nowhere", "real", *classifier)
    assert "there is no nowhere" in line("real", "nowhere", *classifier)
    assert "there are no images (jpg, png, webp, bmp) in empty" in line("empty", "real", "--output=out")
    assert "cannot use broken/003.png" in line("broken", "real", *classifier)
    assert "unlike/003.png has 8x9 pixels, 000.png has 8x8: bring all images to one size" in line(
        "unlike", "real", *classifier
    ).replace(str(Path.cwd()) + "/", "")
    assert "KID needs at least 1000 real and 1000 fake images, not 8 and 8" in line(
        "real", "real", *classifier, "--scores=[KID]"
    )
    assert "there is no class 'KIDD'; did you mean KID?" in line("real", "real", *classifier, "--scores=[KIDD]")
    write_digits("large", 0, 30, 16)
    with pytest.warns(UserWarning, match="real has images of 8x8 pixels, and large others"):
        main(["evaluate", "real", "large", *classifier, "--output=unlike-sizes", "--scores=[]"])
    assert "--features=[] measures nothing" in line("real", "real", "--features=[]", "--output=out")
    assert not Path("out").exists()
    assert "000.png is one image: give a folder or a zip archive" in line("real/000.png", "real", *classifier)
    assert "--output=real would put pictures among the images" in line(
        "real", "large", *classifier[:2], "--output=real"
    )
    assert "LabelAccuracy is of fakes that were asked to be of a class" in line(
        "real", "large", *classifier, "--scores=[LabelAccuracy]"
    )
    Path("own_grey.py").write_text(
        "from torch import nn\nclass Grey(nn.Conv2d):\n    def __init__(self): super().__init__(1, 2, 3)"
    )
    assert "grey does not take images of shape (3, 8, 8): " in line(
        "real", "real", "--features=[own_grey.Grey]", "--output=out"
    )
    Path("fake.zip").write_bytes(b"no archive")
    assert "cannot read the archive" in line("fake.zip", "real", *classifier)
    with zipfile.ZipFile("torn.zip", "w") as archive:
        archive.write("real/001.png")
    content = bytearray(Path("torn.zip").read_bytes())
    content[60] ^= 1  # of the image
    Path("torn.zip").write_bytes(content)
    assert "cannot use torn.zip/real/001.png" in line("torn.zip", "real", *classifier)


def test_data_of_others_are_not_built_from_a_file(capsys):
    main([*SMALL, *QUIET])
    (run,) = run_dirs()
    config = Path(run, "config.yaml")
    config.write_text(re.sub(r"class_path: datamodules\S+", "class_path: os.system", config.read_text()))
    assert "the run's data are of os.system: give a folder or zip" in fails(["evaluate", str(run)], capsys)
