"""FID of given features against closed forms and torch-fidelity, its interval and its limit."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from lit_gans.metrics import FID, FIDInfinity, FIDInterval, Reference
from lit_gans.metrics.fid import lower_half
from lit_gans.randomness import keyed_generator
from tests.scoring import fresh_fakes, gaussian, value


def closed_form(real, fake):
    (mean_1, cov_1), (mean_2, cov_2) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (real.numpy(), fake.numpy()))
    return ((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1 + cov_2 - 2 * scipy.linalg.sqrtm(cov_1 @ cov_2).real)


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


def test_equal_sets_have_distance_zero():
    for count in (500, 20):
        real = gaussian(count, 32, "real")
        assert 0 <= value(FID, real, real).item() < 1e-6


def test_interval_of_fid_is_as_wide_as_that_of_fresh_fakes():
    real = torch.randn(4000, 8, generator=keyed_generator("real"))
    fids = torch.stack([value(FID, real, fresh_fakes(800, draw)) for draw in range(100)])
    intervals = [value(lambda r: FIDInterval(r, groups=40), real, fresh_fakes(800, draw)) for draw in range(10)]
    widths = torch.stack([ends["fid_high"] - ends["fid_low"] for ends in intervals])
    assert widths.mean().item() == pytest.approx(2 * 1.96 * fids.std().item(), rel=0.2)
    assert sum(ends["fid_low"].item() < fids.mean().item() < ends["fid_high"].item() for ends in intervals) >= 8
    near = torch.randn(10, 800, 8, generator=keyed_generator("near"))  # other draws of the reals' distribution
    fids = torch.stack([value(FID, real, torch.randn(800, 8, generator=keyed_generator(d))) for d in range(100)])
    intervals = [value(FIDInterval, real, fakes) for fakes in near]
    widths = torch.stack([ends["fid_high"] - ends["fid_low"] for ends in intervals])
    assert 0.8 < widths.mean().item() / (2 * 1.96 * fids.std().item()) < 1.5


def test_infinite_fid_is_that_of_the_distribution():
    """Means 0.2 apart and spreads 1 and 1.2 in eight dimensions: 8 (0.04 + 0.04); few fakes alone add to it."""
    real = torch.randn(100_000, 8, generator=keyed_generator("real"))
    plain = torch.stack([value(FID, real, fresh_fakes(200, draw)) for draw in range(20)]).mean().item()
    infinite = torch.stack([value(FIDInfinity, real, fresh_fakes(200, draw)) for draw in range(20)]).mean().item()
    assert plain > 0.72
    assert infinite == pytest.approx(0.64, abs=0.04)


def test_infinite_fid_with_many_features():
    """Ten fakes for each feature: subsets of fewer than three for each are beyond the straight line."""
    real = torch.randn(30_000, 32, generator=keyed_generator("real"))
    fakes = [1.2 * torch.randn(320, 32, generator=keyed_generator("fresh", draw)) for draw in range(12)]
    found = torch.stack([value(FIDInfinity, real, fake) for fake in fakes]).mean().item()
    assert found == pytest.approx(32 * 0.04, abs=0.12)
    with pytest.warns(UserWarning, match="fid_infinity of 32 features wants 160 fakes or more"):
        value(FIDInfinity, real, fakes[0][:159])


@pytest.mark.parametrize(("count", "dead"), [(400, 0), (400, 1), (280, 0)])
def test_root_of_the_reals_and_its_product_with_the_fakes_are_whole(count, dead):
    """Wider than a block, where zeros are left out; with a covariance that is regular, singular, of few images."""
    real, fake = gaussian(count, 300, "real"), gaussian(400, 300, "fake")
    real[:, :dead] = 0
    factor, covariance = Reference(real).factor, fake.double().T.cov()
    torch.testing.assert_close(factor @ factor.T, real.double().T.cov())
    whole = factor.T @ covariance @ factor
    torch.testing.assert_close(lower_half(factor, covariance).tril(), whole.tril(), rtol=0, atol=1e-12)
