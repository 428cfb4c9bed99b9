"""Arrays of Slurm, without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lit_gans.cli import main
from tests.commands import fails

pytestmark = pytest.mark.usefixtures("small_study")


SBATCH = """#!/bin/sh
test -d runs/small/logs && test ! -e refuse || { echo "sbatch: error: no such partition" >&2; exit 1; }
printf '%s\\n' "$@" > asked
cat > script
echo 17
"""
"""In place of Slurm's, which reads the script from where it is typed if it is given none."""


def test_an_array_for_slurm(capsys, monkeypatch, tmp_path):
    """A task for each run that is due; nothing is left of one that is refused."""
    for name, script in {"sbatch": SBATCH, "srun": "#!/bin/sh\nprintf '%s\\n' \"$@\""}.items():
        Path(name).write_text(script)
        Path(name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    command = ["study", "run", "small.yaml", "--slurm=--comment='a b'", "--workers=2", "--", "--data.root=my data"]
    Path("refuse").touch()
    for there in ([], ["runs"], ["runs", "runs/small"], ["runs", "runs/small", "runs/small/logs"]):
        for folder in there:
            Path(folder).mkdir(exist_ok=True)
        assert "Slurm refuses: sbatch: error: no such partition" in fails(command, capsys)
        assert sorted(map(str, Path().glob("runs/**"))) == there
    Path("refuse").unlink()
    main(["study", "run", "small.yaml", "--only=[one]", "--seeds=[3]"])
    capsys.readouterr()
    main(command)
    assert capsys.readouterr().out.startswith("submitted 3 runs as job 17; lit-gans study status small.yaml")
    assert Path("asked").read_text().splitlines() == ["--parsable", "--array=0,1,3%2", "--comment=a b"]
    assert "#SBATCH --output=runs/small/logs/slurm-%A_%a.log\n" in Path("script").read_text()
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    task = subprocess.run(["bash", "script"], capture_output=True, text=True).stdout.splitlines()
    options = [
        "small.yaml",
        "--seeds=[0, 3]",
        '--only=["one", "two", "digits"]',
        "--index=3",
        "--",
        "--data.root=my data",
    ]
    assert task == [sys.executable, "-m", "lit_gans", "study", "run", *options]
