"""A Slurm cluster, where there is one."""

import shutil
import subprocess

import pytest


def need_cluster():
    """Skips the test without one."""
    if not shutil.which("sbatch") or subprocess.run(["sinfo"], capture_output=True).returncode:
        pytest.skip("no Slurm cluster here")


def in_queue(job):
    """What is waiting or running of a job."""
    return subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True).stdout.strip()
