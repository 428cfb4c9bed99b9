"""Three digits in one image, and the network that tells which."""

import struct

import pytest
import torch
import torchvision
import yaml
from torchvision.transforms.v2.functional import pad, resize

import lit_gans.metrics
from datamodules import MNIST, Digits, StackedMNIST
from lit_gans.callbacks import SampleGrid
from lit_gans.cli import main
from lit_gans.errors import UserError
from lit_gans.metrics import ImageQuality, SmallClassifier, StackedClassifier
from lit_gans.metrics.features import SHIPPED, default_features
from lit_gans.verbs.fit import GANCLI
from tests.conftest import small_gan, trainer
from tests.test_datamodules_sets import COUNTS, write_idx, write_mnist
from tests.test_metrics_classes import Mirror


@pytest.fixture
def root(tmp_path):
    """MNIST's files with scikit-learn's digits in them, no two alike, framed as MNIST's are."""
    raw = write_mnist(tmp_path, "MNIST")
    images, labels = Digits(image_size=20).split("train")
    images = pad(images, [4])
    start = 0
    for prefix, count in (("train", COUNTS["train"]), ("t10k", COUNTS["test"])):
        part = slice(start, start := start + count)
        write_idx(raw / f"{prefix}-images-idx3-ubyte", images[part, 0].numpy())
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", labels[part].byte().numpy())
    return str(tmp_path)


def places_of_digits(split, root):
    """The places in MNIST, (N, 3), of the digits of each image."""
    digits = MNIST(root=root).split(split)[0].flatten(1)
    stacked = StackedMNIST(root=root).split(split)[0].flatten(2)
    found = (stacked[:, :, None] == digits).all(3)
    assert (found.sum(2) == 1).all()
    return found.int().argmax(2)


# -- the data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_each_channel_holds_every_digit_once_and_the_label_names_the_three(root, split):
    data = StackedMNIST(root=root, download=False)
    images, labels = data.split(split)
    assert images.shape == (COUNTS[split], *data.image_shape) == (COUNTS[split], 3, 28, 28)
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert (data.name, data.num_classes) == ("stacked_mnist", 1000)
    places = places_of_digits(split, root)
    first, second, third = places.unbind(1)
    in_order = torch.arange(COUNTS[split])
    assert all(torch.equal(order.sort().values, in_order) for order in (first, second, third))
    for one, other in ((first, second), (second, third), (third, first), (first, in_order)):
        assert (one != other).double().mean() > 0.8
    theirs = torchvision.datasets.MNIST(root, train=split == "train").targets.tolist()
    assert labels.tolist() == [int("".join(str(theirs[place]) for place in row)) for row in places.tolist()]


def test_the_same_for_every_seed(root):
    data, other = StackedMNIST(root=root), StackedMNIST(root=root, seed=1, batch_size=7, flip=True)
    for split in COUNTS:
        assert all(map(torch.equal, data.split(split), other.split(split)))
    first = [places_of_digits(split, root)[0].tolist() for split in COUNTS]
    assert first == [[37, 19, 24], [0, 0, 11]]  # who changes this changes the data that all numbers are of


def test_other_sizes_have_the_same_digits(root):
    images, labels = StackedMNIST(root=root).split("train")
    resized, same_labels = StackedMNIST(root=root, image_size=16).split("train")
    assert torch.equal(resized, resize(images, [16, 16], antialias=True))
    assert torch.equal(labels, same_labels)


def test_what_is_wrong_with_the_files_is_said_of_mnist(root, tmp_path):
    with pytest.raises(UserError, match=f"^MNIST not found in {tmp_path}/absent: .*--data.download=true"):
        StackedMNIST(root=f"{root}/absent", download=False).prepare_data()
    raw = tmp_path / "MNIST" / "raw"
    write_idx(raw / "train-labels-idx1-ubyte", torch.zeros(59, dtype=torch.uint8).numpy())
    with pytest.raises(UserError, match="^mnist: 60 images but 59 labels"):
        StackedMNIST(root=root).prepare_data()
    (raw / "train-images-idx3-ubyte").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 60, 28, 28))
    with pytest.raises(UserError, match="^MNIST: damaged file .*train-images-idx3-ubyte"):
        StackedMNIST(root=root).prepare_data()


