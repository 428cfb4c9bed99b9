"""Finds runs below the paths that are given, and reads them, whatever files they left."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lit_gans.comparison.columns import Columns, as_given, columns_of, read_csv
from lit_gans.comparison.runs import ENDED_UNSAID, Run, told_by
from lit_gans.comparison.wandb_file import read_wandb
from lit_gans.errors import UserError
from lit_gans.run import UNREADABLE, read_config, read_plain
from lit_gans.status import Status, read_status

Tell = Callable[[str], None]
"""Is told what is wrong, in one line."""

EVENTS = "events.out.tfevents."


def read_runs(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """All runs at and below the paths, each once, and what is wrong with them, a line each.

    A run directory is read from its own files, and nothing else that is in it. Elsewhere there may be W&B's files, of
    which the parts of a run are put together, folders with a `metrics.csv`, and folders of TensorBoard's events.
    Nothing in a file is executed.

    Args:
        paths: Of runs or files, or of folders anywhere above them.
    """
    problems: list[str] = []
    segments, runs = [], []
    for folder, below, names in folders(roots(paths, segments, problems.append), problems.append):
        run = read_folder(folder, names, problems.append)
        files = [] if run else [folder / name for name in sorted(names) if name.endswith(".wandb")]
        segments += files
        runs += [run] if run else []
        if run or files and re.match("(offline-)?run-", folder.name):
            below.clear()
    own = {run.path.resolve() for run in runs}
    outside = {path.resolve(): path for path in segments if own.isdisjoint(path.resolve().parents)}
    runs = [run for run in runs if own.isdisjoint(run.path.resolve().parents)]
    runs += read_wandb(list(outside.values()), problems.append)
    runs = told_apart(runs)
    if timeless := [run.name for run in runs if run.columns and "kimg" not in run.columns]:
        more = f" and {len(timeless) - 1} more tell" if timeless[1:] else " tells"
        problems.append(f"{timeless[0]}{more} no kimg: steps, in thousands, take the place")
    return [on_the_clock(run, problems.append) for run in runs], problems


def roots(paths: Iterable[Path], segments: list[Path], tell: Tell) -> Iterator[Path]:
    """The folders among the paths, and those of their files; W&B's files are put aside."""
    for path in paths:
        if path.is_dir():
            yield path
        elif not path.is_file():
            tell(f"there is no {path}")
        elif path.suffix == ".wandb":
            segments.append(path)
        elif path.name in ("config.yaml", "metrics.csv") or path.name.startswith(EVENTS):
            yield path.parent
        else:
            tell(f"{path} is no run")


def folders(paths: Iterable[Path], tell: Tell) -> Iterator[tuple[Path, list[str], list[str]]]:
    """All folders at and below the paths once, with the names of their folders and files; links are followed.

    Who clears the list of a folder's folders keeps these from being entered.
    """
    entered = set()
    for path in paths:
        for folder, below, names in os.walk(path, followlinks=True, onerror=lambda error: tell(f"{error}")):
            place = os.path.realpath(folder)
            below[:] = [] if place in entered else sorted(name for name in below if not name.startswith("."))
            if place not in entered:
                entered.add(place)
                yield Path(folder), below, names


def read_folder(folder: Path, names: Sequence[str], tell: Tell) -> Run | None:
    """The run of a folder with these files, unless it is one of W&B, or none."""
    if "config.yaml" in names:
        try:
            return read_run_directory(folder, read_config(folder), tell)
        except UserError as error:
            if "metrics.csv" in names:
                tell(f"{error}; its numbers are shown all the same")
    if "metrics.csv" in names:
        return Run(path=folder, columns=table(folder, tell), **told_beside(folder, tell), status=status_in(folder))
    if any(name.startswith(EVENTS) for name in names):
        return Run(path=folder, columns=read_events(folder), **told_beside(folder, tell), status=ENDED_UNSAID)
    return None


