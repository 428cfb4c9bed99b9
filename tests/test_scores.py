"""Scores of given features against closed forms, the reference tools, and what they are meant to see."""

import warnings

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.mifid import MemorizationInformedFrechetInceptionDistance

from lit_gans.errors import UserError
from lit_gans.metrics import (
    FID,
    KID,
    DataCopying,
    FIDInfinity,
    FIDInterval,
    InceptionScore,
    MiFID,
    ModeCoverage,
    Neighbours,
    Protocol,
    Reference,
    SmallClassifier,
)
from lit_gans.metrics.kid import mmd
from lit_gans.metrics.measurement import Measurement
from lit_gans.metrics.memorisation import closest_pairs
from lit_gans.randomness import keyed_generator
from tests.scoring import fresh_fakes, gaussian, value


def test_inception_score_agrees_with_torch_fidelity_whatever_the_order_of_batches():
    real, logits = gaussian(10, 4, "real"), 2 * gaussian(1003, 10, "logits")
    expected = isc_features_to_metric(logits)["inception_score_mean"]
    assert value(InceptionScore, real, logits).item() == pytest.approx(expected, rel=1e-9)
    assert value(InceptionScore, real, logits, backwards=True) == value(InceptionScore, real, logits)


def test_inception_score_counts_sure_and_even_classes():
    logits = 50 * nn.functional.one_hot(torch.arange(1000) % 10, 10).float()
    assert 9.5 < value(InceptionScore, logits, logits).item() <= 10
    assert value(InceptionScore, logits, torch.randn(3, 10)).item() == pytest.approx(1)  # three parts of one each


def test_kid_agrees_with_torch_fidelity_on_the_same_subsets():
    real, fake = gaussian(700, 32, "real"), gaussian(650, 32, "fake")
    options = {"kid_subset_size": 200, "kid_subsets": 20, "verbose": False}
    expected = kid_features_to_metric(fake.double(), real.double(), **options)["kernel_inception_distance_mean"]
    found = value(lambda r: KID(r, subset_size=200, subsets=20), real, fake)
    assert found["kid"].item() == pytest.approx(expected, rel=1e-9)
    assert found["kid_low"] < found["kid"] < found["kid_high"]


def test_kid_is_the_mean_of_kernels_over_pairs():
    real, fake = gaussian(5, 3, "real").double(), gaussian(5, 3, "fake").double()

    def kernel(a, b):
        return ((a * b).sum() / 3 + 1) ** 3

    within = sum(kernel(x[i], x[j]) for x in (real, fake) for i in range(5) for j in range(5) if i != j) / 20
    across = sum(kernel(a, b) for a in real for b in fake) / 25
    found = value(lambda r: KID(r, subset_size=5, subsets=2), real, fake)
    assert found.keys() == {"kid"}  # there is one subset only, and no spread
    assert found["kid"].item() == pytest.approx((within - 2 * across).item(), rel=1e-9)


@pytest.mark.parametrize(("count", "others"), [(1500, 1100), (40, 2100)])
def test_precision_and_recall_agree_with_torch_fidelity(count, others):
    real, fake = gaussian(count, 6, "same"), 1.1 * gaussian(others, 6, "same") + 0.1
    expected = prc_features_to_metric(fake, real, prc_neighborhood=3, prc_batch_size=10_000, verbose=False)
    found = value(Neighbours, real, fake)
    assert found["precision"].item() == pytest.approx(expected["precision"], abs=1e-6)
    assert found["recall"].item() == pytest.approx(expected["recall"], abs=1e-6)
    assert 0 < expected["precision"] < 1


def test_density_and_coverage_image_by_image():
    real, fake = gaussian(30, 2, "same"), 0.5 * gaussian(40, 2, "same") + 1
    apart = [[(a - b).norm().item() for b in fake] for a in real]
    radius = [sorted((a - b).norm().item() for b in real)[4] for a in real]  # the first is the image itself
    inside = np.array(apart) < np.array(radius)[:, None]
    found = value(lambda r: Neighbours(r, k=3, density_k=4), real, fake)
    assert found["density"].item() == pytest.approx(inside.sum() / (4 * 40))
    assert found["coverage"].item() == pytest.approx(inside.any(1).mean())
    assert 0 < inside.any(1).mean() < 1


