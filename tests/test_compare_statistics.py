import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lit_gans.comparison.doubts import doubts
from lit_gans.comparison.runs import Group, Run
from lit_gans.comparison.statistics import better, estimate, summarise
from lit_gans.status import Status


def run(values, seed=0, *, made="aa", state="finished", kimg=None, variant="gan", **columns):
    """A run with these values of FID, at 1, 2, ... kimg."""
    clock = np.arange(1.0, len(values) + 1) if kimg is None else np.asarray(kimg, float)
    return Run(
        name=f"{variant}-{seed}-{state}-{len(values)}-{made}",
        path=Path("runs"),
        variant=variant,
        dataset="digits",
        seed=seed,
        columns={"kimg": clock, "val/fid": np.asarray(values, float), **columns},
        status=Status(state, "burst" * (state == "failed")),
        protocols={"val/fid": {"hash": made, "protocol": {}}} if made else {},
    )


def group(label, *runs, dataset="digits"):
    return Group(label, dataset, runs)


def seeds(label, *lasts, first=99.0):
    """A group of one run for each last value."""
    return group(label, *(run([first, last], seed) for seed, last in enumerate(lasts)))


def test_an_interval_of_two_seeds_in_closed_form():
    """Student's t with one degree of freedom is Cauchy's: its 97.5 % point is tan(0.475 pi)."""
    found = estimate([3.0, 5.0])
    half = math.tan(0.475 * math.pi) * math.sqrt(2) / math.sqrt(2)
    assert found == pytest.approx((4, 4 - half, 4 + half, 2))
    assert estimate([7.0])[::3] == (7, 1)
    assert np.isnan(estimate([7.0])[1:3]).all()
    assert np.isnan(estimate([])[:3]).all()
    assert estimate([2.0, 2.0, 2.0]) == (2, 2, 2, 3)


def test_intervals_hold_what_they_say():
    """Of 4,000 samples of five, 95 % have an interval with the true mean in it; with 1.96 deviations only 88 %."""
    draws = np.random.default_rng(0).normal(3, 2, (4000, 5))
    held = np.mean([found.low < 3 < found.high for found in map(estimate, draws)])
    assert abs(held - 0.95) < 0.012
    low, high = stats.t.interval(0.95, 4, draws[0].mean(), stats.sem(draws[0]))
    assert estimate(draws[0])[1:3] == pytest.approx((low, high))


def test_lines_of_a_table_best_first():
    values = {"bad": [30, 31, 32], "good": [10, 11, 12], "near": [10, 12, 14], "single": [11]}
    lines = summarise([seeds(label, *lasts) for label, lasts in values.items()])
    assert [one.group.label for one in lines] == ["good", "single", "near", "bad"]
    assert [one.rank for one in lines] == [1, 1, 1, 3]
    assert [one.last.n for one in lines] == [3, 1, 3, 3]
    assert [one.last.mean for one in lines] == [11, 11, 12, 31]
    expected = {label: stats.ttest_ind(values[label], values["good"], equal_var=False).pvalue for label in values}
    assert [one.p for one in lines] == [None, None, *(pytest.approx(expected[label]) for label in ("near", "bad"))]
    student = stats.ttest_ind(values["near"], values["good"]).pvalue
    assert lines[2].p != pytest.approx(student)
    assert all(one.protocol == "aa" and one.states == Counter(finished=one.last.n) for one in lines)


def test_lines_are_in_the_order_of_ranks():
    """A wide interval keeps a rank that a narrow one of a better mean loses; a single seed stands by its value."""
    values = {"good": [10, 11, 12], "narrow": [14, 14.1, 14.2], "wide": [8, 15, 22], "poor": [13.9], "bad": [28, 31]}
    lines = summarise([seeds(label, *lasts) for label, lasts in values.items()])
    assert [(one.group.label, one.rank) for one in lines] == [
        ("good", 1),
        ("wide", 1),
        ("bad", 1),
        ("poor", 2),
        ("narrow", 2),
    ]


def test_more_may_be_better():
    lines = summarise([seeds("low", 1, 1.1, 1.2), seeds("high", 8, 8.1, 8.2, first=3)], mode="max")
    assert [(one.group.label, one.rank) for one in lines] == [("high", 1), ("low", 2)]
    assert [one.best.mean for one in lines] == pytest.approx([8.1, 99])
    assert lines[0].p is None
    assert lines[1].p < 0.001
    names = "val/is val/psnr val/ms_ssim val/coverage val/label_accuracy val/is_digits val/modes val/psnr_y_own"
    assert {better(name) for name in names.split()} == {"max"}
    names = "val/fid val/kid val/modes_kl val/lpips val/isfid val/fid_inception_lucic2018 val/l1 loss"
    assert {better(name) for name in names.split()} == {"min"}


