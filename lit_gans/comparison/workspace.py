"""Dashboards of W&B as code: a workspace and a report of the runs that are compared, saved or written as JSON."""

import json
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import wandb

from lit_gans.comparison.groups import on_command_line
from lit_gans.comparison.runs import Group
from lit_gans.comparison.statistics import Mode
from lit_gans.errors import UserError
from lit_gans.files import replacing
from lit_gans.run import flatten
from lit_gans.wandb_server import unreachable

try:
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr
except ModuleNotFoundError as missing:
    raise UserError('dashboards of W&B are made by another package: pip install "lit-gans[dashboards]"') from missing

MANY = 100
"""Runs that a panel shows at most; W&B's own limit of ten would drop some without a word."""

MEANS = (
    "Means and bands here are over all runs of a variant that W&B has, running and failed ones too, whatever protocol "
    "their numbers were made by. `lit-gans compare` counts finished runs alone, keeps protocols apart, has intervals."
)

AXES = 8
"""Options that parallel coordinates show at most, those of most values."""


def dashboards(
    groups: Sequence[Group],
    metric: str = "val/fid",
    *,
    mode: Mode = "min",
    folder: Path = Path(),
    entity: str | None = None,
    project: str | None = None,
) -> list[str]:
    """Saves a workspace and a report in W&B; who is not logged in gets `workspace.json` and `report.json`.

    They show what W&B has of the studies and datasets of the groups, by variant.

    Args:
        groups: What is compared.
        metric: A logged name.
        mode: Whether less or more of it is better.
        folder: For the files.
        entity: User or team that owns the project; by default `WANDB_ENTITY`, or that of who is logged in.
        project: Where the runs are; by default `WANDB_PROJECT`, or lit-gans.

    Returns:
        Where they are: a line for each.

    Raises:
        UserError: W&B refuses.
    """
    project = project or os.environ.get("WANDB_PROJECT") or "lit-gans"
    try:
        owner = login(entity)
        made = {
            build.__name__: build(groups, metric, mode, owner or "nobody", project) for build in (workspace, report)
        }
        if owner:
            return [f"{name}: {board.save().url}" for name, board in made.items()]
    except Exception as error:  # of W&B's client, which has many kinds
        raise UserError(f"W&B: {' '.join(str(error).split())}") from error
    for name, board in made.items():
        with replacing(folder / f"{name}.json") as temporary:
            temporary.write_text(as_json(board), encoding="utf-8")
    return [f"{name}: {folder / name}.json (`wandb login` and the same again saves it in W&B)" for name in made]


def login(entity: str | None = None) -> str | None:
    """The owner of what is saved; None for who is not logged in, or cannot reach the server."""
    if reason := unreachable():
        warnings.warn(f"{reason}: nothing is saved there", stacklevel=2)
        return None
    wandb.setup(wandb.Settings(silent=True))  # asks for no key
    try:
        api = wandb.Api()
    except wandb.errors.UsageError:  # there is none
        return None
    return entity or os.environ.get("WANDB_ENTITY") or api.default_entity


def workspace(groups: Sequence[Group], metric: str, mode: Mode, entity: str, project: str) -> ws.Workspace:
    """A page of panels beside the table of runs."""
    best = best_of(groups, metric)
    return ws.Workspace(
        entity=entity,
        project=project,
        name=title(metric),
        sections=[
            ws.Section(name=name, panels=panels, is_open=True)
            for name, panels in sections(groups, metric, mode).items()
        ],
        settings=ws.WorkspaceSettings(x_axis="kimg", max_runs=MANY),
        runset_settings=ws.RunsetSettings(
            filters=chosen(groups),
            groupby=[expr.Config(key) for key in keys(groups)],
            order=[expr.Ordering(expr.Summary(best), ascending=mode == "min")],
            pinned_columns=[f"summary:{best}", *(f"config:{key}" for key in ("variant", "dataset", "seed", "study"))],
        ),
    )