def test_mifid_agrees_with_torchmetrics_with_exchanged_roles():
    """The paper's mean is over the fakes; torchmetrics' is over what it is told to be real."""
    real = gaussian(300, 16, "real") + 3
    fake = torch.cat([real[:150] + 0.01 * gaussian(150, 16, "noise"), gaussian(70, 16, "fake") + 3])
    given = nn.Identity()
    given.num_features = 16
    metric = MemorizationInformedFrechetInceptionDistance(given)
    metric.update(fake.double(), real=True)
    metric.update(real.double(), real=False)
    found = value(MiFID, real, fake).item()
    assert found == pytest.approx(metric.compute().item(), rel=1e-6)
    assert found > 20 * value(FID, real, fake).item()
    far = real - 2 * real.mean(0) * (torch.arange(16) % 2)
    assert value(MiFID, real, far) == value(FID, real, far)


def copying(train, fakes, held_out):
    return value(DataCopying, train, fakes, held_out=lambda: held_out)


def test_copies_are_nearer_to_training_images():
    train, held_out, fresh = gaussian(1400, 8, "same").split([500, 500, 400])
    copies = torch.cat([fresh[:300], train[:100] + 0.01 * fresh[300:]])
    honest, copied = copying(train, fresh, held_out), copying(train, copies, held_out)
    assert honest["copies"].item() < 0.05
    assert abs(honest["copying_z"]) < 2.5
    assert 0.1 < copied["copies"].item() < 0.25  # of which one can be sure
    assert copied["copying_p"] < 1e-4
    every = copying(train, train[:100], held_out[:200])
    assert 0.7 < every["copies"] < 1
    noise = train.mean(0) + torch.tensor([100.0] + [0.0] * 7) + gaussian(400, 8, "noise")  # all near to the same few
    assert copying(train, noise, held_out)["copies"] == 0
    assert every["copying_p"].item() == pytest.approx(norm.sf(every["copying_z"].item()), rel=1e-6)
    assert copying(held_out, copies, train)["copying_p"] > 1 - 1e-4
    fakes, reals = closest_pairs(Reference(train, held_out=lambda: held_out), copies, 100)
    assert sorted(fakes.tolist()) == list(range(300, 400))
    assert all(reals == fakes - 300)
    alone = closest_pairs(Reference(train), copies, 100)
    assert sorted(alone[0].tolist()) == list(range(300, 400))


def test_forgetting_and_smoothing_are_no_copying():
    """Half of the classes lost, or nothing but typical images: nearer to reals than reals are, to either kind."""
    train, held_out = gaussian(1400, 8, "same")[:500], gaussian(1400, 8, "same")[500:1000]
    fresh = gaussian(1400, 8, "same")[1000:]
    for fakes in (fresh[fresh[:, 0] > fresh[:, 0].median()], fresh.mean(0) + 0.3 * (fresh - fresh.mean(0))):
        assert abs(copying(train, fakes, held_out)["copying_z"]) < 2.5


def test_p_of_the_test_for_copies_is_uniform_without_copies():
    """Though many fakes have the same nearest image: there are fewer real ones."""
    values = []
    for draw in range(300):
        images = torch.randn(380, 4, generator=keyed_generator("draw", draw))
        values.append(copying(images[:40], images[80:], images[40:80])["copying_p"].item())
    shares = [np.mean(np.array(values) < level) for level in (0.05, 0.1, 0.5, 0.9)]
    assert shares == pytest.approx([0.05, 0.1, 0.5, 0.9], abs=0.06)


def test_modes_and_their_divergence():
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    logits = nn.functional.one_hot(torch.tensor([0, 0, 0, 1]), 4).float()
    real = gaussian(8, 3, "real")
    found = value(ModeCoverage, real, gaussian(4, 3, "fake"), logits=logits, labels=labels, num_classes=4)
    assert found["modes"].item() == 0.5
    assert found["modes_kl"].item() == pytest.approx(0.75 * np.log(3) + 0.25 * np.log(1))
    even = logits[[0, 3]].roll(1, 1), logits[[0, 3]].roll(-1, 1)
    found = value(ModeCoverage, real, gaussian(4, 3, "fake"), logits=torch.cat(even), labels=labels, num_classes=4)
    assert found["modes_kl"] >= 0


def test_modes_want_a_network_that_knows_the_classes():
    """As many logits do not make it one."""
    for name, there in (("digits", True), ("mnist", False)):
        reference = Reference(gaussian(8, 128, "real"), torch.arange(8), num_classes=10, name="digits")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            measurement = Measurement(SmallClassifier(name), Protocol(), reference, [ModeCoverage])
        assert any("the 10 of digits, which mnist does not tell" in str(one.message) for one in said) is not there
        assert any(isinstance(score, ModeCoverage) for score in measurement.scores) is there


