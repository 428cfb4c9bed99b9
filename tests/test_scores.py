"""Scores of given features against closed forms, the reference tools, and what they are meant to see."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
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
    Reference,
)
from lit_gans.metrics.fid import lower_half
from lit_gans.metrics.memorisation import closest_pairs
from lit_gans.metrics.score import Embedded
from lit_gans.randomness import keyed_generator


def gaussian(count: int, width: int, *key: object) -> torch.Tensor:
    generator = keyed_generator(*key)
    mixing = torch.randn(width, width, generator=generator) / width**0.5
    mean = torch.randn(width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mixing + mean


def value(score, real, fake, *, logits=None, part=77, backwards=False, **reference):
    """The score of features, given in parts."""
    metric = score(Reference(real, **reference))
    logits = fake if logits is None else logits
    starts = range(0, len(fake), part)
    for start in reversed(starts) if backwards else starts:
        place = torch.arange(start, min(start + part, len(fake)))
        metric.update(Embedded(fake[place], logits[place], torch.full_like(place, -1), place))
    return metric.compute()


def closed_form(real, fake):
    (mean_1, cov_1), (mean_2, cov_2) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (real.numpy(), fake.numpy()))
    return ((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1 + cov_2 - 2 * scipy.linalg.sqrtm(cov_1 @ cov_2).real)


# -- FID ---------------------------------------------------------------------------------------------------------------


def test_fid_is_the_closed_form_distance_of_two_gaussians():
    real, fake = gaussian(1000, 16, "real"), gaussian(700, 16, "fake")
    assert value(FID, real, fake).item() == pytest.approx(closed_form(real.double(), fake.double()), rel=1e-9)


@pytest.mark.parametrize(("count", "tolerance"), [(600, 1e-6), (64, 1e-4), (40, 1e-4)])
def test_fid_agrees_with_torch_fidelity(count, tolerance):
    real, fake = gaussian(count, 64, "real"), gaussian(count + 3, 64, "fake")
    statistics = (fid_features_to_statistics(x.double()) for x in (real, fake))
    expected = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert value(FID, real, fake).item() == pytest.approx(expected, rel=tolerance)


def test_fid_where_the_covariance_of_many_reals_is_singular():
    real, fake = gaussian(300, 8, "real"), gaussian(300, 8, "fake")
    dead = nn.functional.pad(real, (0, 2)), nn.functional.pad(fake, (0, 2))
    doubled = torch.cat([real, real], dim=1), torch.cat([fake, fake], dim=1)
    assert value(FID, *dead).item() == pytest.approx(value(FID, real, fake).item(), rel=1e-6)
    assert value(FID, *doubled).item() == pytest.approx(2 * value(FID, real, fake).item(), rel=1e-6)


def test_fid_keeps_its_digits_far_from_zero():
    real, fake = gaussian(500, 16, "real"), gaussian(500, 16, "fake")
    shifted = value(FID, real.double() + 1e5, fake.double() + 1e5).item()
    assert shifted == pytest.approx(value(FID, real, fake).item(), rel=1e-6)


@pytest.mark.parametrize(("count", "dead"), [(400, 0), (400, 1), (280, 0)])
def test_root_of_the_reals_and_its_product_with_the_fakes_are_whole(count, dead):
    """Wider than a block, where zeros are left out; with a covariance that is regular, singular, of few images."""
    real, fake = gaussian(count, 300, "real"), gaussian(400, 300, "fake")
    real[:, :dead] = 0
    factor, covariance = Reference(real).factor, fake.double().T.cov()
    torch.testing.assert_close(factor @ factor.T, real.double().T.cov())
    whole = factor.T @ covariance @ factor
    torch.testing.assert_close(lower_half(factor, covariance).tril(), whole.tril(), rtol=0, atol=1e-12)


def test_equal_sets_have_distance_zero():
    for count in (500, 20):
        real = gaussian(count, 32, "real")
        assert 0 <= value(FID, real, real).item() < 1e-6


def fresh_fakes(count, draw):
    generator = keyed_generator("fresh", draw)
    return 1.2 * torch.randn(count, 8, generator=generator) + 0.2


def test_interval_of_fid_is_as_wide_as_that_of_fresh_fakes():
    real = torch.randn(4000, 8, generator=keyed_generator("real"))
    fids = torch.stack([value(FID, real, fresh_fakes(800, draw)) for draw in range(100)])
    intervals = [value(lambda r: FIDInterval(r, draws=40), real, fresh_fakes(800, draw)) for draw in range(10)]
    widths = torch.stack([ends["fid_high"] - ends["fid_low"] for ends in intervals])
    assert widths.mean().item() == pytest.approx(2 * 1.96 * fids.std().item(), rel=0.2)
    assert all(ends["fid_low"] < fids.mean() < ends["fid_high"] for ends in intervals[:5])


def test_interval_of_kid_is_as_wide_as_that_of_fresh_images():
    def both(draw):
        generator = keyed_generator("reals", draw)
        real = torch.randn(600, 8, generator=generator)
        return value(lambda r: KID(r, subset_size=100, subsets=100), real, fresh_fakes(600, draw))

    found = [both(draw) for draw in range(40)]
    spread = torch.stack([kid["kid"] for kid in found]).std().item()
    widths = torch.stack([kid["kid_high"] - kid["kid_low"] for kid in found])
    assert widths.mean().item() == pytest.approx(2 * 1.96 * spread, rel=0.25)


def test_infinite_fid_is_that_of_the_distribution():
    """Means 0.2 apart and spreads 1 and 1.2 in eight dimensions: 8 (0.04 + 0.04); few fakes alone add to it."""
    real = torch.randn(100_000, 8, generator=keyed_generator("real"))
    plain = torch.stack([value(FID, real, fresh_fakes(200, draw)) for draw in range(20)]).mean().item()
    infinite = torch.stack([value(FIDInfinity, real, fresh_fakes(200, draw)) for draw in range(20)]).mean().item()
    assert plain > 0.72
    assert infinite == pytest.approx(0.64, abs=0.04)


# -- the other scores --------------------------------------------------------------------------------------------------


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


def test_copies_are_nearer_than_fresh_images():
    train, held_out = gaussian(1000, 8, "same")[:700], gaussian(1000, 8, "same")[700:]
    fresh = gaussian(1400, 8, "same")[1000:]
    copies = torch.cat([fresh[:250], train[:150] + 0.01 * fresh[250:]])
    honest = value(DataCopying, train, fresh, held_out=lambda: held_out)
    copied = value(DataCopying, train, copies, held_out=lambda: held_out)
    assert abs(honest["copying_z"]) < 2.5
    assert 0.01 < honest["copying_p"] < 0.99
    assert copied["copying_z"] < -5
    assert copied["copying_p"] < 1e-6
    fakes, reals, distances = closest_pairs(Reference(train), copies, 150)
    assert sorted(fakes.tolist()) == list(range(250, 400))
    assert all(reals == fakes - 250)
    assert all(distances[:-1] <= distances[1:])


def test_forgetting_a_part_is_no_copying():
    """Two clusters, one of them denser: fakes of that one alone are nearer to the training images than most are."""

    def images(key, count, dense):
        generator = keyed_generator(key)
        spread = torch.where(torch.rand(count, 1, generator=generator) < dense, 0.3, 3.0)
        return torch.randn(count, 4, generator=generator) * spread + 20 * (spread > 1)

    train, held_out = images("train", 1000, 0.5), images("held out", 600, 0.5)
    found = value(DataCopying, train, images("fake", 500, 1.0), held_out=lambda: held_out)
    assert abs(found["copying_z"]) < 3
    found = value(lambda r: DataCopying(r, cells=1), train, images("fake", 500, 1.0), held_out=lambda: held_out)
    assert found["copying_z"] < -3  # without cells


def test_p_of_the_test_for_copies_is_uniform_without_copies():
    train = torch.randn(200, 4, generator=keyed_generator("train"))
    values = []
    for draw in range(200):
        images = torch.randn(300, 4, generator=keyed_generator("draw", draw))
        found = value(DataCopying, train, images[:150], held_out=lambda images=images: images[150:])
        values.append(found["copying_p"].item())
    shares = [np.mean(np.array(values) < level) for level in (0.1, 0.5, 0.9)]
    assert shares == pytest.approx([0.1, 0.5, 0.9], abs=0.1)


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
    real = gaussian(8, 3, "real")
    with pytest.warns(UserWarning, match="does not tell the classes"):
        found = value(ModeCoverage, real, real, labels=torch.zeros(8).long(), num_classes=4)
    assert found == {}


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
    with pytest.raises(UserError, match="fake images are not finite"):
        value(FID, real, broken)
    with pytest.raises(UserError, match="subsets of 1000 images, and there are 50 real and 50 fake"):
        value(KID, real, real)
    with pytest.raises(UserError, match="5-th nearest neighbour of an image needs more than 5 images, not 5"):
        value(Neighbours, real[:5], real)
    with pytest.raises(UserError, match="at least 2 real images, not 1"):
        Reference(real[:1])
    with pytest.raises(UserError, match="there are none"):
        DataCopying(Reference(real))
    for wrong in ({"draws": 1}, {"draws": 0}):
        with pytest.raises(UserError, match="draws must be at least 2"):
            FIDInterval(Reference(real), **wrong)
