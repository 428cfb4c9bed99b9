"""What a number's protocol says, the published ones by name, and what of torchmetrics would differ from them."""

import json
import warnings
from functools import partial
from inspect import signature
from pathlib import Path

import lightning as L
import pytest
import torch
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image import FrechetInceptionDistance, InceptionScore, KernelInceptionDistance

from datamodules import Digits
from lit_gans.errors import UserError
from lit_gans.loggers import CSVRows
from lit_gans.metrics import (
    KID,
    CleanProtocol,
    FIDInterval,
    ImageQuality,
    Lucic2018,
    Neighbours,
    PathLength,
    Protocol,
    Reference,
    SmallClassifier,
    StyleGANProtocol,
)
from lit_gans.metrics.protocol import by_network, short_hash
from lit_gans.metrics.score import embedded
from lit_gans.randomness import keyed_generator
from tests.conftest import small_gan, trainer


@pytest.fixture
def weights(monkeypatch):
    """A file of randomly drawn Inception weights."""
    with monkeypatch.context() as patch:
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save(FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).state_dict(), "weights.pth")
    return "weights.pth"


def validated(model=None, data=None, verb="validate", **options):
    quality = ImageQuality(**{"n_real": 300, "n_fake": 310} | options)
    run = trainer(limit_val_batches=1.0, callbacks=[quality])
    (row,) = getattr(run, verb)(
        model or small_gan(image_shape=(1, 8, 8), num_classes=10), data or Digits(), verbose=False
    )
    return row, quality.descriptions


def test_published_protocols(weights):
    lucic, style, clean = (kind(weights=weights) for kind in (Lucic2018, StyleGANProtocol, CleanProtocol))
    assert (lucic.name, lucic.n_real, lucic.n_fake, lucic.reference) == ("lucic2018", 10_000, 10_000, "test")
    assert (style.name, style.n_real, style.n_fake, style.reference) == ("stylegan", None, 50_000, "train")
    assert (clean.name, clean.n_real, clean.n_fake, clean.reference) == ("clean", None, 50_000, "train")
    assert [len(group) for _, group in by_network([lucic, style, clean])] == [2, 1]  # two pass one network together
    assert "TensorFlow" in lucic.features.resize
    assert "bicubic" in clean.features.resize


def test_one_pass_gives_several_protocols_as_if_each_were_alone():
    several = [
        Protocol(name="few", n_fake=40, n_real=50),
        Protocol(name="test", n_fake=350, reference="test"),
        Protocol(name="mnist", features=SmallClassifier("mnist"), n_fake=310, n_real=300),
    ]
    row, descriptions = validated(protocols=several)
    names = {"fid", "fid_digits", "fid_digits_few", "fid_digits_test", "fid_mnist_mnist"}
    assert {f"val/{name}" for name in names} < row.keys()
    assert row["val/fid_digits_few"] == validated(n_fake=40, n_real=50)[0]["val/fid"]
    assert row["val/fid_digits_test"] == validated(n_fake=350, n_real=None, reference="test")[0]["val/fid"]
    assert row["val/fid"] == validated()[0]["val/fid"]
    assert descriptions["fid_digits_few"]["n_fake"] == 40
    assert descriptions["fid_digits_test"]["n_real"] == 297


def test_what_changes_a_value_changes_its_hash():
    hashes = {
        short_hash(validated(**options)[1][name])
        for options, name in (
            ({}, "fid"),
            ({"n_fake": 300}, "fid"),
            ({"n_real": 299}, "fid"),
            ({"reference": "test"}, "fid"),
            ({"features": [SmallClassifier("mnist")]}, "fid"),
        )
    }
    assert len(hashes) == 5
    first, second = ({"a": 1, "b": "x"}, {"b": "x", "a": 1})
    assert short_hash(first) == short_hash(second) != short_hash({"a": 2, "b": "x"})
    assert len(short_hash(first)) == 8