def test_classes_that_the_data_lack_count_as_half_an_image():
    real, labels = gaussian(8, 3, "real"), torch.tensor([0, 0, 1, 1])
    logits = nn.functional.one_hot(torch.tensor([0, 1, 2, 2]), 3).float()
    found = value(ModeCoverage, real, gaussian(4, 3, "fake"), logits=logits, labels=labels, num_classes=3)
    assert found["modes"].item() == 1  # of those there are
    assert found["modes_kl"].item() == pytest.approx(0.5 * np.log(0.25 / 0.5) + 0.5 * np.log(0.5 / 0.125))


# -- where it is close -------------------------------------------------------------------------------------------------


def test_neighbours_of_equal_images():
    """On the very edge of a ball: inside for precision and recall, outside for density and coverage."""
    line = torch.arange(6.0)[:, None]
    found = value(lambda r: Neighbours(r, k=1, density_k=1), line, torch.tensor([[-1.0], [6.0], [9.0], [12.0]]))
    assert found["precision"].item() == 0.5
    assert found["recall"].item() == 1  # the balls of the fakes reach 7, 3, 3 and 3 far
    assert found["density"].item() == found["coverage"].item() == 0


def test_neighbours_far_from_zero():
    real, fake = gaussian(300, 6, "same"), 0.9 * gaussian(300, 6, "same")
    near, far = (value(Neighbours, real + shift, fake + shift) for shift in (0, 1000))
    for name, share in near.items():
        assert far[name].item() == pytest.approx(share.item(), abs=0.01)


def test_ties_are_no_copies():
    """Of features that are small whole numbers, a training and a held-out image are often equally near."""
    draws = [
        (
            torch.randint(0, 3, (100, 4), generator=keyed_generator("ties", draw)).float()
            for draw in range(3 * k, 3 * k + 3)
        )
        for k in range(20)
    ]
    shares = [copying(*images)["copies"].item() for images in draws]
    assert np.mean(shares) == pytest.approx(0, abs=0.1)


def test_interval_of_kid_with_few_fakes_and_many_reals_is_that_of_the_few():
    real, fake = gaussian(900, 8, "real"), gaussian(200, 8, "fake")
    found = value(lambda r: KID(r, subset_size=50, subsets=30), real, fake)
    random = np.random.RandomState(2020)
    values = [
        mmd(*(x[random.choice(len(x), 50, replace=False)] for x in (fake.double(), real.double()))) for _ in range(30)
    ]
    half = 1.96 * torch.stack(values).std().item() * (50 / 150 + 1 / 30) ** 0.5
    assert (found["kid_high"] - found["kid"]).item() == pytest.approx(half)
    assert value(lambda r: KID(r, subset_size=101, subsets=3), real, fake).keys() == {"kid"}


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_bad_input_is_said():
    real = gaussian(50, 4, "real")
    broken = real.clone()
    broken[[7, 9], 2] = torch.nan
    with pytest.raises(UserError, match="2 of 50 real images are not finite, the first is image 7"):
        Reference(broken)
    for score in (FIDInterval, FIDInfinity, Neighbours, lambda r: KID(r, subset_size=9)):
        with pytest.raises(UserError, match="2 of 50 fake images are not finite, the first is image 7"):
            value(score, real, broken)
    with pytest.raises(UserError, match="features of 2 of 50 fake images are not finite"):
        value(FID, real, broken)
    with pytest.raises(UserError, match="FIDInterval needs at least 20 real and 20 fake images, not 50 and 19"):
        value(FIDInterval, real, real[:19])
    with pytest.raises(UserError, match="1000 fake images, not 50 and 50: take more, or smaller subsets"):
        value(KID, real, real)
    with pytest.raises(UserError, match="Neighbours needs at least 6 real and 6 fake images, not 50 and 5"):
        value(Neighbours, real, real[:5])
    with pytest.raises(UserError, match="at least 2 real images, not 1"):
        Reference(real[:1])
    with pytest.warns(UserWarning, match="no test for copies"):
        assert value(DataCopying, real, real) == {}
    for wrong in ({"groups": 1}, {"groups": 0}):
        with pytest.raises(UserError, match="groups must be at least 2"):
            FIDInterval(Reference(real), **wrong)


def test_interval_of_kid_is_as_wide_as_that_of_fresh_images():
    def both(draw):
        generator = keyed_generator("reals", draw)
        real = torch.randn(600, 8, generator=generator)
        return value(lambda r: KID(r, subset_size=100, subsets=100), real, fresh_fakes(600, draw))

    found = [both(draw) for draw in range(40)]
    spread = torch.stack([kid["kid"] for kid in found]).std().item()
    widths = torch.stack([kid["kid_high"] - kid["kid_low"] for kid in found])
    assert widths.mean().item() == pytest.approx(2 * 1.96 * spread, rel=0.25)
