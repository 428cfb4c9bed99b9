"""A short run on the digits as a command, and what failing ones print."""

from pathlib import Path

import pytest

from lit_gans.cli import main

SMALL = [
    "fit",
    "--model=GAN",
    "--data=Digits",
    "--metrics.n_real=50",
    "--metrics.n_fake=50",
    "--trainer.max_steps=6",
    "--trainer.limit_val_batches=1",
    "--trainer.val_check_interval=3",
    "--trainer.log_every_n_steps=2",
    "--trainer.accelerator=cpu",
]
QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


def fails(arguments, capsys):
    """The last line that a failing command prints."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    printed = capsys.readouterr().err.strip()
    line = str(left.value) if isinstance(left.value.code, str) else printed.splitlines()[-1]
    assert left.value.code not in (0, None)
    assert line.startswith("lit-gans: error: ")
    assert "\n" not in line
    return line


def run_dirs():
    return sorted(Path("runs/default").iterdir())
