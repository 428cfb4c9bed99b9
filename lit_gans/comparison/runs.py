"""What is compared: runs, whatever files they were read from, and groups of runs that differ in the seed alone."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lit_gans.run import identity, labels
from lit_gans.status import Status

ENDED_UNSAID = Status("finished", "its logs don't tell whether it ended")
"""Of logs of other projects, which have numbers only."""


@dataclass(frozen=True)
class Run:
    """One training, as far as its files tell.

    Attributes:
        name: Tells it apart from the others that are compared.
        path: The run directory or file that it was read from.
        variant: What was trained: the `--label`, else the class.
        dataset: On what.
        seed: With which seed; None if nothing says so.
        study: Of which study.
        config: Nested as in `config.yaml`; empty if nothing tells it.
        columns: Values of each logged name over the rows, float64 with NaN where a row has none; all equally long, in
            the order of `kimg`, which is one of them, as `generator/updates` and `cost/hours` are if they were logged.
        status: How the run ended.
        protocols: How each metric was made: name (`val/fid`, and `best/fid` that is of it) to `{"hash": ...,
            "protocol": {...}}`.
        pictures: Sample grids: name (`samples`) to pairs of kimg and file, in order.
    """

    name: str
    path: Path
    variant: str
    dataset: str = ""
    seed: int | None = None
    study: str = "default"
    config: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    status: Status = Status("finished")
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, list[tuple[float, Path]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        best = {re.sub("^val/", "best/", name): made for name, made in self.protocols.items()}
        logged = {name: made for name, made in best.items() if name in self.columns}
        object.__setattr__(self, "protocols", logged | self.protocols)

    def series(self, name: str, axis: str = "kimg") -> tuple[np.ndarray, np.ndarray]:
        """Places on the axis and values of a column, where both are finite; empty if it was never logged."""
        nothing = np.full(len(self.columns.get("kimg", ())), np.nan)
        x, y = self.columns.get(axis, nothing), self.columns.get(name, nothing)
        there = np.isfinite(x) & np.isfinite(y)
        return x[there], y[there]


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone: one line of a table, one band of a plot.

    Attributes:
        label: The variant, and what sets it apart from others of the same name: `GAN loss=Hinge`.
        dataset: On what they were trained.
        runs: The runs, finished or not.
        differing: Options in which the groups differ, dotted as on the command line, with this group's values.
    """

    label: str
    dataset: str
    runs: tuple[Run, ...]
    differing: dict[str, Any] = field(default_factory=dict)


def told_by(config: dict[str, Any], name: str) -> dict[str, Any]:
    """What a config tells of its run, as arguments of `Run`: variant, dataset, seed, study, and the config itself.

    Args:
        config: As in `config.yaml`; W&B has these names beside that, and so may configs of other projects.
        name: For the variant, where nothing else is known.
    """
    try:
        identity(config)
        named = labels(config)
        config = {key: value for key, value in config.items() if key not in ("variant", "dataset", "seed")}
    except (LookupError, TypeError, AttributeError):
        named = {"variant": name, "dataset": "", "study": "default"} | config
    seed = named.get("seed", named.get("seed_everything"))
    texts = {key: str(named[key]) for key in ("variant", "dataset", "study")}
    return {**texts, "seed": seed if type(seed) is int else None, "config": config}
