"""A comparison in plain words: the first lines of the page, and how numbers were made."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lit_gans.comparison.groups import short
from lit_gans.comparison.statistics import Summary, is_better

ALPHA = 0.05


class Headline(NamedTuple):
    """What is best on one dataset by one protocol; then how sure that is, and what it costs."""

    best: str
    doubts: str = ""


def headlines(summaries: Sequence[Summary], metric: str, mode: str) -> list[Headline]:
    """One for each dataset and protocol."""
    parts = defaultdict(list)
    for summary in summaries:
        parts[summary.group.dataset, summary.protocol].append(summary)
    several = Counter(dataset for dataset, _ in parts)
    return [
        headline(
            members, f"{dataset}{f' by protocol {protocol[:8] or None}' * (several[dataset] > 1)}".strip(), metric, mode
        )
        for (dataset, protocol), members in parts.items()
    ]


def headline(members: Sequence[Summary], where: str, metric: str, mode: str) -> Headline:
    """Of variants on one dataset by one protocol, best first."""
    judged = [one for one in members if one.last.n]
    start = f"On {where}, " if where else ""
    if not judged:
        states = sum((one.states for one in members), Counter())
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        return Headline(f"{start}no finished run tells its {title(metric)} yet ({told}).")
    best, *others = judged
    sure = [one for one in others if is_better(best.last, one.last, mode)]
    if not others:
        leads = "reaches"
    elif len(sure) < len(others):
        leads = f"has the best mean of {len(judged)} variants,"
    else:
        leads = f"is best of {len(judged)} variants,"
    direction = "lower" if mode == "min" else "higher"
    first = f"{start}{best.group.label} {leads} {title(metric)} {amount(best)} ({direction} is better)."
    return Headline(first, " ".join(filter(None, [*sureness(best, others, sure), lost(judged), cost(best)])))


def amount(one: Summary) -> str:
    """A mean with its interval."""
    mean, low, high, n = one.last
    if n == 1:
        return f"{mean:.4g} from a single seed"
    places = min(6, max(0, 3 - math.floor(math.log10(abs(mean))))) if mean else 3
    return f"{mean:.{places}f} with a 95\u00a0% interval of {low:.{places}f} to {high:.{places}f} over {n} seeds"


def sureness(best: Summary, others: Sequence[Summary], sure: Sequence[Summary]) -> list[str]:
    """Which others could be as good, a sentence each; those that are `sure` to be worse are the rest."""
    if not others:
        return []
    if best.last.n == 1:
        return ["One seed cannot tell how sure that is."]
    told = []
    overlapping = [one for one in others if one.last.n > 1 and one not in sure]
    if tied := [one.group.label for one in overlapping if one.p >= ALPHA]:
        told.append(f"These seeds don't tell it apart from {listed(tied)}: the intervals overlap.")
    if close := [one.group.label for one in overlapping if one.p < ALPHA]:
        told.append(
            f"It is unsure whether {listed(close)} did worse: the intervals overlap, but p is below {ALPHA} "
            "(not corrected for many comparisons)."
        )
    single = [one.group.label for one in others if one.last.n == 1]
    if sure:
        which = (
            ("The other one" if len(sure) == 1 else f"The other {len(sure)}") if overlapping or single else "All others"
        )
        told.append(f"{which} did worse, beyond the intervals.")
    if single:
        told.append(f"Open, for a single seed: {listed(single)}.")
    return told


def lost(judged: Sequence[Summary]) -> str:
    """Of which variants seeds are missing that ended before their time, and might have been the worst."""
    told = [
        f"{one.group.label} {ended} of {one.states.total()}"
        for one in judged
        if (ended := one.states["failed"] + one.states["stopped"])
    ]
    return f"Runs that failed or were stopped, which no mean counts: {listed(told)}." if told else ""


def cost(one: Summary) -> str:
    """What a run of it took."""
    return f"A run of {one.group.label} took {duration(one.hours)}." if math.isfinite(one.hours) else ""


def duration(hours: float) -> str:
    """In the unit that is read most easily."""
    if hours >= 1:
        return f"{hours:.3g} hours"
    return f"{hours * 60:.2g} minutes" if hours >= 1 / 60 else f"{hours * 3600:.0f} seconds"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in a sentence."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    *first, last = [*names[:most], *more]
    return f"{', '.join(first)} and {last}" if first else last


def title(metric: str) -> str:
    """FID for `val/fid`."""
    name = metric.rpartition("/")[2]
    return name.upper() if re.fullmatch("fid|is|kid|psnr|ssim|lpips", name) else name.replace("_", " ")


def protocol_words(protocol: Mapping[str, Any]) -> str:
    """How a number was made: what tells most first, the rest as it is called, hashes by eight digits."""
    left = {
        name: re.sub(r"^[0-9a-f]{16,}$", lambda digits: digits[0][:8], short(made)) for name, made in protocol.items()
    }
    words = []
    if {"n_fake", "n_real", "reference"} <= left.keys():
        words = ["{n_fake} fakes against {n_real} {reference} images"]
    if {"data", "image_size"} <= left.keys():
        words.append("{data} at {image_size}")
    if "features" in left:
        words.append("network {features}")
    if "ema" in left:
        words.append("averaged generator (EMA)" if left["ema"] == "True" else "generator as trained, not averaged")
    told = [text.format_map(left) for text in words]
    said = set(re.findall(r"{(\w+)}", "".join(words))) | {"ema"}
    return "; ".join([*told, *(f"{name.replace('_', ' ')} {made}" for name, made in left.items() if name not in said)])