# -- the network -------------------------------------------------------------------------------------------------------


def test_it_is_the_classifier_of_digits_on_each_channel(root):
    images = StackedMNIST(root=root).split("train")[0] / 127.5 - 1
    network, single = StackedClassifier(), SmallClassifier("mnist")
    features, logits = network(images)
    assert features.shape == (60, network.num_features) == (60, 384)
    assert logits.shape == (60, network.num_classes) == (60, 1000)
    found, scores = zip(*(single(images[:, [channel]]) for channel in range(3)), strict=True)
    assert torch.allclose(features, torch.cat(found, 1), rtol=1e-5, atol=1e-5)
    first, second, third = (score.argmax(1) for score in scores)
    triples = 100 * first + 10 * second + third
    assert len(triples.unique()) > 40
    assert torch.equal(logits.argmax(1), triples)
    chances = [score.double().softmax(1) for score in scores]
    expected = torch.einsum("na,nb,nc->nabc", *chances).flatten(1)
    assert torch.allclose(logits.exp().double(), expected, rtol=1e-4, atol=1e-12)


def test_its_protocol_is_that_of_the_file_it_is_made_of():
    (network,), single = default_features("stacked_mnist"), SmallClassifier("mnist")
    assert isinstance(network, StackedClassifier)
    assert (network.name, network.sha256, network.resize) == ("stacked_mnist", SHIPPED["mnist"], single.resize)
    assert network.train().classifier.training is False
    assert not any(parameter.requires_grad for parameter in network.parameters())
    larger = torch.rand(4, 3, 40, 40) * 2 - 1
    assert torch.allclose(network(larger)[0][:, :128], single(larger[:, :1])[0], rtol=1e-5, atol=1e-5)


def test_images_of_other_than_three_digits_are_refused():
    with pytest.raises(UserError, match="3 digits, one in each channel, not of 1"):
        StackedClassifier()(torch.zeros(3, 1, 28, 28))


class Copies(Mirror):
    """Hands out the test images as fakes."""

    num_classes = 1000


def test_it_measures_stacked_digits_unasked(root):
    quality = ImageQuality(n_real=60, n_fake=30)
    data = StackedMNIST(root=root, batch_size=30)
    (row,) = trainer(limit_val_batches=1.0, callbacks=[quality]).validate(Copies(), data, verbose=False)
    scores = {f"val/{score}{name}" for score in ("fid", "is", "label_accuracy") for name in ("", "_stacked_mnist")}
    assert row.keys() == scores
    assert (quality.descriptions["fid"]["features"], quality.descriptions["fid"]["sha256"]) == (
        "stacked_mnist",
        SHIPPED["mnist"],
    )
    digits, labels = MNIST(root=root).split("test")
    right = SmallClassifier("mnist")(digits / 127.5 - 1)[1].argmax(1) == labels
    three = right[places_of_digits("test", root)].all(1).double().mean().item()
    assert row["val/label_accuracy"] == pytest.approx(three)
    assert 0.1 < three < 1


def test_the_command_line_knows_both(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--model=GAN", "--data=StackedMNIST", "--metrics.features=[StackedClassifier]", "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["data"]["init_args"]["image_size"] == 28
    assert config["metrics"]["features"][0]["class_path"].endswith(".StackedClassifier")


def test_the_command_line_imports_what_nothing_else_may_have(monkeypatch):
    asked = []
    monkeypatch.setattr(lit_gans.metrics, "__getattr__", asked.append)
    monkeypatch.setattr(GANCLI, "run_command", lambda self, args: None)
    GANCLI(["fit"])
    assert "StackedClassifier" in asked


def test_a_grid_of_a_thousand_classes_shows_some_from_all_over(monkeypatch):
    asked = []
    model = small_gan(image_shape=(3, 8, 8), num_classes=1000, conditional=True)
    sample = model.sample
    monkeypatch.setattr(model, "sample", lambda n, labels, *rest: asked.append(labels) or sample(n, labels, *rest))
    for rows, expected in ((None, 1000 * torch.arange(16) // 16), (3, [0, 333, 666])):
        model.trainer = trainer()
        SampleGrid(rows=rows, columns=2).draw(model.trainer, model)
        assert asked[-1].tolist() == torch.as_tensor(expected).repeat_interleave(2).tolist()
