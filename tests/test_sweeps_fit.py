"""Sweeps of real trainings."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from lit_gans.comparison.reading import read_runs
from lit_gans.status import read_status
from lit_gans.sweeps.file import read_sweep
from lit_gans.sweeps.trials import Trials
from lit_gans.verbs.sweep import run
from tests.cluster import in_queue, need_cluster

COMMAND = [
    *("lit-gans", "fit", "--model=GAN", "--data=Digits", "--data.batch_size=64", "--metrics.n_real=100"),
    *("--metrics.n_fake=100", "--trainer.limit_val_batches=1", "--trainer.accelerator=cpu"),
    *("--trainer.log_every_n_steps=5", "--trainer.enable_progress_bar=false", "${args}"),
]


@pytest.fixture(autouse=True)
def _this_project(monkeypatch):
    """Children are of the code that is tested."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


def sweep_file(parameters, *options, **keys):
    tree = {
        "method": "grid",
        "metric": {"name": "best/fid", "goal": "minimize"},
        "command": [*COMMAND[:-1], *options, COMMAND[-1]],
        "parameters": parameters,
    }
    Path("s.yaml").write_text(yaml.safe_dump(tree | keys, sort_keys=False))
    return Path("s.yaml")


def trials():
    sweep, _ = read_sweep(Path("s.yaml"))
    return Trials(Path("runs/s"), sweep).study.trials


def rows(number):
    """What a trial logged, without what depends on the clock on the wall."""
    with open(f"runs/s/{number}/metrics.csv") as file:
        return [
            {name: value for name, value in row.items() if not name.startswith(("cost/", "speed/"))}
            for row in csv.DictReader(file)
        ]


@pytest.mark.slow
def test_trainings_of_a_sweep(capsys):
    """Each has its own run directory, stays off the network, and is compared with the others."""
    parameters = {"model.loss": {"values": ["Hinge", "LeastSquares"]}}
    run(sweep_file(parameters, "--max_kimg=0.7", "--trainer.val_check_interval=5"))
    printed = capsys.readouterr().out
    for trial, loss in zip(trials(), ("Hinge", "LeastSquares"), strict=True):
        run_dir = Path("runs/s") / str(trial.number)
        assert trial.value == min(float(row["val/fid"]) for row in rows(trial.number) if row["val/fid"])
        config = yaml.safe_load((run_dir / "config.yaml").read_text())
        assert config["model"]["init_args"]["loss"]["class_path"] == f"lit_gans.losses.{loss}"
        assert (config["study"], config["online"]) == ("s", False)
        assert read_status(run_dir).state == "finished"
    best = min(trials(), key=lambda trial: trial.value).params["model.loss"]
    assert "the best one again: lit-gans fit --model=GAN" in printed
    assert f"--model.loss={best}\n" in printed
    found, problems = read_runs([Path("runs/s")])
    assert (len(found), problems) == (2, [])


def killed_when(number, child_only):
    """Kills the child of a trial (and its runner) when it has written a checkpoint."""
    code = "from pathlib import Path; from lit_gans.verbs.sweep import run; run(Path('s.yaml'))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    for _ in range(6000):
        time.sleep(0.02)
        if Path(f"runs/s/{number}/checkpoints/last.ckpt").exists():
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    if not child_only:
        process.kill()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    assert process.wait() == (0 if child_only else -signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("child_only", [True, False])
def test_a_killed_training_continues_exactly_where_it_was(child_only):
    parameters = {"model.n_critic": {"value": 2}}
    options = ("--max_kimg=20", "--trainer.val_check_interval=50", "--checkpoint.every_n_train_steps=20")
    run(sweep_file(parameters, *options))
    expected, value = rows(0), trials()[0].value
    Path("runs/s").rename("runs/undisturbed")
    killed_when(0, child_only)
    if not child_only:
        assert trials()[0].state.name == "RUNNING"
        run(Path("s.yaml"))
    assert "continuing at kimg" in Path("runs/s/0.log").read_text()
    assert trials()[0].user_attrs["lost"]
    assert (trials()[0].value, rows(0)) == (value, expected)


@pytest.mark.slow
def test_a_bad_training_is_stopped_early():
    parameters = {"model.generator_lr": {"values": [1.0e-3, 1.0e-12]}}
    options = ("--max_kimg=100", "--trainer.val_check_interval=40", "--trainer.log_every_n_steps=40")
    run(sweep_file(parameters, *options, run_cap=2, early_terminate={"type": "hyperband", "min_iter": 1}))
    assert [trial.state.name for trial in trials()] == ["COMPLETE", "PRUNED"]
    status = read_status(Path("runs/s/1"))
    assert status.state == "stopped"
    assert status.reason.startswith("stopped early by the sweep: best/fid")
    assert status.length == {"max_kimg": 100}
    assert len(rows(1)) < len(rows(0))
    assert Path("runs/s/1/checkpoints/last.ckpt").exists()


@pytest.mark.slow
def test_the_tasks_of_an_array_share_a_sweep():
    """Each trial is trained once, and all tasks end when there are no more."""
    need_cluster()
    sweep_file({"model.loss": {"values": ["Hinge", "Wasserstein"]}, "model.n_critic": {"values": [1, 2]}})
    command = f"{sys.executable} -m lit_gans sweep run s.yaml -- --max_kimg=2 --trainer.val_check_interval=5"
    asked = ["sbatch", "--parsable", "--array=1-3", "--cpus-per-task=1", "--output=%a.log", "--wrap", command]
    job = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    try:
        while in_queue(job):
            pass
    finally:
        subprocess.run(["scancel", job])
    logs = [Path(f"{task}.log").read_text() for task in (1, 2, 3)]
    shares = [re.findall(r"^trial (\d): best/fid", log, re.MULTILINE) for log in logs]
    assert sorted(sum(shares, [])) == ["0", "1", "2", "3"], logs
    assert sum(map(bool, shares)) > 1
    assert all(log.endswith("all side by side: lit-gans compare runs/s\n") for log in logs)
    assert {(path.name, read_status(path).state) for path in Path("runs/s").glob("?")} == {
        (number, "finished") for number in "0123"
    }
