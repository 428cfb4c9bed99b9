"""Which options of a sweep go with the metric: association over runs, not cause."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

LEAST = 6
"""Of fewer runs nothing is told."""


class Importance(NamedTuple):
    """Of one option.

    `importance` is its share of the variance of ranks that a random forest explains; all together make 1.
    `correlation` is Spearman's rank correlation with the metric, in [-1, 1], for numbers; None for choices.
    """

    option: str
    importance: float
    correlation: float | None


def importances(options: Sequence[Mapping[str, Any]], values: Sequence[float]) -> list[Importance]:
    """How much each option tells about the metric, the most telling first.

    A random forest is fitted to the runs, as W&B's panel does: numbers as they are, choices as one column for each. But
    it is fitted to ranks of the metric: a single run that collapsed would make up nearly all of the variance of values.

    Args:
        options: Of each run, those in which the runs differ; one that a run hasn't is a choice of its own.
        values: The metric of each run; runs without one (NaN) are left out.

    Returns:
        Nothing for fewer than `LEAST` runs, or where nothing differs.
    """
    from scipy.stats import rankdata
    from sklearn.ensemble import RandomForestRegressor

    runs = [(each, value) for each, value in zip(options, values, strict=True) if math.isfinite(value)]
    names = list(dict.fromkeys(name for each, _ in runs for name in each))
    given = {name: [each.get(name) for each, _ in runs] for name in names}
    given = {name: found for name, found in given.items() if len(set(map(repr, found))) > 1}
    target = rankdata([value for _, value in runs])
    if len(runs) < LEAST or not given or not np.ptp(target):
        return []
    columns = {name: encoded(found) for name, found in given.items()}
    forest = RandomForestRegressor(n_estimators=200, random_state=0)
    shares = forest.fit(np.concatenate(list(columns.values()), axis=1), target).feature_importances_
    ends = np.cumsum([column.shape[1] for column in columns.values()])[:-1]
    told = [
        Importance(name, float(share.sum()), rank_correlation(given[name], target))
        for name, share in zip(columns, np.split(shares, ends), strict=True)
    ]
    return sorted(told, key=lambda one: -one.importance)


def is_number(value: Any) -> bool:
    """Whether it has an order; True and False are choices."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def encoded(values: list[Any]) -> np.ndarray:
    """Numbers as one column, choices as a column of zeros and ones for each; (runs, columns)."""
    if all(map(is_number, values)):
        return np.array(values, dtype=float)[:, None]
    found = [repr(value) for value in values]
    return np.array([[value == choice for choice in dict.fromkeys(found)] for value in found], dtype=float)


def rank_correlation(values: list[Any], target: np.ndarray) -> float | None:
    """Spearman's, equal values sharing their mean rank; None for choices."""
    from scipy.stats import spearmanr

    return float(spearmanr(values, target).statistic) if all(map(is_number, values)) else None
