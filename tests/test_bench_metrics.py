"""Both sides of the benchmarks of metrics come to the same numbers, so that their times can be compared."""

import pytest
import torch

from experiments.bench import metrics
from experiments.bench.__main__ import COMPARISONS
from experiments.bench.processes import afresh
from lit_gans import DCGAN


@pytest.mark.parametrize("model", [lambda: DCGAN(image_shape=(1, 28, 28)), metrics.Given])
def test_both_validations_log_the_same_fid(model, tmp_path, monkeypatch):
    monkeypatch.setenv("LIT_GANS_CACHE", str(tmp_path))
    torch.manual_seed(0)
    sides = metrics.validations(model(), 300).values()
    first, again = ([validate() for validate in sides] for _ in range(2))
    assert first == again  # what a round leaves behind changes nothing
    assert first[0] == pytest.approx(first[1], rel=1e-4)
    assert first[0] > 0


@pytest.mark.parametrize("count", [300, 20])
def test_all_compute_the_same_fid(count):
    torch.manual_seed(0)
    sides = metrics.distances(metrics.features_of(count, 32), metrics.features_of(count, 32))
    found = {name: compute() for name, compute in sides.items()}
    assert found["ours"].item() == pytest.approx(found[metrics.TORCHMETRICS].item(), rel=1e-4)
    assert found["ours"].item() == pytest.approx(found["torch-fidelity's"]["frechet_inception_distance"], rel=1e-4)
    assert found["ours"].item() > 1


def test_all_find_the_same_neighbours():
    torch.manual_seed(0)
    real = metrics.features_of(300, 6)
    ours, full, sparing = (compute() for compute in metrics.shares_of_neighbours(real, 0.7 * real.roll(1, 1)).values())
    for name in ("precision", "recall"):
        assert 0 < full[name] < 1
        assert ours[name].item() == pytest.approx(full[name], abs=1e-6)
        assert sparing[name] == full[name]


@pytest.mark.parametrize("name", ["fid", "neighbours"])
def test_a_score_is_computed_anew_at_each_call(name):
    """A metric that remembers its value would win any race."""
    make = {"fid": metrics.distances, "neighbours": metrics.shares_of_neighbours}[name]
    for compute in make(metrics.features_of(30, 4), metrics.features_of(30, 4)).values():
        assert compute() is not compute()


def test_memory_is_that_of_the_process_alone():
    """What its parent had does not hide what it takes."""
    much = torch.ones(2**28)  # 1 GiB
    took = afresh(
        "import torch; from experiments.bench.processes import resident; before = resident(); "
        "torch.ones(2**24); print(round(resident() - before))"
    )
    assert much[-1] == 1
    assert 60 < int(took) < 100  # 64, and what torch loads for it


@pytest.mark.parametrize("name", ["validation", "fid", "neighbours"])
def test_quick_rows(name, monkeypatch):
    row = COMPARISONS[name](1)
    assert row.count("time") == {"validation": 2, "fid": 4, "neighbours": 2}[name]