def report(groups: Sequence[Group], metric: str, mode: Mode, entity: str, project: str) -> wr.Report:
    """A page to read from above, a chapter for each dataset."""
    blocks = [wr.TableOfContents(), wr.P(MEANS)]
    for dataset in sorted({group.dataset for group in groups}):
        of_it = [group for group in groups if group.dataset == dataset]
        runs = wr.Runset(  # without a project it is of the report's own
            name=dataset or "runs",
            filters=chosen(of_it),
            groupby=[f"config.{key}" for key in keys(of_it)],
            order=[wr.OrderBy(wr.SummaryMetric(best_of(of_it, metric)), ascending=mode == "min")],
        )
        blocks.append(wr.H1(dataset or "Runs"))
        for name, panels in sections(of_it, metric, mode).items():
            blocks += [wr.H2(name), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(entity=entity, project=project, title=title(metric), width="fluid", blocks=blocks)


def title(metric: str) -> str:
    """Of both; a slash would break the address of a report."""
    return f"Variants by {metric.replace('/', ' ')}"


def sections(groups: Sequence[Group], metric: str, mode: Mode) -> dict[str, list]:
    """Panels by heading. Where the table groups runs by more than the variant, curves and bars follow the table."""
    best, options = best_of(groups, metric), varied(groups)
    mean = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    if keys(groups) == ["variant"]:
        mean["groupby"] = wr.Config("variant")

    def curves(*names: str, **more: bool) -> wr.LinePlot:
        y = [wr.Metric(name) for name in names]
        return wr.LinePlot(title=", ".join(names), x=wr.Metric("kimg"), y=y, max_runs_to_show=MANY, **mean, **more)

    def bars(name: str) -> wr.BarPlot:
        return wr.BarPlot(title=name, metrics=[wr.SummaryMetric(name)], max_runs_to_show=MANY, **mean)

    quality = [curves(metric, log_y=mode == "min" and min(values(groups, metric), default=0) > 0), bars(best)]
    if metric != "val/is" and values(groups, "val/is"):
        quality.append(wr.ScatterPlot(x=wr.SummaryMetric(metric), y=wr.SummaryMetric("val/is")))
    samples = wr.MediaBrowser(media_keys=["samples"], mode="grid", grid_x_axis="step", grid_y_axis="run")
    axes = [wr.ParallelCoordinatesPlotColumn(wr.Config(path), log=log) for path, log in options.items()][:AXES]
    last = wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(best), inverted=mode == "min")
    what_matters = [
        wr.ParallelCoordinatesPlot(columns=[wr.ParallelCoordinatesPlotColumn(wr.Config("variant")), *axes, last]),
        wr.ParameterImportancePlot(with_respect_to=best),
        wr.RunComparer(diff_only=True),
    ]
    training = [
        curves(*(f"{player}/{name}" for player in ("generator", "discriminator")))
        for name in ("adversarial", "gradient_norm")
    ]
    training.append(curves("discriminator/real_accuracy", "discriminator/fake_accuracy"))
    cost = [bars(name) for name in ("cost/hours", "cost/memory_gib", "speed/images_per_second")]
    return {"Quality": quality, "Samples": [samples], "What matters": what_matters, "Training": training, "Cost": cost}


def values(groups: Sequence[Group], name: str) -> list[float]:
    """All that was logged by a name."""
    return [value for group in groups for run in group.runs for value in run.series(name)[1]]


def best_of(groups: Sequence[Group], metric: str) -> str:
    """The name of the best so far, of metrics that have one; else the metric."""
    best = f"best/{metric.rpartition('/')[2]}"
    return best if values(groups, best) else metric


def chosen(groups: Sequence[Group]) -> expr.And:
    """The runs of these studies and datasets."""
    named = {"study": {run.study for group in groups for run in group.runs}, "dataset": {one.dataset for one in groups}}
    return expr.And(*(expr.Config(key).isin(sorted(names)) for key, names in named.items() if all(names)))


def keys(groups: Sequence[Group]) -> list[str]:
    """What in the config tells groups apart: the variant and, where that is not enough, dataset and options."""
    namesakes = {(group.dataset, group.runs[0].variant) for group in groups}
    dataset = ["dataset"] if len({group.dataset for group in groups}) > 1 else []
    return [*dataset, "variant", *(varied(groups) if len(namesakes) < len(groups) else ())]


def varied(groups: Sequence[Group]) -> dict[str, bool]:
    """Places in the config of the options in which groups differ, and whether their values call for a log axis.

    W&B looks into no list: the place of what is in one is that of the list.
    """
    places = {on_command_line(path): path for group in groups for run in group.runs for path in flatten(run.config)}
    found = {}
    for name in dict.fromkeys(name for group in groups for name in group.differing):
        above = (name.rsplit(".", up)[0] for up in range(name.count(".") + 1))
        if place := next((places[one] for one in above if one in places), None):
            given = [group.differing[name] for group in groups if name in group.differing]
            numbers = all(isinstance(value, (int, float)) for value in given) and min(given) > 0
            found.setdefault(place.lstrip("."), name in places and numbers and max(given) >= 10 * min(given))
    return found


def as_json(board: ws.Workspace | wr.Report) -> str:
    """What W&B would be sent, with ids that count, in place of random ones."""
    text = json.dumps(board._to_model().model_dump(by_alias=True, exclude_none=True, mode="json"), indent=1)
    for number, name in enumerate(dict.fromkeys(re.findall(r'"(?:__id__|id)": ("\w+")', text))):
        text = text.replace(name, f'"{number}"')
    return text + "\n"
