"""What a reader of a comparison should know of its numbers."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

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
        lines += of_variant(one, metric)
    for (dataset, label), protocols in parts.items():
        if len(protocols) > 1:
            told, where = ", ".join(protocols), f"{label} on {dataset or 'unknown data'}"
            lines.append(f"{where}: {metric} was made in {len(protocols)} ways ({told}), in a line each")
    runs = [run for one in summaries for run in one.group.runs]
    if halted := sum(map(is_halted, runs)):
        lines.append(f"trials that were stopped early by their sweep are in no mean: {halted}")
    if unsaid := [run.name for run in runs if run.status == ENDED_UNSAID]:
        more = f" and {len(unsaid) - 1} more" if unsaid[1:] else ""
        lines.append(f"{unsaid[0]}{more}: nothing in their logs tells whether they ended; they count as finished")
    for (dataset, _), members in tables.items():
        lines += (f"{dataset or 'unknown data'}: {line}" for line in of_table(members, metric))
    return lines


def is_halted(run: Run) -> bool:
    """Whether a sweep gave the run up."""
    return run.status.reason.startswith(HALTED)


def of_variant(one: Summary, metric: str) -> Iterator[str]:
    """What is to be known of one line of a table."""
    label = " on ".join(filter(None, (one.group.label, one.group.dataset)))
    if not one.last.n and not all(map(is_halted, one.group.runs)):
        states = ", ".join(f"{count} {state}" for state, count in one.states.items() if state != "finished")
        yield f"{label}: no finished run with {metric} yet ({states or 'none was logged'})"
    if one.last.n > 1 and one.last.low == one.last.high:
        yield f"{label}: {metric} is the same of all {one.last.n} seeds, which seem to change nothing"
    long = longest(one.group.runs, metric)
    finished = {run.name: run for run in one.group.runs if run.status.state == "finished"}
    measured = {name for name, run in finished.items() if len(run.series(metric)[1])}
    if shorter := sorted(measured - {run.name for run in long}):
        yield f"{label}: only runs of the greatest length asked for count, not {', '.join(shorter)}"
    seeds = Counter(run.seed for run in long if run.seed is not None)
    if doubled := [str(seed) for seed, count in seeds.items() if count > 1]:
        yield f"{label}: several runs of seed {', '.join(doubled)}, of which the longest counts"
    for run in one.group.runs:
        if run.status.state == "failed":
            yield f"{run.name} failed: {run.status.reason}"
        elif run.name in finished and run.columns and protocol_of(run, metric) is None:
            yield f"{run.name} has no {metric}"
        elif run.name in finished and (end := unmeasured_end(run, metric)):
            yield f"{run.name} has no finite {metric} after kimg {end[0]:.6g} of {end[1]:.6g}, which is its last"


def of_table(members: Sequence[Summary], metric: str) -> Iterator[str]:
    """What is to be known of numbers that are compared."""
    if any(one.last.n == 2 for one in members):
        yield "intervals of two seeds are 13 standard errors to each side; a third makes it 4"
    runs = [run for one in members for run in counted(one.group.runs, metric)]
    ends = ((run.series(metric)[0][-1], run.status.length.get("max_kimg") or 0) for run in runs)
    if early := next(((kimg, end) for kimg, end in ends if kimg < 0.98 * end), None):
        measured = f"{metric} was last measured at kimg {early[0]:.6g} of {early[1]:.6g}"
        yield f"{measured}, which is not the end: see trainer.val_check_interval"
    lengths = {run.series("kimg")[1][-1] for run in runs}
    if len(lengths) > 1:
        yield f"runs of unlike length are compared, {min(lengths):.6g} to {max(lengths):.6g} kimg"
    counts = {len(run.series(metric)[1]) for run in runs}
    if len(counts) > 1:
        yield f"{metric} was measured {min(counts)} to {max(counts)} times in a run; the best of more flatters more"


def unmeasured_end(run: Run, metric: str) -> tuple[float, float] | None:
    """Kimg of a run's last number and of its end, where another number was due between them; None if none was."""
    measured = run.series(metric)[0]
    if not len(measured):
        return None
    (*before, last), end = measured, run.series("kimg")[1][-1]
    due = last - (before[-1] if before else 0)
    return (last, end) if end > last and end - last >= 0.999 * due else None
