"""Whole processes and real training: minutes, not seconds."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import same

HERE = Path(__file__).parent.parent
QUICKSTART = [sys.executable, "-m", "lit_gans", "fit", f"--config={HERE / 'experiments' / 'quickstart.yaml'}"]
SHORT = [
    "--trainer.max_steps=40",
    "--trainer.val_check_interval=15",
    "--trainer.log_every_n_steps=5",
    "--trainer.accelerator=cpu",
    "--checkpoint.every_n_train_steps=4",
    "--metrics.n_real=64",
    "--metrics.n_fake=64",
    "--trainer.limit_val_batches=1",
]
pytestmark = pytest.mark.slow


def lit_gans(folder, *arguments):
    command = [*QUICKSTART, *SHORT, f"--run_dir={folder}", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(process):
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


def rows(folder):
    with open(f"{folder}/metrics.csv", newline="") as file:
        return [
            {key: value for key, value in row.items() if "speed" not in key and "cost" not in key}
            for row in csv.DictReader(file)
        ]


def test_the_command_line_survives_kill_nine():
    """The quickstart, killed as soon as a checkpoint or a picture appears, ends as if nothing had happened."""
    finish(lit_gans("whole"))
    for sign, number in (
        ("checkpoints/last.ckpt", signal.SIGKILL),
        ("samples/kimg-000000.960.png", signal.SIGTERM),
        ("samples/kimg-000001.920.png", signal.SIGKILL),
    ):
        process = lit_gans("killed")
        while not Path("killed", sign).exists():
            assert process.poll() is None
        os.kill(process.pid, number)
        said = process.communicate()[0]
        assert process.returncode == (143 if number == signal.SIGTERM else -9)
        assert ("the same command continues" in said) == (number == signal.SIGTERM)
    assert "continuing at kimg" in finish(lit_gans("killed"))
    assert rows("killed") == rows("whole")
    one, other = (torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True) for folder in ("whole", "killed"))
    assert one["callbacks"].pop("Cost")["hours"] != other["callbacks"].pop("Cost")["hours"]  # time is no promise
    assert same(one, other)
    assert "finished, at kimg 2.560" in finish(lit_gans("killed"))


def test_two_devices_by_the_flag_alone():
    """`--trainer.devices=2`: networks without batch statistics end like those of one process."""
    networks = [
        "--model.generator=MLPGenerator",
        "--model.discriminator=MLPDiscriminator",
        "--trainer.precision=64-true",
    ]
    for folder, devices in (("one", 1), ("two", 2)):
        finish(lit_gans(folder, *networks, f"--trainer.devices={devices}"))
    one, two = (torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True) for folder in ("one", "two"))
    torch.testing.assert_close(one["state_dict"], two["state_dict"], rtol=0, atol=1e-9)
    assert [row["step"] for row in rows("one")] == [row["step"] for row in rows("two")]
    assert len(list(Path("two").glob("wandb/offline-run-*"))) == 1


def test_the_benchmark_runs():
    said = subprocess.run(
        [sys.executable, "-m", "experiments.bench", "--quick"], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout
    pairs = ("DCGAN 32", "DCGAN 64", "SNGAN 32", "BigGAN 32", "R3GAN 32")
    assert all(row in said for row in ("Memory", "Trainer and logging", "MNIST loader", *pairs))


def test_the_quickstart_learns():
    """A third of the quickstart draws digits that its classifier takes for digits."""
    said = finish(
        lit_gans(
            "run",
            "--trainer.max_steps=500",
            "--trainer.val_check_interval=500",
            "--metrics.n_fake=1500",
            "--metrics.n_real=1500",
            "--trainer.limit_val_batches=1.0",
        )
    )
    last = rows("run")[-1]
    assert float(last["val/fid"]) < 5, said
    assert float(last["val/is"]) > 7
