"""What became of the runs of a study, by the files in their directories."""

import csv
from collections import Counter
from contextlib import suppress
from math import isfinite, nan
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from lit_gans.comparison.text import aligned, printable
from lit_gans.errors import UserError
from lit_gans.run import Config, differences, first_of, identity, is_empty, read_config, short_name
from lit_gans.status import read_status
from lit_gans.study import Options, Planned, Study

State = Literal["done", "running", "stopped", "failed", "missing", "changed"]
"""`changed` are runs of other options, or of a larger budget, than the study has now."""


ERROR = "lit-gans: error: "
"""Begins the line that refuses a command."""


class Progress(NamedTuple):
    """How far a run came: thousands of images, wall time of its training in hours, and why it is not done."""

    state: State
    kimg: float = 0.0
    hours: float = 0.0
    reason: str = ""


def progress_of(study: Study, run: Planned, config: Config | None = None) -> Progress:
    """What became of a run.

    Args:
        study: Of the run.
        run: One of its runs.
        config: What `fit` makes of its options now, with whatever seed. Without it, only what the study file says is
            looked for in the run: neither what it says no more nor options after `--`.
    """
    if is_empty(run.run_dir):
        said = last_line(study.job(run, []).log)
        return Progress("missing", reason=said if said.startswith(ERROR) else "")
    try:
        made = read_config(run.run_dir)
    except UserError as error:
        return Progress("failed", reason=str(error))
    status, reached = read_status(run.run_dir), last_row(run.run_dir / "metrics.csv")
    option, budget = study.length
    had = status.length.get(option.removeprefix("trainer."))
    now = None if config is None else config | {"seed_everything": run.seed}
    if differing := unlike(made, run.options) if now is None else differences(made, now):
        return Progress("changed", *reached, f"differs in {first_of(differing)}")
    if status.state != "finished":
        return Progress(status.state, *reached, status.reason)
    if had is None or had > budget:
        return Progress("changed", *reached, f"its length was {had or status.length}, that of the study is {budget}")
    return Progress("done" if had == budget else "stopped", *reached)


def last_line(log: Path) -> str:
    """What a training said last, if it said something."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    said = printable(lines[-1]) if lines else "nothing"
    return said[max(said.find(ERROR), 0) :]  # a progress bar may stand before it


def last_row(path: Path) -> tuple[float, float]:
    """Kimg and hours at the end of a table of rows; 0 where it tells nothing."""
    found = {"kimg": 0.0, "cost/hours": 0.0}
    with suppress(OSError, ValueError, csv.Error), path.open(newline="") as file:
        for row in csv.DictReader(file):
            found |= {name: float(row[name]) for name in found if row.get(name)}
    return found["kimg"], found["cost/hours"]


def unlike(config: Config, options: Options) -> list[str]:
    """Options that a run was made with otherwise, as far as its config tells; those that change no result don't count.

    What was an option then and is none any more is not found.
    """
    essence = identity(config)
    essence["trainer"] = {"precision": essence["precision"]}
    found = {}
    for name in options:
        with suppress(LookupError, TypeError):
            found[name] = at(essence, name.split("."))
    return [
        f"{name} ({named(value)} there, {named(options[name])} now)"
        for name, value in found.items()
        if not agree(value, options[name])
    ]


def at(tree: Any, path: list[str]) -> Any:
    """A branch of a config, where arguments of classes are one level deeper than on the command line.

    Raises:
        LookupError: there is none.
        TypeError: the same, below a value.
    """
    for name in path:
        tree = tree[name] if name in tree else tree["init_args"][name]
    return tree


def named(value: Any) -> Any:
    """A class with arguments by its name, other values as they are."""
    return short_name(value["class_path"]) if isinstance(value, dict) and "class_path" in value else value


def agree(found: Any, asked: Any) -> bool:
    """Whether a value of a resolved config is the one asked for, which may be a class by its short name."""
    if isinstance(found, dict) and "class_path" in found:
        asked = asked if isinstance(asked, dict) else {"class_path": asked}
        same = short_name(found["class_path"]) == short_name(str(asked.get("class_path")))
        return same and agree(found.get("init_args") or {}, asked.get("init_args") or {})
    if isinstance(found, dict) and isinstance(asked, dict):
        return all(name in found and agree(found[name], value) for name, value in asked.items())
    if isinstance(found, list) and isinstance(asked, list):
        return len(found) == len(asked) and all(map(agree, found, asked))
    with suppress(TypeError, ValueError):
        return float(found) == float(asked)  # YAML reads 1e-4 as text
    return str(found) == str(asked)


def hours_left(study: Study, found: list[tuple[Planned, Progress]]) -> float:
    """Hours of training that are left, judged by what runs of each variant and dataset took; NaN if none has begun."""
    waiting = [(run, far) for run, far in found if far.state in ("running", "stopped", "missing")]
    if study.unit == "seconds":
        return sum(max(study.budget / 3600 - far.hours, 0.0) for _, far in waiting)
    hours = 0.0
    for run, far in waiting:
        alike = [one for other, one in found if other[:2] == run[:2] and one.kimg] or [one for _, one in found]
        kimg = sum(one.kimg for one in alike)
        hours += max(study.budget - far.kimg, 0.0) * sum(one.hours for one in alike) / kimg if kimg else nan
    return hours


def table(study: Study, found: list[tuple[Planned, Progress]]) -> str:
    """A line for each variant and dataset, a column for each seed; then why runs are not done, and what is left."""
    cells: dict[tuple[str, str], list[str]] = {}
    for run, far in found:
        kimg = f" {far.kimg:.4g}" if far.kimg and far.state != "done" else ""
        cells.setdefault((run.variant, run.dataset), []).append(far.state + kimg)
    rows = [
        ["variant", "dataset", *(f"s{seed}" for seed in study.seeds)],
        *([*key, *row] for key, row in cells.items()),
    ]
    told = ("failed", "changed", "missing")
    reasons = [f"{run.name} {far.state}: {far.reason}" for run, far in found if far.state in told and far.reason]
    counts = Counter(far.state for _, far in found)
    left = hours_left(study, found)
    hours = f"; about {left:.1f} hours of training left, on one worker" if isfinite(left) and left else ""
    sums = ", ".join(f"{counts[state]} {state}" for state in get_args(State) if counts[state])
    return "\n".join([*aligned(rows), *reasons, f"{len(found)} runs of {study.budget:g} {study.unit}: {sums}{hours}"])