def read_run_directory(folder: Path, config: dict[str, Any], tell: Tell) -> Run:
    """A run by the files of its directory; see `lit_gans.run.CONTENTS`."""
    name = folder.resolve().name
    grids = (re.fullmatch(r"kimg-(\d+\.\d+)\.png", path.name) for path in sorted(folder.glob("samples/kimg-*.png")))
    return Run(
        name=name,
        path=folder,
        **told_by(config, name),
        columns=table(folder, tell) if (folder / "metrics.csv").exists() else {},
        status=read_status(folder),
        protocols=read_protocols(folder / "protocols.json", tell),
        pictures={"samples": [(float(grid[1]), folder / "samples" / grid[0]) for grid in grids if grid]},
    )


def table(folder: Path, tell: Tell) -> Columns:
    """The rows of a folder's `metrics.csv`; none if it cannot be read."""
    try:
        return read_csv(folder / "metrics.csv")
    except UserError as error:
        tell(str(error))
        return {}


def read_protocols(path: Path, tell: Tell) -> dict[str, dict[str, Any]]:
    """How each metric was made; nothing for a run that measured none."""
    try:
        told = json.loads(path.read_text())
        return {
            str(name): {"hash": str(digest), "protocol": dict(told["protocols"].get(digest, {}))}
            for name, digest in told["values"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        tell(f"{path} cannot be read: how the numbers were made is unknown")
        return {}


def told_beside(folder: Path, tell: Tell) -> dict[str, Any]:
    """What a folder of logs tells by its name, that of the one above, and `hparams.yaml`, as arguments of `Run`.

    Names end as ours do, or in a seed: `dcgan-seed3`, `dcgan/seed_3`. Lightning's `version_3` are runs of what the
    folder above is called, if hyperparameters tell one version from another.
    """
    own, above = folder.resolve().name, folder.resolve().parent.name
    for name in (own, above):
        if match := re.fullmatch(r"(.+)-([^-]+)-s(\d+)-[0-9a-f]{8}", name):
            return {"name": name, "variant": match[1], "dataset": match[2], "seed": int(match[3])}
    known = hyperparameters(folder / "hparams.yaml", tell)
    variant = above if known and re.fullmatch(r"version_\d+", own) else ""
    if match := re.fullmatch(r"(?:(.+)[-_.])?seed[-_=]?(\d+)", own):
        variant, known = match[1] or above, {"seed": int(match[2])} | known
    return {"name": own, **told_by(known, variant)}


def hyperparameters(path: Path, tell: Tell) -> dict[str, Any]:
    """Those that Lightning's loggers note beside their numbers; none if there are none."""
    try:
        known = read_plain(path)
    except FileNotFoundError:
        return {}
    except UNREADABLE:
        tell(f"{path} cannot be read, or has more than plain values: its hyperparameters are unknown")
        return {}
    return known if isinstance(known, dict) else {}


def status_in(folder: Path) -> Status:
    """The status that is noted in a folder."""
    return read_status(folder) if (folder / "status.json").exists() else ENDED_UNSAID


def read_events(folder: Path) -> Columns:
    """The scalars of a folder of TensorBoard's event files, by step; as far as they go, if they end within a record."""
    from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0, IMAGES: 1}).Reload()
    rows: dict[int, dict[str, float]] = defaultdict(dict)
    for name in events.Tags()[SCALARS]:
        for event in events.Scalars(name):
            rows[event.step][name] = as_given(event.value) if name == "kimg" else event.value
    return columns_of({"step": step} | row for step, row in rows.items())


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """Runs in the order of their names, to which those of one name get as much of the path as tells them apart.

    A variant that nothing tells is called like its run.
    """
    alike = defaultdict(list)
    for run in runs:
        alike[run.name].append(run)
    named = []
    for name, members in alike.items():
        places = [run.path.resolve() for run in members]
        above = os.path.commonpath(places)
        names = [name] if len(members) == 1 else [place.relative_to(above).as_posix() for place in places]
        named += [replace(run, name=one, variant=run.variant or one) for run, one in zip(members, names, strict=True)]
    return sorted(named, key=lambda run: run.name)


def on_the_clock(run: Run, tell: Tell) -> Run:
    """The run, with steps in thousands for kimg if that was not logged, which `read_runs` tells."""
    if not run.columns:
        tell(f"{run.name} has no rows{' yet' * (run.status.state == 'running')}")
        return run
    if "kimg" in run.columns:
        return run
    rows = np.arange(len(next(iter(run.columns.values()))))
    return replace(run, columns=run.columns | {"kimg": run.columns.get("step", rows) / 1000})
