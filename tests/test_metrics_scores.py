import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric

from lit_gans.metrics.inception_score import InceptionScore
from lit_gans.metrics.scores import FeatureScores
from lit_gans.randomness import keyed_generator

CPU = torch.device("cpu")


class AsGiven(nn.Module):
    """Features and logits are the input itself."""

    name, sha256, resize = "given", "", "none"

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = self.num_classes = num_features

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return images, images


def gaussian(count: int, width: int, *key: object) -> torch.Tensor:
    generator = keyed_generator(*key)
    mixing = torch.randn(width, width, generator=generator) / width**0.5
    return torch.randn(count, width, generator=generator) @ mixing + torch.randn(width, generator=generator)


def scores_of(real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
    scores = FeatureScores(AsGiven(real.shape[1]), CPU)
    for start in range(0, len(real), 100):
        scores.update(real[start : start + 100], start=start, real=True)
    for start in range(0, len(fake), 77):
        scores.update(fake[start : start + 77], start=start, real=False)
    return scores.compute()


def test_fid_is_the_closed_form_distance_of_two_gaussians():
    real, fake = gaussian(1000, 16, "real"), gaussian(700, 16, "fake")
    (mean_1, cov_1), (mean_2, cov_2) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (real.numpy(), fake.numpy()))
    distance = ((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1 + cov_2 - 2 * scipy.linalg.sqrtm(cov_1 @ cov_2).real)
    assert scores_of(real, fake)["fid"] == pytest.approx(distance, rel=1e-6)


@pytest.mark.parametrize(("count", "tolerance"), [(600, 1e-6), (40, 1e-4)])
def test_fid_and_is_agree_with_torch_fidelity(count, tolerance):
    real, fake = gaussian(count, 64, "real"), gaussian(count + 3, 64, "fake")
    statistics = (fid_features_to_statistics(x.double()) for x in (real, fake))
    scores = scores_of(real, fake)
    assert scores["fid"] == pytest.approx(
        fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"], rel=tolerance
    )
    assert scores["is"] == pytest.approx(isc_features_to_metric(fake)["inception_score_mean"], rel=1e-6)


def test_equal_sets_have_distance_zero():
    real = gaussian(500, 32, "real")
    assert scores_of(real, real)["fid"] == pytest.approx(0, abs=1e-9)
    assert scores_of(real, real)["fid"] >= 0


def test_inception_score_counts_sure_and_even_classes_whatever_the_order_of_batches():
    logits = 50 * nn.functional.one_hot(torch.arange(1000) % 10, 10).float()
    forwards, backwards = InceptionScore(), InceptionScore()
    starts = range(0, 1000, 100)
    for start in starts:
        forwards.update(logits[start : start + 100], start)
    for start in reversed(starts):
        backwards.update(logits[start : start + 100], start)
    assert 9.5 < forwards.compute() <= 10
    assert forwards.compute() == backwards.compute()


def test_every_image_a_class_of_its_own_when_there_are_fewer_than_ten():
    score = InceptionScore()
    score.update(torch.randn(3, 10, generator=keyed_generator("logits")), 0)
    assert score.compute() == pytest.approx(1)
