"""How good each group of runs is, how sure that is, and what it cost."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from lit_gans.comparison.runs import Group, Run

Mode = Literal["min", "max"]

MORE_IS_BETTER = r"(is|psnr|ssim|ms_ssim|precision|recall|density|coverage|modes|miou|\w*acc(uracy)?)(?!_kl)(_|$)"
LESS_IS_BETTER = r"(fid|kid|mifid|ppl|lpips|l1|copies|copying|modes_kl|\w*loss|\w*error)(_|$)"
"""Names of metrics without `val/`, also before those of a network and a protocol."""


class Estimate(NamedTuple):
    """A mean over seeds, and the 95 % interval of Student's t for it; NaN where there are too few seeds.

    The interval tells how the mean would vary with other seeds, if values over seeds are about normal. It knows nothing
    of what all seeds share: the data, and that another draw of fakes would change each value a little, too.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Summary:
    """A line of the comparison: the runs of a group whose numbers were made alike.

    Attributes:
        group: The group; of runs of several protocols that part of it.
        protocol: Hash of how the metric was made; empty if nothing tells it.
        last: The metric where the runs ended.
        best: The best that each run had on its way; the smallest of many noisy values flatters.
        rank: 1 + the number of groups of the same dataset and protocol whose interval of `last` lies wholly on the
            better side. So a group with a wide interval may have a better rank than one with a better mean: it is
            less sure to be worse. A single seed's value is taken for its interval, but makes no other's rank worse.
        p: Welch's t-test of `last` against the best group of several seeds, of the same dataset and protocol, two-sided
            and corrected neither for many comparisons nor for the choice of the best (of eight equal groups of five
            seeds, 43 % of studies have one below 0.05); None for that group itself, or for less than two seeds.
        states: How many runs are in which state. Only finished ones enter the numbers, and of one seed only one.
        hours: Wall time of a run, a mean; NaN if unknown, as the following.
        images_per_second: Of training.
        memory_gib: The most that was held.
        kimg: Length.
    """

    group: Group
    protocol: str
    last: Estimate
    best: Estimate
    rank: int
    p: float | None
    states: Counter[str]
    hours: float
    images_per_second: float
    memory_gib: float
    kimg: float


def better(metric: str) -> Mode:
    """Whether less or more of a metric is better: less, unless it is known."""
    return "max" if re.match(MORE_IS_BETTER, metric.rpartition("/")[2]) else "min"


def is_known(metric: str) -> bool:
    """Whether the name of a metric tells what is better."""
    return bool(re.match(f"{MORE_IS_BETTER}|{LESS_IS_BETTER}", metric.rpartition("/")[2]))


def summarise(groups: Sequence[Group], metric: str = "val/fid", *, mode: Mode = "min") -> list[Summary]:
    """A line for each group, by rank and then by mean; of runs of unlike protocol one for each.

    Args:
        groups: Of any datasets.
        metric: A logged name.
        mode: Whether less or more of it is better.
    """
    lines = defaultdict(list)
    for group, protocol in by_protocol(groups, metric):
        lines[group.dataset, protocol].append(group)
    return [one for (_, protocol), alike in lines.items() for one in compared(alike, protocol, metric, mode)]


def protocol_of(run: Run, metric: str) -> str | None:
    """Hash of how a run's numbers were made, empty if nothing tells it; None if the run has no number."""
    return run.protocols.get(metric, {}).get("hash", "") if len(run.series(metric)[1]) else None


def by_protocol(groups: Sequence[Group], metric: str) -> Iterator[tuple[Group, str]]:
    """Groups of one protocol each; runs without a number go with most others of their group, or else dataset."""
    on_dataset, in_group = defaultdict(Counter), defaultdict(Counter)
    for place, group in enumerate(groups):
        found = [made for run in group.runs if (made := protocol_of(run, metric)) is not None]
        on_dataset[group.dataset].update(found)
        in_group[place].update(found)
    for place, group in enumerate(groups):
        usual = (in_group[place] or on_dataset[group.dataset] or Counter([""])).most_common(1)[0][0]
        parts = defaultdict(list)
        for run in group.runs:
            made = protocol_of(run, metric)
            parts[usual if made is None else made].append(run)
        for protocol, runs in parts.items():
            yield group if len(parts) == 1 else replace(group, runs=tuple(runs)), protocol


