import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lit_gans.cli import main
from lit_gans.errors import UserError
from lit_gans.loggers import CSVRows
from lit_gans.run import alone
from lit_gans.status import Status, read_status, reporting, write_status
from tests.commands import fails
from tests.conftest import fit, small_gan

RUN = Path("run")
TINY = [
    *("fit", "--model=GAN", "--data=Digits", "--data.batch_size=64", "--metrics.features=[]", "--run_dir=run"),
    *("--trainer.limit_val_batches=0", "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false"),
]


def test_the_status_tells_how_a_run_ended():
    assert read_status(RUN) == Status("stopped")
    with alone(RUN), reporting(RUN, {"max_steps": 3}):
        assert read_status(RUN) == Status("running", "", {"max_steps": 3})
    assert read_status(RUN) == Status("finished", "", {"max_steps": 3})
    with pytest.raises(UserError), reporting(RUN, {}):
        raise UserError("weights are not finite")
    assert read_status(RUN) == Status("failed", "weights are not finite")
    with pytest.raises(ZeroDivisionError), reporting(RUN, {}):
        print(1 / 0)
    assert read_status(RUN) == Status("failed", "ZeroDivisionError: division by zero")
    with pytest.raises(SystemExit), reporting(RUN, {}):
        raise SystemExit(1)
    assert read_status(RUN) == Status("stopped", "interrupted")


def test_a_run_that_says_it_runs_and_holds_no_lock_was_killed():
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom lit_gans.run import alone\n"
        "from lit_gans.status import Status, read_status, write_status\nrun = Path('run')\n"
        "with alone(run):\n write_status(run, Status('running'))\n os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == -signal.SIGKILL
    assert read_status(RUN).state == "stopped"
    assert "killed" in read_status(RUN).reason
    with alone(RUN):
        assert read_status(RUN).state == "running"


ASKS = """
import fcntl, sys
from pathlib import Path
from lit_gans.status import read_status
lock = fcntl.flock
def stop_while_holding(*how):
    lock(*how)
    print("holds", flush=True)
    sys.stdin.readline()
fcntl.flock = stop_while_holding
print(read_status(Path("run")).state)
"""


def test_who_asks_is_not_taken_for_a_training():
    write_status(RUN, Status("running"))
    (RUN / ".lock").touch()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    asking = subprocess.Popen([sys.executable, "-c", ASKS], env=environment, **pipes)
    assert asking.stdout.readline() == "holds\n"
    assert read_status(RUN).state == "stopped"
    assert asking.communicate("\n")[0] == "stopped\n"
    with alone(RUN):
        assert read_status(RUN).state == "running"


NO_STATE = '{"state": ["finished"], "reason": "", "length": {}}'
NO_LENGTH = '{"state": "finished", "reason": "", "length": 3}'


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "finished"}', "\x00", NO_STATE, NO_LENGTH])
def test_a_damaged_status_is_none(content):
    RUN.mkdir()
    (RUN / "status.json").write_text(content)
    assert read_status(RUN) == Status("stopped")


def test_length_in_images_and_label(capsys):
    main([*TINY, "--max_kimg=0.2", "--trainer.max_epochs=1", "--label=first"])  # 3.1 batches, and not one epoch
    rows = CSVRows(RUN / "metrics.csv").rows()
    assert [row["kimg"] for row in rows] == ["0.064", "0.128", "0.192", "0.256"]
    assert read_status(RUN) == Status("finished", "", {"max_kimg": 0.2})
    write_status(RUN, Status("stopped", "killed after its last batch"))
    assert "finished, at kimg 0.256" in (main_again(capsys, "--max_kimg=0.2"))
    assert read_status(RUN) == Status("finished", "", {"max_kimg": 0.2})
    write_status(RUN, Status("failed", "", {"max_kimg": 0.2}))
    main_again(capsys, "--max_kimg=0.2")
    assert read_status(RUN).state == "failed"
    main([*TINY, "--max_kimg=0.3", "--label=first"])
    assert len(CSVRows(RUN / "metrics.csv").rows()) == 5
    error = fails([*TINY, "--max_kimg=0"], capsys)
    assert "max_kimg" in error
    error = fails([*TINY, "--max_kimg=0.063", "--run_dir=other"], capsys)
    assert "0.063 kimg are less than one batch of 64 images" in error
    assert not Path("other").exists()
    assert "--label=a/b: give a plain name" in fails([*TINY, "--label=a/b"], capsys)


def main_again(capsys, *options):
    with pytest.raises(SystemExit) as leaving:
        main([*TINY, *options])
    assert leaving.value.code == 0
    return capsys.readouterr().out


def test_rows_tell_generator_updates_and_cost():
    main([*TINY, "--trainer.max_steps=6", "--model.n_critic=3"])
    rows = CSVRows(RUN / "metrics.csv").rows()
    assert [float(row["generator/updates"]) for row in rows] == [0, 0, 1, 1, 1, 2]
    hours = [float(row["cost/hours"]) for row in rows]
    assert 0 < hours[0] < hours[-1] < 0.1
    assert 0.1 < float(rows[-1]["cost/memory_gib"]) < 100  # a process with torch in it
    main([*TINY, "--trainer.max_steps=7", "--model.n_critic=3"])
    continued = CSVRows(RUN / "metrics.csv").rows()
    assert float(continued[-1]["cost/hours"]) > hours[-1]
    assert float(continued[-1]["generator/updates"]) == 2


def test_generator_updates_continue_in_python():
    model = small_gan()
    fit(model, steps=3)
    assert model.generator_updates == 3


def test_a_failed_run_says_why(capsys):
    fails(
        [*TINY, "--trainer.max_steps=40", "--model.discriminator_lr=1e38", "--model.optimizer=torch.optim.SGD"], capsys
    )
    status = read_status(RUN)
    assert status.state == "failed"
    assert "not finite" in status.reason
    write_status(RUN, Status("stopped"))
    assert read_status(RUN) == Status("stopped")


def test_a_monitor_that_nothing_logs_is_told_at_the_first_validation(capsys):
    options = ["--checkpoint.monitor=val/psnrr", "--trainer.max_steps=40", "--trainer.limit_val_batches=1"]
    tiny = [option for option in TINY if "limit_val" not in option and "features" not in option]
    counts = ["--metrics.n_real=20", "--metrics.n_fake=20"]
    line = fails([*tiny, *options, *counts], capsys)
    assert "--checkpoint.monitor=val/psnrr was not logged: choose from val/fid, val/fid_digits, val/is" in line