def test_a_run_says_beside_its_numbers_how_they_were_made():
    quality = ImageQuality(n_real=300, n_fake=310)
    run = trainer(
        max_steps=2, limit_val_batches=1.0, val_check_interval=1, callbacks=[quality], logger=CSVRows("a.csv")
    )
    run.fit(small_gan(image_shape=(1, 8, 8), num_classes=10), Digits())
    told = json.loads(Path(run.default_root_dir, "protocols.json").read_text())
    logged = {name for name in CSVRows("a.csv").rows()[-1] if name.startswith("val/")}
    assert told["values"].keys() == logged
    assert set(told["values"].values()) == told["protocols"].keys()
    assert all(digest == short_hash(made) for digest, made in told["protocols"].items())
    assert told["protocols"][told["values"]["val/fid"]]["n_real"] == 300


def test_a_run_that_goes_on_with_other_scores_keeps_what_it_said_of_the_first():
    for scores in ([partial(KID, subset_size=50)], [Neighbours]):
        quality = ImageQuality(n_real=300, n_fake=310, scores=scores)
        run = trainer(max_steps=1, limit_val_batches=1.0, val_check_interval=1, callbacks=[quality])
        run.fit(small_gan(image_shape=(1, 8, 8), num_classes=10), Digits())
    told = json.loads(Path(run.default_root_dir, "protocols.json").read_text())
    assert {"val/fid", "val/kid", "val/precision"} < told["values"].keys()
    assert len(told["protocols"]) == 3


@pytest.mark.parametrize(("score", "n_fake"), [(KID, 310), (FIDInterval, 19), (Neighbours, 5)])
def test_too_few_images_for_a_score_are_said_before_the_training(score, n_fake):
    model = small_gan(image_shape=(1, 8, 8), num_classes=10)
    run = trainer(max_steps=1, limit_val_batches=1.0, callbacks=[ImageQuality(n_fake=n_fake, scores=[score])])
    with pytest.raises(UserError, match=f"{score.__name__} needs at least .*not 1500 and {n_fake}: take"):
        run.fit(model, Digits())
    assert model.turn == 0


def test_few_images_are_warned_of():
    with pytest.warns(UserWarning, match="FID of 128 features from 100 images depends on their number"):
        validated(n_real=100)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="FID of")
        validated()


def test_bad_protocols():
    for wrong in ({"n_fake": 1}, {"n_real": 0}):
        with pytest.raises(UserError, match="at least 2"):
            Protocol(**wrong)
    with pytest.raises(UserError, match="letters and digits, not 'a b'"):
        Protocol(name="a b")
    with pytest.raises(UserError, match="two protocols would both be called fid_digits: give one"):
        validated(protocols=[Protocol(n_fake=40)])
    with pytest.raises(UserError, match="both be called fid_digits_few"):
        validated(protocols=[Protocol(name="few", n_fake=40), Protocol(name="few")])
    with pytest.raises(UserError, match="the protocol 'few' has no feature network"):
        validated(features=[], protocols=[Protocol(name="few")])
    alone = Protocol(name="few", features=SmallClassifier("digits"), n_fake=40)
    row, _ = validated(features=[], protocols=[alone])
    assert row["val/fid"] == row["val/fid_digits_few"]
    quality = ImageQuality(features=[], protocols=[alone])
    run = trainer(max_steps=1, limit_val_batches=1.0, val_check_interval=1, callbacks=[quality])
    run.fit(small_gan(image_shape=(1, 8, 8), num_classes=10), Digits())
    assert run.callback_metrics["best/fid"] == run.callback_metrics["val/fid_digits_few"]


def test_a_pass_that_was_broken_off_leaves_no_fakes():
    class Breaks(L.Callback):
        passes = 0

        def on_validation_batch_end(self, *_):
            Breaks.passes += 1
            if Breaks.passes == 2:
                raise RuntimeError("broken off")

    model, quality = small_gan(image_shape=(1, 8, 8), num_classes=10), ImageQuality(n_real=300, n_fake=310)
    run = trainer(limit_val_batches=1.0, callbacks=[quality, Breaks()])
    with pytest.raises(RuntimeError, match="broken off"):
        run.validate(model, Digits(), verbose=False)
    again = trainer(limit_val_batches=1.0, callbacks=[quality])
    quality.setup = lambda *_, **__: None  # as within one fit
    again.validate(model, Digits(), verbose=False)
    assert quality.descriptions["fid"]["n_fake"] == 310


# -- features and randomness -------------------------------------------------------------------------------------------


