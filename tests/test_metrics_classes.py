"""What the labels of fakes tell: their accuracy, and the FID of each class."""

import re
from functools import partial

import lightning as L
import numpy as np
import pytest
import scipy.linalg
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from datamodules import Digits
from lit_gans.errors import UserError
from lit_gans.loggers import CSVRows
from lit_gans.metrics import (
    KID,
    DataCopying,
    FIDInfinity,
    FIDInterval,
    ImageQuality,
    MiFID,
    ModeCoverage,
    Neighbours,
    Protocol,
    SmallClassifier,
)
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.fid import frechet_distance
from lit_gans.metrics.reference import Reference, moments
from lit_gans.metrics.score import drawn_labels
from lit_gans.randomness import keyed_generator
from tests.conftest import Noise, small_gan, trainer


class Copies(L.LightningModule):
    """Hands out test images as fakes: of the class asked for, or whatever comes.

    Notes the labels that `sample` is asked for.
    """

    num_classes = 10

    def __init__(self, ignores_labels: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.ignores_labels = ignores_labels
        images, self.labels = Digits().split("test")
        self.images = images / 127.5 - 1
        self.asked: list[int] = []

    def pick(self, labels, generator):
        chances = torch.ones(10, 10) if self.ignores_labels else torch.eye(10)
        chosen = torch.multinomial(chances[labels][:, self.labels], 1, generator=generator)
        return self.images[chosen.flatten()]

    def sample(self, n, labels=None, generator=None):
        assert len(labels) == n
        self.asked += labels.tolist()
        return self.pick(labels, generator)

    def training_step(self, batch, batch_idx):
        return self.weight

    def validation_step(self, batch, batch_idx):
        number = batch_idx * self.trainer.world_size + self.trainer.global_rank
        fake = self.pick(batch.label, keyed_generator("validation", number))
        return {"real": batch.image, "fake": fake, "label": batch.label}

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Mirror(Copies):
    """The fakes of validation are the test images themselves."""

    def validation_step(self, batch, batch_idx):
        return {"real": batch.image, "fake": batch.image, "label": batch.label}


class Halves(FeatureNetwork):
    """Knows no class of the data: mean and spread of the grey levels."""

    name, num_features, num_classes, sha256, resize = "halves", 2, 2, "", "none"

    def embed(self, levels):
        flat = levels.float().flatten(1)
        both = torch.stack([flat.mean(1), flat.std(1)], 1)
        return both, both


def validated(model=None, data=None, verb="validate", devices=1, **options):
    """The metrics of one validation with 600 reals and 500 fakes, 297 of them from validation."""
    quality = ImageQuality(**{"n_real": 600, "n_fake": 500} | options)
    strategy = DDPStrategy(start_method="fork", process_group_backend="gloo") if devices > 1 else "auto"
    run = trainer(limit_val_batches=1.0, callbacks=[quality], devices=devices, strategy=strategy)
    (row,) = getattr(run, verb)(model or Copies(), data or Digits(), verbose=False)
    return row


def fids_of_classes(row, network="digits"):
    found = {re.fullmatch(rf"val/fid_class(\d+)_{network}", name): value for name, value in row.items()}
    return {int(match[1]): value for match, value in found.items() if match}


def labels_of_digits(split="train"):
    return Digits().split(split)[1]


# -- accuracy of labels ------------------------------------------------------------------------------------------------


def test_fakes_of_the_class_asked_for_are_as_accurate_as_the_classifier():
    images = Copies().images
    right = SmallClassifier("digits")(images)[1].argmax(1) == labels_of_digits("test")
    assert 0.99 < right.double().mean() < 1
    row = validated(Mirror(), n_fake=297)
    assert row["val/label_accuracy"] == row["val/label_accuracy_digits"] == pytest.approx(right.double().mean())
    assert validated(Mirror(), n_fake=297, batch_size=10) == pytest.approx(row)  # in smaller pieces
    assert 0.98 < validated()["val/label_accuracy"] <= 1


def test_labels_that_are_ignored_are_seen_though_fid_does_not_see_it():
    row = validated(Copies(ignores_labels=True), per_class=True)
    assert row["val/label_accuracy"] == pytest.approx(0.1, abs=0.04)  # three standard deviations
    assert row["val/fid"] == pytest.approx(validated()["val/fid"], rel=0.3)
    assert min(fids_of_classes(row).values()) > 5 * max(fids_of_classes(validated(per_class=True)).values())


def test_samples_are_asked_for_labels_drawn_from_those_of_the_reals():
    of_train, of_test = labels_of_digits(), labels_of_digits("test")
    for options, expected in (
        ({}, drawn_labels(of_train, 500)[297:]),
        ({"batch_size": 7}, drawn_labels(of_train, 500)[297:]),
        ({"n_real": 20}, drawn_labels(of_train, 500)[297:]),
        ({"reference": "test"}, drawn_labels(of_test, 500)[297:]),
    ):
        model = Copies()
        validated(model, **options)
        assert model.asked == expected.tolist()
    counts = drawn_labels(torch.tensor([0, 0, 0, 1]), 4000).bincount()
    assert counts[0].item() == pytest.approx(3000, abs=110)  # four standard deviations


def test_labelled_fakes_do_not_share_the_composition_of_the_reals():
    """Perfect fakes with the labels of the reals would be nearer to them than other real images are."""
    model = small_gan(image_shape=(1, 8, 8), num_classes=10, conditional=True)
    model.trainer = trainer()
    batch = next(iter(Digits(batch_size=64).val_dataloader()))
    found = [model.validation_step(batch, number)["label"] for number in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[0].sort().values, batch.label.sort().values)
    assert set(found[0].tolist()) <= set(batch.label.tolist())


def test_names_of_each_verb_and_network():
    networks = [Halves(), SmallClassifier("digits"), SmallClassifier("mnist")]
    row = validated(features=networks)
    scores = {f"val/{score}{name}" for score in ("fid", "is") for name in ("", "_halves", "_digits", "_mnist")}
    assert row.keys() == scores | {"val/label_accuracy_digits"}  # plain names are those of the first network
    assert row["val/fid"] == row["val/fid_halves"]
    row = validated(verb="test", features=networks, per_class=True)
    expected = {name.replace("val", "test") for name in scores | {"val/label_accuracy_digits"}}
    suffixes = ("", "_halves", "_digits", "_mnist")
    assert row.keys() == expected | {f"test/fid_class{k}{suffix}" for suffix in suffixes for k in range(10)}


def test_a_model_without_labels_logs_nothing_of_this_and_may_not_be_asked_for_it():
    model = small_gan(image_shape=(1, 8, 8), num_classes=10)
    row = validated(model, n_fake=310)
    clock = {"kimg", "step", "generator/updates"}
    assert row.keys() - clock == {"val/fid", "val/is", "val/fid_digits", "val/is_digits"}
    with pytest.raises(UserError, match="ClassFID is of fakes that were asked to be of a class, and these are not"):
        validated(model, per_class=True)


def test_the_gan_of_this_project():
    model = small_gan(image_shape=(1, 8, 8), num_classes=10, conditional=True)
    row = validated(model, n_real=300, n_fake=310, per_class=True)
    assert 0 <= row["val/label_accuracy"] < 0.5
    assert fids_of_classes(row).keys() == set(range(10))
    digits = {"features": [SmallClassifier("digits")]}
    row = validated(small_gan(conditional=True), Noise(), n_real=40, n_fake=40, **digits)
    assert "val/label_accuracy" not in row  # which are other classes


# -- FID of each class -------------------------------------------------------------------------------------------------


def given(width):
    network = nn.Identity()
    network.num_features = width
    return FrechetInceptionDistance(network)


def test_fids_of_classes_are_those_of_the_subsets():
    model = Copies()
    row = validated(model, per_class=True, features=[SmallClassifier("digits"), Halves()])
    images, labels = Digits().split("train")
    reals, of_reals = images[:600] / 127.5 - 1, labels[:600]
    batches = list(Digits().val_dataloader())
    fakes = [model.pick(batch.label, keyed_generator("validation", k)) for k, batch in enumerate(batches)]
    asked = drawn_labels(labels, 500)[297:]
    fakes = torch.cat([*fakes, model.pick(asked, keyed_generator("evaluation", 0))])
    of_fakes = torch.cat([*(batch.label for batch in batches), asked])
    for network in (SmallClassifier("digits"), Halves()):
        fids = fids_of_classes(row, network.name)
        assert fids.keys() == set(range(10))
        for k, fid in fids.items():
            metric = given(network.num_features)
            metric.update(network(reals[of_reals == k])[0].double(), real=True)
            metric.update(network(fakes[of_fakes == k])[0].double(), real=False)
            assert fid == pytest.approx(
                metric.compute().item(), rel=1e-3
            )  # its own error, with 60 images of 128 features


@pytest.mark.parametrize(("count", "other", "width"), [(300, 200, 12), (9, 300, 12), (9, 7, 12), (2, 2, 3)])
def test_distance_is_the_closed_form_whatever_there_is_more_of(count, other, width):
    real = torch.randn(count, width, generator=keyed_generator("real")) @ torch.randn(width, width)
    fake = torch.randn(other, width, generator=keyed_generator("fake")) + 1
    covariances = [np.cov(features.double().numpy(), rowvar=False) for features in (real, fake)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1] + 1e-13 * np.eye(width)).real
    means = (real.double().mean(0) - fake.double().mean(0)).square().sum()
    expected = means + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(Reference(real), *moments(fake)).item() == pytest.approx(expected.item(), rel=1e-4)


