"""What a comparison says of its own numbers."""

from dataclasses import replace

import numpy as np

from lit_gans.comparison.doubts import HALTED, doubts
from lit_gans.comparison.runs import ENDED_UNSAID
from lit_gans.comparison.statistics import is_known, summarise
from lit_gans.status import Status
from tests.test_compare_statistics import group, run, seeds


def test_a_last_number_that_is_not_of_the_end_is_told():
    """A run that ends in NaN is judged by the number before, which is better than what became of it."""
    nan = np.nan
    late = run([9, nan, 7, nan], 0, kimg=[2, 3, 4, 5.9])  # the next number would have come at kimg 6
    burst = [run([9, nan, 7, nan], 1, kimg=[2, 3, 4, 6]), run([9, nan, np.inf], 2, kimg=[2, 3, 4])]
    assert doubts(summarise([group("gan", late)]), "val/fid") == []
    assert doubts(summarise([group("gan", *burst)]), "val/fid")[:2] == [
        "gan-1-finished-4-aa has no finite val/fid after kimg 4 of 6, which is its last",
        "gan-2-finished-3-aa has no finite val/fid after kimg 2 of 4, which is its last",
    ]


def test_seeds_that_change_nothing_are_told():
    assert doubts(summarise([seeds("gan", 3, 3, 3), seeds("other", 3, 4, 5), seeds("one", 3)]), "val/fid") == [
        "gan on digits: val/fid is the same of all 3 seeds, which seem to change nothing"
    ]


def test_logs_that_tell_no_end_are_told():
    ended = [replace(run([3 + seed], seed), status=ENDED_UNSAID) for seed in range(3)]
    assert doubts(summarise([group("gan", *ended)]), "val/fid") == [
        "gan-0-finished-1-aa and 2 more: nothing in their logs tells whether they ended; they count as finished"
    ]


def test_a_run_that_logged_nothing_harms_no_others():
    silent = replace(run([], 3), columns={})
    assert summarise([group("gan", run([5], 0), silent)])[0].last.mean == 5
    assert doubts(summarise([group("gan", run([5], 0), silent)]), "val/fid") == []  # the reader of its files tells it


def test_a_length_that_was_not_measured_to_its_end_is_told():
    whole, early = (replace(run([9, 5], 0), status=Status("finished", "", {"max_kimg": end})) for end in (2.03, 2.5))
    assert doubts(summarise([group("gan", whole)]), "val/fid") == []
    assert doubts(summarise([group("gan", early)]), "val/fid") == [
        "digits: val/fid was last measured at kimg 2 of 2.5, which is not the end: see trainer.val_check_interval"
    ]


def test_runs_that_were_asked_for_less_are_in_no_mean():
    short = [replace(run([9], seed), status=Status("finished", "", {"max_kimg": 1})) for seed in range(3)]
    long = [replace(run([9, 5 + seed], seed), status=Status("finished", "", {"max_kimg": 2})) for seed in range(2)]
    lines = summarise([group("gan", *short, *long)])
    assert (lines[0].last.mean, lines[0].last.n) == (5.5, 2)
    names = ", ".join(one.name for one in short)
    assert (
        doubts(lines, "val/fid")[0] == f"gan on digits: only runs of the greatest length asked for count, not {names}"
    )


def test_trials_that_were_stopped_early_are_told_in_one_line():
    halted = [replace(run([9], seed), status=Status("stopped", f"{HALTED}: val/fid 9")) for seed in range(2)]
    groups = [group("a", halted[0]), group("b", halted[1]), seeds("c", 3)]
    assert doubts(summarise(groups), "val/fid") == ["trials that were stopped early by their sweep are in no mean: 2"]


def test_names_that_tell_what_is_better():
    names = "val/fid best/kid_clip val/is val_acc val/label_accuracy loss val/modes_kl val/l1 generator_loss"
    assert all(map(is_known, names.split()))
    assert not any(map(is_known, ["val/score", "speed/images_per_second", "isles"]))
