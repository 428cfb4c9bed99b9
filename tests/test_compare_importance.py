"""Which options go with a metric."""

import numpy as np
import pytest

from lit_gans.comparison.importance import LEAST, importances


def test_importance_finds_what_makes_the_metric():
    noise = np.random.default_rng(0)
    options = [
        {
            "lr": 10 ** noise.uniform(-4, -2),
            "loss": ("Hinge", "Wasserstein")[place % 2],
            "idle": noise.random(),
            "same": 1,
        }
        for place in range(60)
    ]
    values = [-np.log10(one["lr"]) + 2 * (one["loss"] == "Hinge") for one in options]
    first, second, last = importances(options, values)
    assert (first.option, second.option, last.option) == ("loss", "lr", "idle")
    assert first.importance + second.importance + last.importance == pytest.approx(1)
    assert last.importance < 0.05
    assert first.correlation is None
    ranks = [np.argsort(np.argsort(list(one))) for one in ([each["lr"] for each in options], values)]
    assert second.correlation == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert second.correlation < -0.5


def test_importance_survives_an_outlier():
    """One run that collapsed tells as much as the others; no option gains by it."""
    noise = np.random.default_rng(1)
    options = [{"lr": noise.uniform(), "idle": noise.uniform()} for _ in range(40)]
    values = [10 + 5 * one["lr"] for one in options]
    values[int(np.argmax([one["idle"] for one in options]))] = 3000.0
    first, second = importances(options, values)
    assert first.option == "lr"
    assert first.importance > 0.8
    assert first.correlation > 0.8
    assert importances(options, np.exp(values[:10] + [9.0] * 30)) == importances(options, values[:10] + [9.0] * 30)


def test_importance_of_too_little():
    options = [{"lr": place} for place in range(LEAST)]
    assert len(importances(options, range(LEAST))) == 1
    assert importances(options, [np.nan, *range(LEAST - 1)]) == []
    assert importances(options, [1.0] * LEAST) == []
    assert importances([{"lr": 1}] * LEAST, range(LEAST)) == []
    assert importances([{"flag": place % 2 == 0} for place in range(LEAST)], range(LEAST))[0].correlation is None
    missing = importances([{}, *options[1:]], range(LEAST))
    assert missing[0].correlation is None  # of an option that a run hasn't
