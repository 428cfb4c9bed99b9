"""Runs, sweeps and segments of killed runs, as W&B's real client sends them to a server."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lit_gans.cli import main
from lit_gans.comparison.reading import read_runs
from tests.commands import QUIET, SMALL, fails, run_dirs
from tests.test_loggers import read

HERE = Path(__file__).parent.parent
pytest_plugins = ["tests.wandb_server"]
CHATTER = QUIET[1:]


def call(*command, code=0):
    """What a command prints, of which a child process is made; it ends with the exit code."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE), "WANDB_SILENT": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def lit_gans(*arguments, code=0):
    return call(sys.executable, "-m", "lit_gans", *SMALL, *CHATTER, *arguments, code=code)


def wandb(*arguments):
    """W&B's command, whose errors it tells by words alone."""
    said = call(sys.executable, "-m", "wandb", *arguments)
    assert "ERROR" not in said, said
    return said


def metric_definitions(run):
    """Name of each metric to that of its axis, None for an axis, from where the client hands them to the server."""
    defined = run.config["_wandb"]["m"]
    return {one.get("1", one.get("2")): defined[one["5"] - 1]["1"] if "5" in one else None for one in defined}


def test_checkpoints_are_sent_when_asked(wandb_server):
    main([*SMALL, *CHATTER, "--online", "--upload"])
    (run,) = wandb_server.runs.values()
    (folder,) = run_dirs()
    assert wandb_server.committed == [f"{run.name}/checkpoints-{run.name}"]
    for name in ("best.ckpt", "last.ckpt"):
        assert run.uploads[f"checkpoints-{run.name}/{name}"] == (folder / "checkpoints" / name).read_bytes()
    with pytest.warns(UserWarning, match="--upload: the run is offline, its checkpoints stay in"):
        main([*SMALL, *CHATTER, "--fresh", "--upload"])


def test_checkpoints_that_are_refused_spoil_no_training(wandb_server):
    wandb_server.refused = {"CreateArtifact"}
    main([*SMALL, *CHATTER, "--online", "--upload", "--run_dir=my run"])
    (run,) = wandb_server.runs.values()
    assert run.exit_code == 0
    assert json.loads(Path("my run/status.json").read_text())["state"] == "finished"


def test_an_online_run(wandb_server):
    main([*SMALL, *CHATTER, "--online", "--label=plain", "--study=first", "--seed_everything=4"])
    (run,) = wandb_server.runs.values()
    (folder,) = Path("runs/first").iterdir()
    assert run.name == f"first-{folder.name}"
    assert (run.project, run.exit_code) == ("lit-gans", 0)
    assert (run.asked["groupName"], run.asked["jobType"]) == ("digits/plain", "train")
    assert run.asked["tags"] == ["plain", "digits", "first"]

    config = yaml.safe_load((folder / "config.yaml").read_text())
    flat = {"variant": "plain", "dataset": "digits", "seed": 4, "study": "first"}
    assert flat.items() <= run.config.items()
    assert run.config["model"]["class_path"] == "lit_gans.GAN"
    assert run.config["model"]["init_args"]["n_critic"] == config["model"]["init_args"]["n_critic"]
    assert run.config["protocols"] == json.loads((folder / "protocols.json").read_text())["values"]

    rows = read(folder / "metrics.csv")
    numbers = [row for row in run.history if "samples" not in row]
    assert [row["step"] for row in numbers] == [int(row["step"]) for row in rows]
    for sent, row in zip(numbers, rows, strict=True):
        expected = {key: float(value) for key, value in row.items() if value}
        assert {key: sent[key] for key in expected} == expected
    assert [row["kimg"] for row in run.history] == sorted(row["kimg"] for row in run.history)

    pictures = [row for row in run.history if "samples" in row]
    assert [row["samples"]["caption"] for row in pictures] == [f"{row['kimg']:.3f} kimg" for row in pictures]
    for row, path in zip(pictures, sorted((folder / "samples").iterdir()), strict=True):
        assert run.uploads[row["samples"]["path"]] == path.read_bytes()
    assert not any("ckpt" in name for name in run.uploads)

    definitions = metric_definitions(run)
    assert definitions.pop("kimg") is None
    assert {"val/fid", "best/fid", "generator/adversarial"} <= definitions.keys()
    assert definitions == dict.fromkeys(set(rows[0]) - {"step", "kimg"}, "kimg")


def test_an_online_run_that_is_continued(wandb_server):
    for steps in (4, 6):
        main([*SMALL, *CHATTER, "--online", f"--trainer.max_steps={steps}"])
    (run,) = wandb_server.runs.values()
    assert [row["_step"] for row in run.history] == list(range(len(run.history)))
    numbers = [row["step"] for row in run.history if "samples" not in row]
    assert numbers == [int(row["step"]) for row in read(run_dirs()[0] / "metrics.csv")]
    assert run.summary["step"] == 6


def test_a_server_that_refuses(wandb_server, capsys):
    wandb_server.refused = {"UpsertBucket"}
    assert "permission denied" in fails([*SMALL, *CHATTER, "--online"], capsys)


