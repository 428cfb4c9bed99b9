"""The comparison as a table: on the terminal, as CSV, JSON and Markdown."""

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from lit_gans.comparison.statistics import Estimate, Mode, Summary
from lit_gans.comparison.text import aligned, described, printable

COSTS = ("kimg", "hours", "images/s", "GiB")
FOOT = """a ± b: mean over the seeds of finished runs and half its 95 % interval (Student's t)
best: of all that each run was measured at, which flatters
rank: 1 + variants with an interval wholly on the better side; ties are in the order of their means
p: Welch's t-test of last against that of the best variant, not corrected for many variants"""


def as_text(summaries: Sequence[Summary], metric: str, mode: Mode, width: float = math.inf) -> str:
    """For a terminal of so many columns: where lines are longer, costs are left out from the right."""
    blocks = []
    for members in tables(summaries):
        rows = columns(members)
        while rows[0][-1] in COSTS and max(map(len, aligned(rows))) > width:
            rows = [row[:-1] for row in rows]
        blocks.append("\n".join([*heading(members, metric, mode), *aligned(rows)]))
    return "\n\n".join([*blocks, FOOT])


def as_markdown(summaries: Sequence[Summary], problems: Sequence[str], metric: str, mode: Mode) -> str:
    """Tables for a README or an issue, and what is wrong; names of runs are text in it, whatever they hold."""
    lines = []
    for members in tables(summaries):
        head, *rows = [[markdown(cell) for cell in row] for row in columns(members)]
        lines += [*(markdown(line) for line in heading(members, metric, mode)), ""]
        lines += [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)] + [""]
    told = ["", *(f"- {markdown(printable(problem))}" for problem in problems)] if problems else []
    return "\n".join([*lines, FOOT, *told, ""])


def as_csv(summaries: Sequence[Summary], _problems: Sequence[str], metric: str, mode: Mode) -> str:
    """A line for each variant, dataset and protocol; numbers in full, and empty where there is none."""
    rows = [plain({"metric": metric, "mode": mode, **numbers(one)}) for one in summaries]
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def as_json(summaries: Sequence[Summary], problems: Sequence[str], metric: str, mode: Mode) -> str:
    """Everything: protocols in full, options in which variants differ, the numbers of each run, and what is wrong."""
    made = [
        {
            "dataset": members[0].group.dataset,
            "protocol": description(members[0], metric) | {"hash": members[0].protocol},
            "variants": [
                numbers(one) | {"differing": one.group.differing, "runs": of_runs(one, metric, mode)} for one in members
            ],
        }
        for members in tables(summaries)
    ]
    told = {"metric": metric, "mode": mode, "tables": made, "problems": list(problems)}
    return json.dumps(plain(told), indent=1, ensure_ascii=False) + "\n"


def tables(summaries: Sequence[Summary]) -> list[list[Summary]]:
    """Only numbers on one dataset that were made alike stand in one table."""
    found = defaultdict(list)
    for one in summaries:
        found[one.group.dataset, one.protocol].append(one)
    return list(found.values())


def columns(members: Sequence[Summary]) -> list[list[str]]:
    """The cells of a table, with a line of names; columns in which nothing stands are left out."""
    rows = [
        {
            "rank": str(one.rank) if one.last.n > 1 else "",
            "variant": printable(one.group.label),
            "last": amount(one.last),
            "best": amount(one.best),
            "p": "" if one.p is None else f"{one.p:.2g}" if one.p >= 0.0001 else "<0.0001",
            "seeds": str(one.last.n),
            "unfinished": ", ".join(f"{n} {state}" for state, n in one.states.items() if state != "finished"),
            "kimg": rounded(one.kimg),
            "hours": rounded(one.hours),
            "images/s": rounded(one.images_per_second),
            "GiB": rounded(one.memory_gib),
        }
        for one in members
    ]
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    return [names, *([row[name] or "-" for name in names] for row in rows)]


def heading(members: Sequence[Summary], metric: str, mode: Mode) -> list[str]:
    """What is compared, and how it was measured."""
    dataset = members[0].group.dataset or "unknown data"
    made = description(members[0], metric)
    told = f"protocol {members[0].protocol}" if members[0].protocol else "by an unknown protocol"
    title = f"{dataset}, {metric} ({'less' if mode == 'min' else 'more'} is better), {told}"
    return [printable(line) for line in (title, described(made)) if line]


def description(one: Summary, metric: str) -> dict[str, Any]:
    """The protocol of a line, as a run of it tells; W&B's files have the hash alone."""
    made = (run.protocols.get(metric, {}) for run in one.group.runs)
    return next((told["protocol"] for told in made if told.get("hash") == one.protocol and told["protocol"]), {})


def numbers(one: Summary) -> dict[str, Any]:
    """A line in plain numbers."""
    return {
        "dataset": one.group.dataset,
        "protocol": one.protocol,
        "variant": one.group.label,
        "rank": one.rank if one.last.n > 1 else None,
        **{f"{name}{part}": value for name in ("last", "best") for part, value in parts(getattr(one, name)).items()},
        "p": one.p,
        "seeds": one.last.n,
        **{state: one.states[state] for state in ("finished", "running", "stopped", "failed")},
        **{name: getattr(one, name) for name in ("kimg", "hours", "images_per_second", "memory_gib")},
    }


def parts(of: Estimate) -> dict[str, float]:
    """Mean and interval by the endings of their names."""
    return {"": of.mean, "_low": of.low, "_high": of.high}


def plain(tree: Any) -> Any:
    """Numbers of numpy as Python's, and none that JSON has not."""
    if isinstance(tree, dict):
        return {name: plain(branch) for name, branch in tree.items()}
    if isinstance(tree, list):
        return [plain(branch) for branch in tree]
    return (float(tree) if math.isfinite(tree) else None) if isinstance(tree, float) else tree


def of_runs(one: Summary, metric: str, mode: Mode) -> list[dict[str, Any]]:
    """The runs of a line, whether they count or not."""
    best_of = np.min if mode == "min" else np.max
    told = []
    for run in one.group.runs:
        kimg, values = run.series(metric)
        measured = {"last": values[-1], "best": best_of(values), "kimg": kimg[-1]} if len(values) else {}
        known_of = {"name": run.name, "path": str(run.path), "study": run.study, "seed": run.seed}
        told.append(known_of | {"state": run.status.state, "reason": run.status.reason, **measured})
    return told


def amount(of: Estimate) -> str:
    """A mean and half its interval, which says how many digits mean something."""
    half = (of.high - of.low) / 2
    if not of.n:
        return ""
    if not half > 0:
        return f"{of.mean:.4g}"
    decimals = min(max(1 - math.floor(math.log10(half)), 0), 12)
    return f"{of.mean:.{decimals}f} ± {half:.{decimals}f}"


def rounded(value: float) -> str:
    """A cost in a few digits."""
    return "" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def markdown(text: str) -> str:
    """Text that stays text: no cell ends in it, and no HTML, link or emphasis begins."""
    escaped = escape(text, quote=False).replace("\\", "\\\\")
    return "".join(f"\\{letter}" if letter in "|`*_[]~" else letter for letter in escaped)