def test_features_under_autocast_are_those_in_full_precision():
    network, images = SmallClassifier("digits"), torch.rand(5, 1, 8, 8, generator=keyed_generator("images")) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16):
        found = embedded(network, images, None, 0)
    assert found.features.dtype == found.logits.dtype == torch.float32
    assert torch.equal(found.features, embedded(network, images, None, 0).features)


@pytest.mark.parametrize("epsilon", [1e-4, 0.5])
def test_path_length_is_that_of_the_generators_slope(epsilon):
    """A generator whose images are a matrix times the latent, and features that are the pixels: the slope is known."""

    class Pixels(SmallClassifier):
        def embed(self, levels):
            return levels.flatten(1) / 127.5 - 1, levels.flatten(1)[:, :10]

    class Linear(nn.Module):
        latent_dim = 6

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(
                torch.randn(64, 6, generator=keyed_generator("weight"), dtype=torch.float64) / 20
            )

        def forward(self, latent, label=None):
            return (latent.double() @ self.weight.T).unflatten(1, (1, 8, 8))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.ema, self.num_classes = Linear(), 0

    reference, model = Reference(torch.rand(3, 2)), Model()
    score = PathLength(reference, samples=4000, epsilon=epsilon)
    state = torch.get_rng_state()
    score.look_at(model, Pixels("digits"))
    assert torch.equal(torch.get_rng_state(), state)
    first, second = (torch.randn(4000, 6, generator=keyed_generator("path length", turn)).double() for turn in (1, 2))
    unit = [latent / latent.norm(dim=1, keepdim=True) for latent in (first, second)]
    angle = (unit[0] * unit[1]).sum(1).clamp(-1, 1).arccos()
    ahead = (((1 - epsilon) * angle).sin() / angle.sin())[:, None] * first
    ahead += ((epsilon * angle).sin() / angle.sin())[:, None] * second
    expected = ((ahead - first) / epsilon @ model.ema.weight.T).square().sum(1)
    low, high = expected.quantile(0.01), expected.quantile(0.99)
    expected = expected[(expected >= low) & (expected <= high)].mean().item()
    assert score.compute().item() == pytest.approx(expected, rel=0.02)
    with pytest.raises(UserError, match="wants a generator that makes images from latents"):
        score.look_at(nn.Identity(), Pixels("digits"))


@pytest.mark.parametrize("conditional", [False, True])
def test_path_length_of_the_gans_of_this_project(conditional):
    model = small_gan(image_shape=(1, 8, 8), num_classes=10, conditional=conditional)
    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        found.append(validated(model, scores=[PathLength])[0]["val/ppl"])
    assert found[0] == found[1] > 0


# -- what torchmetrics does otherwise ----------------------------------------------------------------------------------


def test_torchmetrics_resizes_with_antialias_and_cuts_where_we_round():
    """Each makes another number than the published ones; if a release mends it, this says so."""
    assert signature(FrechetInceptionDistance).parameters["antialias"].default is True
    for metric in (KernelInceptionDistance, InceptionScore):
        assert "antialias" not in signature(metric).parameters
    seen = []

    class Sees(nn.Module):
        num_features = 2

        def forward(self, images):
            seen.append(images)
            return torch.rand(len(images), 2)

    images = torch.full((4, 3, 2, 2), 0.5)
    InceptionScore(Sees(), normalize=True).update(images)
    assert seen[0].unique().item() == 127  # of 127.5
    network = SmallClassifier("digits")
    network.embed = lambda levels: seen.append(levels) or (levels, levels)
    network(torch.zeros(4, 3, 2, 2))
    assert seen[1].unique().item() == 128


def test_torchmetrics_moves_the_random_state_and_ours_does_not():
    given = nn.Identity()
    given.num_features = 4
    kid = KernelInceptionDistance(given, subset_size=5)
    for real in (True, False):
        kid.update(torch.rand(9, 4), real=real)
    state = torch.get_rng_state()
    first = kid.compute()[0]
    assert not torch.equal(torch.get_rng_state(), state)
    kid._computed = None  # which is kept otherwise
    assert kid.compute()[0] != first
    (row, _), (again, _) = (validated(small_gan(image_shape=(1, 8, 8), num_classes=10, seed=3)) for _ in range(2))
    assert row == again
