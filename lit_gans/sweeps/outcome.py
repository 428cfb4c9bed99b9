"""What the files of a trial tell of it."""

import csv
import io
from pathlib import Path

from lit_gans.status import read_status


def logged(path: Path) -> dict[str, list[float]]:
    """The values of each name in `metrics.csv`, without the rows that have none; a torn last line is left out."""
    if not path.exists():
        return {}
    text = path.read_text()
    columns: dict[str, list[float]] = {}
    for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])):
        for name, value in row.items():
            if value:
                columns.setdefault(name, []).append(float(value))
    return columns


def why(run_dir: Path, log: Path) -> str:
    """Why a training failed: what its status says, or else the last line that it printed."""
    status = read_status(run_dir)
    if status.state == "failed":
        return status.reason
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip().removeprefix("lit-gans: error: ") if lines else "it printed nothing"