def test_online_without_a_key(wandb_server, capsys, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", "none")
    line = fails([*SMALL, *CHATTER, "--online"], capsys)
    assert "No API key" in line
    assert "leave --online out" in line
    assert not wandb_server.runs


OWN = """
import os, signal
from lightning import Callback
class Killed(Callback):
    def on_train_batch_end(self, trainer, module, *args):
        if module.turn == 150:
            os.kill(os.getpid(), signal.SIGKILL)
class Spoiled(Callback):
    def on_train_batch_end(self, trainer, module, *args):
        if module.turn == 140:
            for weights in module.parameters():
                weights.data.zero_()
"""


@pytest.mark.slow
def test_segments_of_a_killed_run(wandb_server):
    """Sent one by one in order, they are one run on the server; what was done twice is there twice, the later counts.

    Of a killed segment W&B's file lacks the end. Asked for both at once, `wandb sync` would stop there.
    """
    Path("own.py").write_text(OWN)
    long = [
        "--run_dir=run",
        "--trainer.max_steps=200",
        "--trainer.val_check_interval=40",
        "--trainer.log_every_n_steps=1",
        "--model.generator_lr=0.01",
    ]
    lit_gans(*long, "--trainer.callbacks=own.Killed", code=-signal.SIGKILL)
    assert "continuing at kimg 7.680 (step 120)" in lit_gans(*long, "--trainer.callbacks=own.Spoiled")
    segments = sorted(Path("run").glob("wandb/offline-run-*"))
    assert len(segments) == 2
    for segment in segments:
        call(sys.executable, "-m", "wandb", "sync", str(segment))
    (run,) = wandb_server.runs.values()
    assert (run.name, run.exit_code) == ("run", 0)
    assert [row["_step"] for row in run.history] == list(range(len(run.history)))

    numbers, merged = [row for row in run.history if "samples" not in row], []
    for row in numbers:
        if merged and row["step"] < merged[-1]["step"]:
            merged = [earlier for earlier in merged if earlier["step"] < row["step"]]
        merged.append(row)
    assert len(merged) < len(numbers)
    rows = read("run/metrics.csv")
    assert [row["step"] for row in merged] == [int(row["step"]) for row in rows]
    assert [row.get("val/fid") for row in merged] == [float(row["val/fid"]) if row["val/fid"] else None for row in rows]

    measured = [row["val/fid"] for row in merged if "val/fid" in row]
    assert len(measured) == 5
    assert run.summary["best/fid"] == min(measured) == measured[2]
    assert run.summary["val/fid"] == measured[-1] > min(measured)

    shutil.copytree("run/wandb", "alone/wandb", symlinks=True)
    (alone,), _ = read_runs([Path("alone")])
    assert alone.columns["step"].tolist() == [int(row["step"]) for row in rows]
    assert alone.series("val/fid")[1].tolist() == measured


def test_equal_trials_have_a_directory_each(monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    for trial in ("first", "second"):
        monkeypatch.setenv("WANDB_RUN_ID", trial)
        main([*SMALL, *QUIET])
    names = [folder.name.rpartition("-") for folder in run_dirs()]
    assert [name for _, _, name in names] == ["first", "second"]
    assert len({same for same, _, _ in names}) == 1


SHORT = f"""#!/bin/sh
exec {sys.executable} -m lit_gans "$@" --data=Digits --data.image_size=32 --data.batch_size=8 --max_kimg=0.032 \\
    --trainer.val_check_interval=2 --trainer.limit_val_batches=1 --metrics.n_real=50 --metrics.n_fake=50
"""


@pytest.mark.slow
def test_an_agent_drives_a_sweep_of_ours(wandb_server, monkeypatch):
    """The file as it is, but that `lit-gans` trains for four batches of small images. Trials are the agent's runs."""
    Path("bin").mkdir()
    Path("bin/lit-gans").write_text(SHORT)
    Path("bin/lit-gans").chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path('bin').resolve()}:{os.environ['PATH']}")
    file = HERE / "experiments" / "sweeps" / "losses.yaml"
    assert "wandb agent someone/lit-gans/sweep0" in wandb("sweep", str(file))
    wandb("agent", "--count=2", "someone/lit-gans/sweep0")
    (sweep,) = wandb_server.sweeps.values()
    assert sweep.config == yaml.safe_load(file.read_text())
    assert list(wandb_server.runs) == sweep.run_names
    runs = wandb_server.runs.values()
    assert [run.config["model"]["init_args"]["loss"]["class_path"] for run in runs] == [
        "lit_gans.losses.Minimax",
        "lit_gans.losses.NonSaturating",
    ]
    for run in runs:
        assert (run.project, run.exit_code, run.asked["sweep"]) == ("lit-gans", 0, "sweep0")
        assert run.summary[sweep.config["metric"]["name"]] == min(
            row["val/fid"] for row in run.history if "val/fid" in row
        )
    assert sorted(folder.name.rpartition("-")[2] for folder in run_dirs()) == sweep.run_names
