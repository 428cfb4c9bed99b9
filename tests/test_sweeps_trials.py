"""Sweeps of a small program in place of a training: shared, stopped, continued, retried, stopped early."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from lit_gans.errors import UserError
from lit_gans.run import alone
from lit_gans.status import Status, read_status
from lit_gans.sweeps.file import read_sweep
from lit_gans.sweeps.trials import Trials
from lit_gans.verbs.sweep import run

CHILD = """
import json, os, signal, sys, time
from pathlib import Path
given = dict(word[2:].split("=", 1) for word in sys.argv[1:] if "=" in word)
run, x = Path(given["run_dir"]), given["x"]
number = run.name
run.mkdir(parents=True, exist_ok=True)
with open("began", "a") as began:
    began.write(f"{number} {x}\\n")
times = sum(line.split()[0] == number for line in open("began"))
status = {"state": "running", "reason": "", "length": {"max_kimg": 1}}
def wait():
    while not Path("go on").exists():
        time.sleep(0.02)
if x == "waits":
    wait()
elif x == "refused":
    sys.exit("Traceback\\nlit-gans: error: no such option")
elif x == "diverges":
    (run / "status.json").write_text(json.dumps(status | {"state": "failed", "reason": "weights are not finite"}))
    sys.exit(1)
elif x == "dies once" and times == 1 or x == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
elif x == "measures nothing":
    (run / "metrics.csv").write_text("kimg,val/kid\\n1,3\\n")
    sys.exit(0)
elif x == "nan":
    (run / "metrics.csv").write_text("kimg,val/fid\\n1,3\\n2,nan\\n")
    sys.exit(0)
elif x.startswith("curve"):
    (run / "status.json").write_text(json.dumps(status))
    text = "kimg,val/fid\\n"
    for kimg in range(5):
        text += f"{kimg},{x.split()[1]}\\n{kimg}.5,\\n"
        (run / "metrics.csv").write_text(text)
    if x.split()[1] != "1":
        while True:
            time.sleep(0.02)
    sys.exit(0)
value = float(x) if x.replace(".", "").isdigit() else 5.0
(run / "metrics.csv").write_text(f"kimg,val/fid,score\\n1,99,0\\n2,{value},{value}\\n3,,\\n4,tor")
"""


def sweep_file(values, **keys):
    Path("child.py").write_text(CHILD)
    tree = {
        "method": "grid",
        "program": "child.py",
        "metric": {"name": "val/fid", "goal": "minimize"},
        "command": ["${interpreter}", "${program}", "${args}"],
        "parameters": {"x": values if isinstance(values, dict) else {"values": values}},
    }
    Path("s.yaml").write_text(yaml.safe_dump(tree | keys, sort_keys=False))
    return Path("s.yaml")


def trials():
    """What the journal tells: states, values and parameters by number."""
    sweep, _ = read_sweep(Path("s.yaml"))
    return Trials(Path("runs/s"), sweep).study.trials


def states():
    return [trial.state.name for trial in trials()]


def began():
    """The trials whose child was started, in order."""
    return [line.split()[0] for line in Path("began").read_text().splitlines()]


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
    assert f"the best one again: {sys.executable} child.py --x=1\n" in printed
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
    assert next(torn.jobs()).command[-4:-3] == ["--x=2"]


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


def proposals(method, total, seed=0, share=1):
    """Parameters that are proposed one after another, by processes in turn, when trials end as they come."""
    parameters = {
        "a": {"min": 0.0, "max": 1.0},
        "b": {"min": 1, "max": 100},
        "c": {"values": ["u", "v"], **({"probabilities": [0.9, 0.1]} if method == "random" else {})},
    }
    sweep, _ = read_sweep(sweep_file([1], method=method, parameters=parameters, run_cap=total))
    name = f"{method}{seed}{share}{total}"
    found, all_of_them = [], [Trials(Path("runs") / name, sweep, total, seed) for _ in range(share)]
    for number in range(total):
        one = all_of_them[number % share]
        job = next(one.jobs())
        values = one.running[job.name].values
        one.run_dir(number).joinpath("metrics.csv").write_text(f"val/fid\n{abs(float(values['a']) - 0.3)}\n")
        one.end(job, 0)
        found.append(values)
    assert list(one.jobs()) == []
    return found


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_proposals_depend_on_the_seed_and_not_on_the_processes(method):
    first = proposals(method, 14)
    assert proposals(method, 14, share=5) == first
    assert len({json.dumps(one) for one in first}) == 14
    assert proposals(method, 14, seed=1) != first


def test_bayes_learns():
    """Its later proposals are nearer to the best than random ones, which are 0.29 from it on average."""
    late = [abs(float(one["a"]) - 0.3) for one in proposals("bayes", 40)[20:]]
    assert sum(late) / len(late) < 0.15


def test_probabilities_are_kept_to():
    sweep, _ = read_sweep(sweep_file({"values": ["u", "v", "w"], "probabilities": [0.7, 0.3, 0.0]}, method="random"))
    one = Trials(Path("runs/s"), sweep)
    drawn = Counter(one.fixed(number)["x"] for number in range(2000))
    assert abs(drawn["u"] - 1400) < 4 * (2000 * 0.7 * 0.3) ** 0.5
    assert drawn["w"] == 0


def test_a_search_without_end_is_refused():
    path = sweep_file([1, 2], method="random")
    with pytest.raises(UserError, match="random search has no end: give it run_cap, or --count"):
        run(path)
    assert not Path("runs").exists()
    run(path, count=1)
    assert len(trials()) == 1
    run(path, count=3)
    assert len(trials()) == 3


def test_another_file_of_the_same_name_is_refused():
    run(sweep_file([1, 2]), count=1)
    with pytest.raises(UserError, match=r"runs/s was begun with another parameters: give the sweep another `name`"):
        run(sweep_file([2, 1]))
    run(sweep_file([1, 2], run_cap=2, description="more"))
    assert states() == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("tail", ['{"op_code": 4, "wor', "nothing of ours\n", "\x00\n"])
def test_a_damaged_journal_is_told(tail):
    run(sweep_file([1]))
    with open("runs/s/sweep.journal", "a") as journal:
        journal.write(tail)
    with open("runs/s/sweep.journal", "a") as journal:
        journal.write('{"op_code": 0}\n')
    with pytest.raises(UserError, match="sweep.journal is damaged"):
        run(Path("s.yaml"))


def test_a_program_that_is_not_there(capsys):
    with pytest.raises(FileNotFoundError, match="no_such_program"):
        run(sweep_file([1], command=["no_such_program", "${args}"]))


def test_files_that_are_wrong_run_nothing():
    with pytest.raises(UserError, match=r"s.yaml: x: the value 1 .*; 1 more by `lit-gans sweep check s.yaml`"):
        run(sweep_file([1, 1], method="gird"))
    with pytest.raises(UserError, match="workers must be at least 1"):
        run(Path("s.yaml"), workers=0)
    assert not Path("runs").exists()


def test_without_a_metric_a_grid_is_run_all_the_same(capsys):
    sweep_file([1])
    tree = yaml.safe_load(Path("s.yaml").read_text())
    del tree["metric"]
    Path("s.yaml").write_text(yaml.safe_dump(tree))
    run(Path("s.yaml"))
    assert states() == ["COMPLETE"]
    assert "the best" not in capsys.readouterr().out
