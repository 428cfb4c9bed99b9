"""What a process takes, and processes to measure in; imports nothing that would be measured, too."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]


def resident() -> float:
    """Most memory that this process has had so far, in MiB; by Linux, since `ru_maxrss` begins at the parent's peak."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def afresh(code: str) -> str:
    """The last line that the code prints in a process that has done nothing before."""
    process = subprocess.run([sys.executable, "-c", code], cwd=HERE, check=True, stdout=subprocess.PIPE, text=True)
    return process.stdout.strip().splitlines()[-1]
