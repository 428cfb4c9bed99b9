"""Features of the reals on disk: computed once, shared by runs, never believed when damaged."""

import threading
from pathlib import Path

import pytest
import torch

from datamodules import Digits
from lit_gans.metrics import ImageQuality, Protocol, SmallClassifier
from lit_gans.metrics.reals import reference_of
from lit_gans.metrics.reference import content_of, kept_features
from tests.conftest import small_gan, trainer


class Counting(SmallClassifier):
    """Counts the images that pass it."""

    seen = 0

    def embed(self, levels):
        Counting.seen += len(levels)
        return super().embed(levels)


Counting.__module__ = "lit_gans.own"  # those of other projects are not kept


@pytest.fixture(autouse=True)
def _none_seen():
    Counting.seen = 0


def features(data=None, network=None, **protocol):
    protocol = Protocol(**{"n_real": 100} | protocol)
    return reference_of(data or Digits(), protocol, network or Counting("digits"), device=torch.device("cpu")).features


def stored():
    return sorted(Path("cache/features/real").glob("*"))


def test_computed_once_for_equal_images_and_networks():
    first = features()
    assert Counting.seen == 100
    assert torch.equal(features(Digits(batch_size=7)), first)
    assert Counting.seen == 100
    (path,) = stored()
    images = Digits().split("train")[0][:100] / 127.5 - 1
    assert torch.allclose(SmallClassifier("digits")(images)[0], first, atol=1e-5)
    for other in (
        {"n_real": 99},
        {"reference": "test"},
        {"network": Counting("mnist")},
        {"data": Digits(image_size=9)},
    ):
        features(**other)
    assert len(stored()) == 5
    assert path in stored()


def test_a_change_of_one_pixel_is_another_content():
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    changed = images.clone()
    changed[2, 0, 7, 7] = 1
    assert len({content_of(images), content_of(changed), content_of(images.view(3, 1, 4, 16))}) == 3
    many = torch.zeros(1100, 1, 2, 2, dtype=torch.uint8)
    assert content_of(many) != content_of(torch.cat([many[:-1], many[:1] + 1]))


def test_networks_that_differ_have_their_own():
    made = []
    for change in ({}, {"name": "other"}, {"resize": "other"}, {"sha256": "other"}, {}):
        network = SmallClassifier("digits")
        vars(network).update(change)
        kept_features(network, "content", lambda change=change: made.append(change) or torch.ones(2, 2))
    assert made == [{}, {"name": "other"}, {"resize": "other"}, {"sha256": "other"}]


def test_those_of_own_networks_are_not_kept():
    class Own(SmallClassifier):
        pass

    for number in range(2):
        assert kept_features(Own("digits"), "content", lambda n=number: torch.full((1, 1), float(n))) == number


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-9] + b"?" + b[-8:]])
def test_a_damaged_file_is_made_anew(damage):
    first = features()
    (path,) = stored()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert torch.equal(features(), first)
    assert Counting.seen == 200
    assert path.read_bytes() == whole
    assert stored() == [path]


def test_a_place_that_cannot_be_written_costs_time_only():
    Path("cache").mkdir()
    Path("cache/features").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="features of the real images are not kept in"):
        first = features()
    assert len(first) == 100


def test_jobs_at_the_same_time_see_whole_files_or_none():
    expected, met = torch.randn(200, 300), threading.Barrier(4)
    found, network = [], SmallClassifier("digits")

    def embed():
        met.wait()  # all four find no file
        return expected.clone()

    jobs = [threading.Thread(target=lambda: found.append(kept_features(network, "same", embed))) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert all(torch.equal(one, expected) for one in found)
    assert torch.equal(kept_features(network, "same", lambda: pytest.fail("computed again")), expected)
    assert [path.suffix for path in stored()] == [".safetensors"]


def test_held_out_are_the_test_images_of_a_reference_of_training_images():
    protocol, network = Protocol(n_real=50), SmallClassifier("digits")
    reference = reference_of(Digits(), protocol, network, device=torch.device("cpu"))
    images, labels = Digits().split("test")
    assert torch.allclose(reference.held_out(), network(images[:50] / 127.5 - 1)[0], atol=1e-5)
    assert torch.equal(reference.labels, Digits().split("train")[1])
    protocol = Protocol(reference="test")
    reference = reference_of(Digits(), protocol, network, device=torch.device("cpu"))
    assert reference.held_out is None
    assert torch.equal(reference.labels, labels)


def test_all_processes_compute_or_none():
    network = SmallClassifier("digits")
    kept_features(network, "same", lambda: torch.ones(2, 2))
    assert kept_features(network, "same", lambda: torch.zeros(2, 2), everyone=lambda yes: False).sum() == 0


def test_the_second_run_does_not_embed_the_reals():
    def validate():
        quality = ImageQuality(features=[Counting("digits")], n_real=300, n_fake=20)
        trainer(limit_val_batches=1, callbacks=[quality]).validate(
            small_gan(image_shape=(1, 8, 8), num_classes=10), Digits(), verbose=False
        )
        return quality.descriptions

    first = validate()
    assert Counting.seen == 320
    assert validate() == first
    assert Counting.seen == 340
