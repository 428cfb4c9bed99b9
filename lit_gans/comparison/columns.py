"""Logged rows as columns, and the CSV files that they are kept in."""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from lit_gans.errors import UserError

Columns = dict[str, np.ndarray]


def columns_of(rows: Iterable[Mapping[str, float]]) -> Columns:
    """Rows as columns, float64 with NaN where a row has none, in the order of kimg, or else of steps."""
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: np.array([row.get(name, math.nan) for row in rows], np.float64) for name in names}
    clock = columns.get("kimg", columns.get("step"))
    if clock is None:
        return columns
    order = np.argsort(clock, kind="stable")
    return {name: values[order] for name, values in columns.items()}


def read_csv(path: Path) -> Columns:
    """The numbers of a CSV file with a line of names; a last line that was cut off in writing is left out.

    Raises:
        UserError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    names = lines.pop(0) if lines else []
    rows = ({name: number(cell) for name, cell in zip(names, line, strict=False) if cell} for line in lines)
    return columns_of({name: value for name, value in row.items() if value is not None} for row in rows)


def number(text: str) -> float | None:
    """The number that a text is; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def as_given(value: float) -> float:
    """A number that was stored as float32 as the shortest one that it stands for: 0.192, not 0.19200000166893005.

    So the same moment is the same number in all files.
    """
    return float(str(np.float32(value)))
