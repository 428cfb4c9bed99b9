"""The page of a comparison: one HTML file that needs no network, and in which no text of a run can run."""

import json
import math
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Literal

import scipy.stats
from tqdm import tqdm

from lit_gans.comparison.doubts import unmeasured_end
from lit_gans.comparison.groups import essential, short
from lit_gans.comparison.importance import importances, is_number
from lit_gans.comparison.packing import (
    PICTURE_BYTES,
    PICTURES,
    TIMES,
    chosen,
    columns_of,
    packed,
    points_of,
    thumbnail,
)
from lit_gans.comparison.runs import Group, Run
from lit_gans.comparison.statistics import Estimate, Summary, counted, protocol_of
from lit_gans.comparison.words import headlines, protocol_words
from lit_gans.errors import UserError
from lit_gans.files import replacing

SCRIPTS = ("page.js", "tables.js", "plots.js", "sweeps.js", "samples.js", "panels.js")
"""Together the page's own script; the last ones use the first ones."""

FAR = 3
"""Of so many times the best value, or less than its part, a run ended badly."""


def write_page(
    path: Path,
    groups: Sequence[Group],
    summaries: Sequence[Summary],
    problems: Sequence[str],
    *,
    metric: str = "val/fid",
    mode: Literal["min", "max"] = "min",
) -> None:
    """Writes the page, with a progress bar if that takes longer than two seconds.

    It holds plotly.js, all curves (thinned), sample grids (small) and tables, and stays below 25 MB for 200 runs. Texts
    of runs are data: they are shown, never read as HTML or script, and a Content-Security-Policy keeps the page from
    running anything but its own scripts and from asking the network for anything.

    Args:
        path: Of the page; replaced at once.
        groups: All that is shown.
        summaries: Of the groups, best first.
        problems: What could not be read, a line each.
        metric: By which the variants are judged.
        mode: Whether less or more of it is better.

    Raises:
        UserError: plotly is not installed.
        OSError: the page cannot be written.
    """
    found = list(problems)
    data = contents(groups, summaries, found, metric, mode) | {"problems": found}
    scripts = {"plotly": plotly_script(), "script": "\n".join(map(asset, SCRIPTS))}
    page = Template(asset("page.html")).substitute(
        title=escape(f"{metric} of {', '.join(data['labels'][:3])}{' and others' * (len(data['labels']) > 3)}"),
        headlines="\n".join(
            f"<p><b>{escape(best)}</b> {escape(rest)}</p>" for best, rest in headlines(summaries, metric, mode)
        ),
        hashes=" ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts.values()),
        style=asset("page.css"),
        data=json_block(data),
        **scripts,
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace", newline="\n")


def plotly_script() -> str:
    """plotly.js, as its package brings it."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UserError("the page needs plotly, which is not installed: pip install 'lit-gans[compare]'") from error
    return get_plotlyjs()


def asset(name: str) -> str:
    """A part of the page, as it lies beside this file."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def json_block(data: Any) -> str:
    """JSON that can stand in a `<script>`: no character that could end it, or begin a comment, is left as it is."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # all that is not ASCII is escaped
    return text.translate({ord(character): f"\\u{ord(character):04x}" for character in "<>&"})


def contents(
    groups: Sequence[Group], summaries: Sequence[Summary], problems: list[str], metric: str, mode: str
) -> dict[str, Any]:
    """All that the page shows but the problems, to which pictures that cannot be read are added."""
    runs = [run for group in groups for run in group.runs]
    labels = list(dict.fromkeys([one.group.label for one in summaries] + [group.label for group in groups]))
    groups = sorted(groups, key=lambda group: labels.index(group.label))
    columns = columns_of(runs, metric)
    points = points_of(runs, columns)
    places = {(group.label, group.dataset): place for place, group in enumerate(groups)}
    most = max((len(group.runs) for group in groups), default=0)
    made = {each["hash"]: each["protocol"] for run in runs for each in run.protocols.values()}
    seeds = Counter(run.seed for run in runs if run.status.state == "finished" and any(run.pictures.values()))
    times = max(2, min(TIMES, PICTURES // max(1, len(groups))))
    described, pictures = [], []
    with tqdm(total=len(runs), desc="page", unit="run", delay=2, leave=False) as bar:
        for place, group in enumerate(groups):
            if (run := shown(group, seeds)) and (
                images := samples(run, times, PICTURE_BYTES // (times * len(groups)), problems)
            ):
                pictures.append({"group": place, "seed": run.seed, "run": run.name, "images": images})
            for run in group.runs:
                own = {"group": place, "badly": bad_end(run, group, metric, mode)}
                described.append(own | description(run) | packed(run, columns, points))
                bar.update()
    return {
        "metric": metric,
        "mode": mode,
        "far": FAR,
        "labels": labels,
        "columns": columns,
        "groups": [
            {
                "label": labels.index(group.label),
                "dataset": group.dataset,
                "options": {
                    name: value if is_number(value) else short(value) for name, value in group.differing.items()
                },
            }
            for group in groups
        ],
        "runs": described,
        "tables": tables(summaries, places, metric),
        "protocols": {name: protocol_words(protocol) for name, protocol in made.items()},
        "pictures": pictures,
        "t": [round(float(scipy.stats.t.ppf(0.975, n - 1)), 4) if n > 1 else None for n in range(most + 1)],
    }


def description(run: Run) -> dict[str, Any]:
    """A run without its curves."""
    return {
        "name": run.name,
        "path": str(run.path),
        "seed": run.seed,
        "study": run.study,
        "state": run.status.state,
        "reason": run.status.reason,
        "length": ", ".join(f"{name} {value}" for name, value in run.status.length.items() if value is not None),
        "kimg": number(max(run.series("kimg")[1], default=math.nan)),
        "hours": number(max(run.series("cost/hours")[1], default=math.nan)),
        "protocols": {name: each["hash"] for name, each in run.protocols.items()},
    }


def bad_end(run: Run, group: Group, metric: str, mode: str) -> str:
    """How a finished run ended badly: not finite, or `FAR` from the best of all runs like it; empty if it didn't.

    Of a metric that scatters about zero, as KID does, or is negative, only the first is told.
    """
    values = run.series(metric)[1]
    if run.status.state != "finished" or not len(values):
        return ""
    if end := unmeasured_end(run, metric):
        return f"no finite {metric} after kimg {end[0]:.6g} of {end[1]:.6g}"
    alike = [one.series(metric)[1] for one in group.runs if protocol_of(one, metric) == protocol_of(run, metric)]
    best = min(map(min, alike)) if mode == "min" else max(map(max, alike))
    far = values[-1] > FAR * best if mode == "min" else FAR * values[-1] < best
    if not far or best <= 0 or "kid" in metric:
        return ""
    return f"{metric} {values[-1]:.4g} at the end, {best:.4g} in the best of this variant"


def tables(summaries: Sequence[Summary], places: dict[tuple[str, str], int], metric: str) -> list[dict[str, Any]]:
    """One for each dataset and protocol: its variants, best first, and what options have to do with the metric."""
    parts: dict[tuple[str, str], list[Summary]] = {}
    for summary in summaries:
        parts.setdefault((summary.group.dataset, summary.protocol), []).append(summary)
    return [
        {
            "dataset": dataset,
            "protocol": protocol,
            "rows": [row(summary, places[summary.group.label, dataset]) for summary in members],
            "options": (options := essential([one.group.differing for one in members])),
            "importance": [one._asdict() for one in association(members, options, metric)],
        }
        for (dataset, protocol), members in parts.items()
    ]


def row(summary: Summary, place: int) -> dict[str, Any]:
    """A variant's line in a table."""
    return {
        "group": place,
        "rank": summary.rank,
        "last": estimate(summary.last),
        "best": estimate(summary.best),
        "p": number(summary.p),
        "states": dict(summary.states),
        "hours": number(summary.hours),
        "speed": number(summary.images_per_second),
        "memory": number(summary.memory_gib),
        "kimg": number(summary.kimg),
    }


def association(members: Sequence[Summary], options: Sequence[str], metric: str) -> list:
    """What the options have to do with the last value of each finished run."""
    known = [
        ({name: value for name, value in member.group.differing.items() if name in options}, run.series(metric)[1][-1])
        for member in members
        for run in counted(member.group.runs, metric)
    ]
    return importances([options for options, _ in known], [value for _, value in known])


def estimate(one: Estimate) -> list[float | None]:
    """Mean, low, high and n."""
    return [*map(number, one[:3]), one.n]


def number(value: float | None) -> float | None:
    """To five significant digits; None for what is none."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def shown(group: Group, seeds: Counter[int | None]) -> Run | None:
    """The run whose pictures stand for a group: a finished one, of the seed that most have, for equal latents."""
    runs = [run for run in group.runs if any(run.pictures.values())]
    order = [(run.status.state != "finished", -seeds[run.seed], run.seed or 0) for run in runs]
    return runs[order.index(min(order))] if runs else None


def samples(run: Run, times: int, largest: int, problems: list[str]) -> list[tuple[float, str]]:
    """Pairs of kimg and small picture; those that cannot be read are told among the problems."""
    found = run.pictures.get("samples") or next(filter(None, run.pictures.values()))
    images = []
    for kimg, path in chosen(found, found[-1][0], times):
        try:
            images.append((round(kimg, 3), thumbnail(path, largest)))
        except OSError as error:
            problems.append(f"{path} cannot be shown: {error}")
    return images