def test_equal_sets_have_distance_zero_class_by_class():
    row = validated(Mirror(), reference="test", n_real=297, n_fake=297, per_class=True)
    assert len(fids_of_classes(row)) == 10
    assert all(0 <= fid < 1e-9 for fid in fids_of_classes(row).values())


def test_classes_of_single_images_are_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="no FID of class 2, 4, 8, 9: it takes at least 2 real and 2 fake"):
        row = validated(reference="test", n_real=20, n_fake=400, per_class=True)
    counts = labels_of_digits("test")[:20].bincount(minlength=10)
    assert fids_of_classes(row).keys() == {k for k in range(10) if counts[k] >= 2}
    assert len(fids_of_classes(row)) == 6


def test_each_validation_counts_its_own_fakes_and_leaves_other_numbers_alone():
    quality = ImageQuality(n_real=600, n_fake=500, per_class=True)
    log = CSVRows("metrics.csv")
    run = trainer(max_steps=3, limit_val_batches=1.0, val_check_interval=1, callbacks=[quality], logger=log)
    run.fit(Copies(), Digits())
    rows = [{name: float(value) for name, value in row.items() if name.startswith("val/")} for row in log.rows()]
    assert rows == [pytest.approx(validated(per_class=True), rel=1e-6)] * 3
    assert validated().items() <= validated(per_class=True).items()
    run.save_checkpoint("last.ckpt")
    assert torch.load("last.ckpt", weights_only=True)["callbacks"]["ImageQuality"].keys() == {"best_fid", "validations"}