def test_last_and_best_are_of_each_run():
    one = summarise([group("gan", run([9, 2, np.nan, 6], 0), run([1, 5, np.inf], 1))])[0]
    assert one.last.mean == 5.5
    assert one.best.mean == 1.5
    assert one.kimg == 3.5


def test_values_that_do_not_vary():
    lines = summarise([seeds("a", 5, 5, 5), seeds("b", 5, 5), seeds("c", 6, 6)])
    assert [(one.group.label, one.rank, one.p) for one in lines] == [("a", 1, None), ("b", 1, 1.0), ("c", 3, 0.0)]


def test_only_finished_runs_count_and_each_seed_once():
    runs = [
        run([9, 4], 0),
        run([9, 9, 5], 0),
        run([9, 7], 1),
        run([1], 2, state="failed"),
        run([2], 3, state="running"),
    ]
    lines = summarise([group("gan", *runs), group("none", *runs[3:])])
    assert [(one.group.label, one.last.n) for one in lines] == [("gan", 2), ("none", 0)]
    assert lines[0].last.mean == 6
    assert lines[0].states == Counter(finished=3, failed=1, running=1)
    assert lines[1].p is None
    assert np.isnan([lines[1].last.mean, lines[1].hours, lines[1].kimg]).all()
    told = doubts(lines, "val/fid")
    assert told == [
        "gan on digits: several runs of seed 0, of which the longest counts",
        "gan-2-failed-1-aa failed: burst",
        "none on digits: no finished run with val/fid yet (1 failed, 1 running)",
        "gan-2-failed-1-aa failed: burst",
        "digits: intervals of two seeds are 13 standard errors to each side; a third makes it 4",
        "digits: runs of unlike length are compared, 2 to 3 kimg",
        "digits: val/fid was measured 2 to 3 times in a run; the best of more flatters more",
    ]
    unknown = [run([1], None, variant="x"), run([2], None, variant="y")]
    assert summarise([group("gan", *unknown)])[0].last.n == 2


def test_costs_are_means_over_finished_runs():
    nan = np.nan
    columns = [
        {"cost/hours": [1, 2, nan], "cost/memory_gib": [3, 3.5, nan], "speed/images_per_second": [5, nan, 5]},
        {"cost/hours": [1, 2, 4], "speed/images_per_second": [0, 8, 9]},
        {"cost/hours": [8, 9, 9]},
    ]
    runs = [
        run([9, 8, 7], seed, state=state, **{name: np.asarray(values, float) for name, values in of_run.items()})
        for seed, (of_run, state) in enumerate(zip(columns, ["finished", "finished", "failed"], strict=True))
    ]
    (one,) = summarise([group("gan", *runs)])
    assert (one.hours, one.memory_gib, one.images_per_second) == (3, 3.5, 6.5)


def test_unlike_protocols_are_never_compared():
    mixed = group("mixed", run([3], 0), run([4], 1, made="bb"), run([5], 2, made="bb"), run([], 3, state="running"))
    lines = summarise([mixed, seeds("other", 1, 2), group("waits", run([], 0, made="", state="running"))])
    assert [(one.group.label, one.protocol, one.last.n, len(one.group.runs)) for one in lines] == [
        ("other", "aa", 2, 2),
        ("mixed", "aa", 1, 1),
        ("waits", "aa", 0, 1),
        ("mixed", "bb", 2, 3),
    ]
    assert lines[0].group is not mixed
    assert lines[-1].rank == 1
    assert lines[-1].p is None
    assert any("mixed on digits: val/fid was made in 2 ways (aa, bb)" in one for one in doubts(lines, "val/fid"))
    there = group("gan", run([5], 0), run([6], 1), run([7], 2, made=""))
    assert [(one.protocol, one.last.mean) for one in summarise([there])] == [("aa", 5.5), ("", 7)]


def test_the_best_so_far_is_of_the_protocol_of_what_it_is_the_best_of():
    runs = [run([3], 0, **{"best/fid": np.ones(1)}), run([4], 1, made="bb", **{"best/fid": np.ones(1)})]
    assert [one.protocol for one in summarise([group("gan", *runs)], "best/fid")] == ["aa", "bb"]
    assert [one.protocols["best/fid"] for one in runs] == [one.protocols["val/fid"] for one in runs]  # for the page


def test_datasets_have_rankings_of_their_own():
    easy, hard = seeds("gan", 1, 1.1, 1.2), Group("gan", "cifar10", seeds("gan", 50, 51, 52).runs)
    lines = summarise([hard, easy])
    assert [(one.group.dataset, one.rank, one.p) for one in lines] == [("cifar10", 1, None), ("digits", 1, None)]


def test_a_run_without_the_metric_is_named():
    silent = Run("quiet", Path("r"), "gan", "digits", 1, columns={"kimg": np.ones(1), "val/is": np.ones(1)})
    lines = summarise([group("gan", run([5], 0), silent)])
    assert lines[0].last.n == 1
    assert doubts(lines, "val/fid") == ["quiet has no val/fid"]
