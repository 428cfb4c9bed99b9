import math
import shutil
import sys
import warnings
from pathlib import Path
from typing import Literal

from lit_gans.comparison.doubts import doubts
from lit_gans.comparison.groups import group_runs
from lit_gans.comparison.reading import read_runs
from lit_gans.comparison.runs import Run
from lit_gans.comparison.statistics import better, is_known, summarise
from lit_gans.comparison.table import as_csv, as_json, as_markdown, as_text
from lit_gans.comparison.text import printable
from lit_gans.errors import UserError
from lit_gans.explain import nearest
from lit_gans.files import replacing

TABLES = {".csv": as_csv, ".json": as_json, ".md": as_markdown}


def compare(
    paths: list[Path],
    *,
    metric: str = "val/fid",
    mode: Literal["auto", "min", "max"] = "auto",
    output: Path | None = None,
    wandb: bool = False,
) -> None:
    """Puts runs side by side: mean and 95 % interval over seeds, rank, significance and cost of each variant.

    Runs that differ in their seed alone are a variant. Only finished runs count, and numbers that were made unlike, by
    another protocol or on other data, never stand in one table.

    Args:
        paths: Run directories or folders above them; also W&B's folders, and those of CSV logs and TensorBoard.
        metric: Name of the logged number that decides.
        mode: Whether less or more of it is better; auto knows that of the scores of this project.
        output: File for the table, by its ending .csv, .json or .md, or .html for a page with curves and pictures.
        wandb: Also build W&B's workspace and report of these runs: saved there if logged in, else written as JSON.
    """
    if output and output.suffix not in (*TABLES, ".html"):
        raise UserError(f"--output={output}: a comparison is written as {', '.join((*TABLES, '.html'))}")
    runs, problems = read_runs(paths)
    check(runs, paths, metric, problems)
    if mode == "auto" and not is_known(metric):
        problems.append(f"whether less or more of {metric} is better is not known: less is assumed, unless --mode says")
    mode = better(metric) if mode == "auto" else mode
    groups = group_runs(runs)
    summaries = summarise(groups, metric, mode=mode)
    problems += doubts(summaries, metric)
    for problem in problems:
        warnings.warn(printable(problem), stacklevel=2)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf  # a file has room
    print(as_text(summaries, metric, mode, width))
    if output and output.suffix == ".html":
        from lit_gans.comparison.page import write_page

        write_page(output, groups, summaries, problems, metric=metric, mode=mode)
    elif output:
        with replacing(output) as temporary:
            temporary.write_text(TABLES[output.suffix](summaries, problems, metric, mode), encoding="utf-8")
    if output:
        print(f"written: {output}")
    if wandb:
        from lit_gans.comparison.workspace import dashboards

        for line in dashboards(groups, metric, mode=mode, folder=output.parent if output else Path()):
            print(line)


def check(runs: list[Run], paths: list[Path], metric: str, problems: list[str]) -> None:
    """Refuses what leaves nothing to compare."""
    if not runs:
        reasons = printable("; ".join(problems[:3])) or f"nothing at or below {', '.join(map(str, paths))} is one"
        raise UserError(f"there are no runs to compare: {reasons}")
    if not any(len(run.series(metric)[1]) for run in runs):
        logged = {name for run in runs for name in run.columns}
        names = sorted(name for name in logged if name.startswith("val/")) or sorted(logged - {"step", "kimg"})
        known = f"they have {', '.join(names[:8])}" if names else "nothing was logged yet"
        raise UserError(printable(f"none of {len(runs)} runs has {metric}{nearest(metric, names)} ({known})"))