def compared(groups: Sequence[Group], protocol: str, metric: str, mode: Mode) -> list[Summary]:
    """The lines of groups whose numbers may be compared, by rank and then by mean, those without a number last."""
    best_of, sign = (np.min, 1) if mode == "min" else (np.max, -1)
    measured = [counted(group.runs, metric) for group in groups]
    values = [[run.series(metric)[1] for run in runs] for runs in measured]
    lasts = [estimate([series[-1] for series in one]) for one in values]
    intervals = [one if one.n > 1 else one._replace(low=one.mean, high=one.mean) for one in lasts]
    ranks = [1 + sum(is_better(other, one, mode) for other in lasts) for one in intervals]
    order = sorted(range(len(groups)), key=lambda place: (not lasts[place].n, ranks[place], sign * lasts[place].mean))
    leader = next((place for place in order if lasts[place].n > 1), None)
    return [
        Summary(
            group=groups[place],
            protocol=protocol,
            last=lasts[place],
            best=estimate([best_of(series) for series in values[place]]),
            rank=ranks[place],
            p=None if place == leader or leader is None else welch(values[place], values[leader]),
            states=Counter(run.status.state for run in groups[place].runs),
            hours=mean_of(measured[place], "cost/hours", np.max),
            images_per_second=mean_of(measured[place], "speed/images_per_second", np.median),
            memory_gib=mean_of(measured[place], "cost/memory_gib", np.max),
            kimg=mean_of(measured[place], "kimg", np.max),
        )
        for place in order
    ]


def counted(runs: Sequence[Run], metric: str) -> list[Run]:
    """The longest runs; of several with one seed, which don't vary as seeds do, that with the latest number."""
    return list({run.name if run.seed is None else run.seed: run for run in longest(runs, metric)}.values())


def longest(runs: Sequence[Run], metric: str) -> list[Run]:
    """The finished runs with a number, of as much training asked for as that with the latest one, which is the last.

    Of those read from files that don't tell it, all.
    """
    there = [run for run in runs if run.status.state == "finished" and len(run.series(metric)[1])]
    there.sort(key=lambda run: run.series(metric)[0][-1])
    asked = there[-1].status.length if there else {}
    return [run for run in there if not asked or run.status.length in ({}, asked)]


def estimate(values: Sequence[float]) -> Estimate:
    """Of one value for each seed."""
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    half = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(mean, float(mean - half), float(mean + half), n)


def is_better(one: Estimate, other: Estimate, mode: Mode) -> bool:
    """Whether the whole of one interval is on the better side of the other."""
    return one.high < other.low if mode == "min" else one.low > other.high


def welch(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float | None:
    """The p-value of the last values of two groups of runs having one mean, whatever their variances."""
    sides = [[series[-1] for series in runs] for runs in (one, other)]
    if min(map(len, sides)) < 2:
        return None
    moments = [moment for side in sides for moment in (np.mean(side), np.std(side, ddof=1), len(side))]
    with np.errstate(divide="ignore", invalid="ignore"):
        p = stats.ttest_ind_from_stats(*moments, equal_var=False).pvalue
    return 1.0 if math.isnan(p) else float(p)  # NaN if all values are one


def mean_of(runs: Sequence[Run], name: str, of_run: Callable[[np.ndarray], float]) -> float:
    """The mean over runs of what is taken from a column of each; NaN if none has it."""
    values = [of_run(values) for run in runs if len(values := run.series(name)[1])]
    return float(np.mean(values)) if values else math.nan
