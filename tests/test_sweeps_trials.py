"""Sweeps of a small program in place of a training: shared, stopped, continued, retried, stopped early."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from lit_gans.run import alone
from lit_gans.status import Status, read_status
from lit_gans.sweeps.file import read_sweep
from lit_gans.sweeps.trials import Trials
from lit_gans.verbs.sweep import run
from tests.sweeps import began, states, sweep_file, trials


def runner(**options):
    """`sweep run` in a process of its own."""
    code = f"from pathlib import Path\\nfrom lit_gans.verbs.sweep import run\\nrun(Path('s.yaml'), **{options})"
    code = code.replace("\\n", "\n")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def until(happened):
    """Waits for another process."""
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.02)
    raise AssertionError("it never happened")


def test_a_grid_and_its_report(capsys):
    run(sweep_file([3, 1, 2], run_cap=9), workers=2)
    assert states() == ["COMPLETE"] * 3
    assert [trial.value for trial in trials()] == [3, 1, 2]
    assert sorted(began()) == ["0", "1", "2"]
    printed = capsys.readouterr().out
    table = [line.split() for line in printed.splitlines() if "x=" in line and not line.startswith("the")]
    assert table == [["1", "1", "x=1"], ["2", "2", "x=2"], ["3", "0", "x=3"]]
    told = (
        "The best of 3 trials owes some of its value to chance: train it again with other seeds (--seed_everything).\n"
    )
    assert f"{told}the best one again: {sys.executable} child.py --x=1\n" in printed
    assert "lit-gans compare runs/s" in printed
    run(Path("s.yaml"))
    assert len(began()) == 3
    assert {path.name for path in Path("runs/s").iterdir()} >= {"0", "1", "2", "0.log", "1.log", "2.log"}


def test_more_is_better(capsys):
    run(sweep_file([3, 1, 2], metric={"name": "score", "goal": "maximize", "target": 3}))
    assert [trial.value for trial in trials()] == [3]  # which is the target
    assert "x=3" in capsys.readouterr().out


def test_processes_and_workers_share_a_grid_without_duplicates():
    sweep_file({"min": 1, "max": 12})
    both = [runner(workers=2), runner(workers=2)]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert states() == ["COMPLETE"] * 12
    assert [trial.params["x"] for trial in trials()] == list(range(1, 13))
    assert Counter(began()) == Counter(map(str, range(12)))
    assert all("trial " in one for one in printed)


def test_why_trials_failed_is_told(capsys):
    run(sweep_file(["refused", "diverges", "measures nothing", "nan", 7]))
    assert states() == [*["FAIL"] * 4, "COMPLETE"]
    printed = capsys.readouterr().out
    assert printed.count("trial 0 failed: no such option") == 2  # when it happens, and in the end
    assert "trial 1 failed: weights are not finite" in printed
    assert "trial 2 failed: logged no val/fid, but kimg, val/kid" in printed
    assert "trial 3 failed: val/fid is nan" in printed
    run(Path("s.yaml"))
    assert Counter(began()) == Counter("01234")


def test_a_killed_child_is_tried_once_more_in_its_run_directory():
    run(sweep_file(["dies", "dies once", 3]), workers=2)
    assert states() == ["FAIL", "COMPLETE", "COMPLETE"]
    assert Counter(began()) == {"0": 2, "1": 2, "2": 1}
    assert trials()[0].user_attrs["reason"] == "was lost twice, see its log"
    run(Path("s.yaml"))
    assert len(began()) == 5


def test_the_trial_of_a_killed_runner_is_continued_once():
    sweep_file(["waits", 3])
    for number in (1, 2):
        process = runner()
        until(lambda count=number: Path("began").exists() and len(began()) == count)
        process.kill()
        process.wait()
        Path("go on").touch()  # its child was left behind, and is not waited for
        until(lambda: Path("runs/s/0/metrics.csv").exists())
        Path("runs/s/0/metrics.csv").unlink()
        Path("go on").unlink()
    run(Path("s.yaml"))
    assert states() == ["FAIL", "COMPLETE"]
    assert began() == ["0", "0", "1"]


def test_a_stopped_runner_is_no_loss():
    sweep_file(["waits", 3])
    for number in (1, 2, 3):
        process = runner(workers=1)
        until(lambda count=number: Path("began").exists() and len(began()) == count)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
        assert states() == ["RUNNING"]
    Path("go on").touch()
    run(Path("s.yaml"))
    assert states() == ["COMPLETE", "COMPLETE"]
    assert began() == ["0", "0", "0", "0", "1"]


def test_a_training_left_behind_by_its_runner_is_left_alone():
    sweep, _ = read_sweep(sweep_file([1, 2]))
    first = Trials(Path("runs/s"), sweep)
    job = next(first.jobs())
    first.running[job.name].lock.release()  # as if the runner was killed
    with alone(Path("runs/s/0")):
        run(Path("s.yaml"))
        assert states() == ["RUNNING", "COMPLETE"]
    run(Path("s.yaml"))
    assert states() == ["COMPLETE", "COMPLETE"]


def test_a_training_that_others_hold_when_ours_fails_is_not_judged():
    sweep, _ = read_sweep(sweep_file([1]))
    mine = Trials(Path("runs/s"), sweep)
    job = next(mine.jobs())
    with alone(Path("runs/s/0")):
        assert "still being trained" in mine.end(job, 1)
        assert states() == ["RUNNING"]
        assert list(mine.jobs()) == []
    assert next(mine.jobs()).name == "0"


def test_a_trial_that_was_not_even_proposed_to_the_end_is_taken_up():
    """Killed between two lines of the journal."""
    sweep, _ = read_sweep(sweep_file([1, 2]))
    torn = Trials(Path("runs/s"), sweep)
    torn.study.enqueue_trial({"x": "1"})
    torn.study.ask()
    run(Path("s.yaml"))
    assert states() == ["COMPLETE", "COMPLETE"]
    torn = Trials(Path("runs/s"), sweep, total=3)
    torn.study.enqueue_trial({"x": "2"})
    assert "--x=2" in next(torn.jobs()).command


def test_bad_trials_are_stopped_early(capsys):
    run(sweep_file(["curve 1", "curve 2", "curve 3"], early_terminate={"type": "hyperband", "min_iter": 2}))
    assert states() == ["COMPLETE", "PRUNED", "PRUNED"]
    status = read_status(Path("runs/s/1"))
    assert status == Status("stopped", "stopped early by the sweep: val/fid 2 after 3 values", {"max_kimg": 1})
    assert trials()[1].value == 2
    assert "trial 1 stopped early" in capsys.readouterr().out


def test_a_trial_that_ended_between_two_looks_counts_for_those_after_it():
    halving = {"type": "hyperband", "min_iter": 1}
    sweep, _ = read_sweep(sweep_file([1, 2], early_terminate=halving))
    one = Trials(Path("runs/s"), sweep)
    for value, bad in ((1, False), (2, True)):
        job = next(one.jobs())
        Path(f"runs/s/{job.name}/metrics.csv").write_text(f"val/fid\n{value}\n{value}\n")
        if bad:
            assert one.is_bad(job)
            assert not one.is_bad(job)  # that is said once
        one.end(job, 143 if bad else 0)
    assert states() == ["COMPLETE", "PRUNED"]
    assert trials()[0].intermediate_values == {0: 1, 1: 1}