class ByProcess(L.Callback):
    """Each process writes its metrics."""

    def on_validation_end(self, trainer, pl_module):
        row = {name: value.item() for name, value in trainer.callback_metrics.items()}
        torch.save(row, f"{trainer.world_size}.{trainer.global_rank}.pt")


ALL = [
    partial(KID, subset_size=40),
    *(Neighbours, MiFID, DataCopying, FIDInterval, FIDInfinity, ModeCoverage),
]


@pytest.mark.parametrize(
    "options",
    [
        {
            "n_real": 600,
            "n_fake": 900,
            "scores": ALL,
            "protocols": [Protocol(name="test", n_fake=333, reference="test")],
        },
        {"n_real": 50, "n_fake": 64},
    ],
)
def test_two_processes_give_the_numbers_of_one(options, monkeypatch):
    """The second case leaves one of them without any image."""
    for devices in (1, 2):
        monkeypatch.setenv("LIT_GANS_CACHE", f"cache of {devices}")  # both embed the reals
        quality = ImageQuality(**options, batch_size=100, per_class=True)
        strategy = DDPStrategy(start_method="fork", process_group_backend="gloo") if devices > 1 else "auto"
        run = trainer(limit_val_batches=1.0, callbacks=[quality, ByProcess()], devices=devices, strategy=strategy)
        run.validate(Copies(), Digits(batch_size=64), verbose=False)
    one, first, second = (torch.load(f"{name}.pt") for name in ("1.0", "2.0", "2.1"))
    assert first == second
    assert first == pytest.approx(one, rel=1e-6)
    assert len(fids_of_classes(one)) > 5
    assert "val/label_accuracy" in one
    wanted = "kid recall mifid copies fid_low fid_infinity modes_kl fid_digits_test kid_digits_test"
    assert "scores" not in options or {f"val/{name}" for name in wanted.split()} < one.keys()
