"""What a reader of a comparison should know of its numbers."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from lit_gans.comparison.runs import ENDED_UNSAID, Run
from lit_gans.comparison.statistics import Summary, counted, longest, protocol_of

HALTED = "stopped early by the sweep"
"""Begins the reason of a run that a sweep gave up."""


def doubts(summaries: Sequence[Summary], metric: str) -> list[str]:
    """What a reader of the comparison should know of its numbers, a line each."""
    lines, tables, parts = [], defaultdict(list), defaultdict(list)
    for one in summaries:
        tables[one.group.dataset, one.protocol].append(one)
        parts[one.group.dataset, one.group.label].append(one.protocol or "unknown")
        label = " on ".join(filter(None, (one.group.label, one.group.dataset)))
        halted = [run for run in one.group.runs if run.status.reason.startswith(HALTED)]
        if not one.last.n and len(halted) < len(one.group.runs):
            states = ", ".join(f"{count} {state}" for state, count in one.states.items() if state != "finished")
            lines.append(f"{label}: no finished run with {metric} yet ({states or 'none was logged'})")
        if one.last.n > 1 and one.last.low == one.last.high:
            lines.append(f"{label}: {metric} is the same of all {one.last.n} seeds, which seem to change nothing")
        long = [run.name for run in longest(one.group.runs, metric)]
        finished = [run for run in one.group.runs if run.status.state == "finished" and len(run.series(metric)[1])]
        if other := [run.name for run in finished if run.name not in long]:
            lines.append(f"{label}: only runs of the greatest length asked for count, not {', '.join(other)}")
        seeds = Counter(run.seed for run in finished if run.name not in other and run.seed is not None)
        if doubled := [str(seed) for seed, count in seeds.items() if count > 1]:
            lines.append(f"{label}: several runs of seed {', '.join(doubled)}, of which the longest counts")
        for run in one.group.runs:
            if run.status.state == "failed":
                lines.append(f"{run.name} failed: {run.status.reason}")
            elif run.status.state == "finished" and run.columns and protocol_of(run, metric) is None:
                lines.append(f"{run.name} has no {metric}")
            elif run.status.state == "finished" and (end := unmeasured_end(run, metric)):
                lines.append(
                    f"{run.name} has no finite {metric} after kimg {end[0]:.6g} of {end[1]:.6g}, which is its last"
                )
    for (dataset, label), protocols in parts.items():
        if len(protocols) > 1:
            told = ", ".join(protocols)
            where = f"{label} on {dataset or 'unknown data'}"
            lines.append(f"{where}: {metric} was made in {len(protocols)} ways ({told}), in a line each")
    halted = [run.name for one in summaries for run in one.group.runs if run.status.reason.startswith(HALTED)]
    if halted:
        lines.append(f"{len(halted)} runs were stopped early by their sweep, and are in no mean")
    unsaid = [run.name for one in summaries for run in one.group.runs if run.status == ENDED_UNSAID]
    if unsaid:
        more = f" and {len(unsaid) - 1} more" if len(unsaid) > 1 else ""
        lines.append(f"{unsaid[0]}{more}: nothing in their logs tells whether they ended; they count as finished")
    for (dataset, _), members in tables.items():
        where = dataset or "unknown data"
        if any(one.last.n == 2 for one in members):
            lines.append(f"{where}: intervals of two seeds are 13 standard errors to each side; a third makes it 4")
        runs = [run for one in members for run in counted(one.group.runs, metric)]
        asked = [(run.series(metric)[0][-1], run.status.length.get("max_kimg") or 0) for run in runs]
        if early := [(kimg, end) for kimg, end in asked if kimg < 0.98 * end]:
            kimg, end = early[0]
            lines.append(
                f"{where}: {metric} was last measured at kimg {kimg:.6g} of {end:.6g}, which is not the end: "
                "see trainer.val_check_interval"
            )
        lengths = {run.series("kimg")[1][-1] for run in runs}
        if len(lengths) > 1:
            low, high = min(lengths), max(lengths)
            lines.append(f"{where}: runs of unlike length are compared, {low:.6g} to {high:.6g} kimg")
        counts = {len(run.series(metric)[1]) for run in runs}
        if len(counts) > 1:
            low, high = min(counts), max(counts)
            lines.append(
                f"{where}: {metric} was measured {low} to {high} times in a run; the best of more flatters more"
            )
    return lines


def unmeasured_end(run: Run, metric: str) -> tuple[float, float] | None:
    """Kimg of a run's last number and of its end, where another number was due between them; None if none was."""
    measured = run.series(metric)[0]
    if not len(measured):
        return None
    (*before, last), end = measured, run.series("kimg")[1][-1]
    due = last - (before[-1] if before else 0)
    return (last, end) if end > last and end - last >= 0.999 * due else None
