"""A comparison in plain words: the first lines of the page, protocols, options."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lit_gans.comparison.statistics import Summary


def headlines(summaries: Sequence[Summary], metric: str, mode: str) -> list[str]:
    """What is best, how sure that is and what it costs: a line for each dataset and protocol."""
    parts: dict[tuple[str, str], list[Summary]] = {}
    for summary in summaries:
        parts.setdefault((summary.group.dataset, summary.protocol), []).append(summary)
    several = Counter(dataset for dataset, _ in parts)
    return [
        headline(members, f"{dataset}{f' by protocol {protocol[:8]}' if several[dataset] > 1 else ''}", metric, mode)
        for (dataset, protocol), members in parts.items()
    ]


def headline(members: Sequence[Summary], where: str, metric: str, mode: str) -> str:
    """Of variants on one dataset by one protocol, best first."""
    judged = [one for one in members if math.isfinite(one.last.mean)]
    on = f"On {where}, " if where else ""
    if not judged:
        states = sum((one.states for one in members), Counter())
        told = ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
        return sentence(f"{on}no finished run tells {title(metric)} yet (runs: {told}).")
    best, *others = judged
    better = f"{title(metric)}, {'lower' if mode == 'min' else 'higher'} is better"
    if not others:
        told = f"{on}{best.group.label} reaches {amount(best)} ({better})"
    else:
        told = f"{on}{best.group.label} is best of {len(judged)}: {amount(best)} ({better})"
    return sentence(f"{told}. {doubts(best, others)}{cost(best)}".strip())


def amount(one: Summary) -> str:
    """A mean with its interval."""
    last = one.last
    if last.n < 2:
        return f"{last.mean:.4g} from a single seed"
    return f"{last.mean:.4g}, 95 % interval {last.low:.4g} to {last.high:.4g} over {last.n} seeds"


def doubts(best: Summary, others: Sequence[Summary]) -> str:
    """Which others could be as good."""
    if not others:
        return ""
    if best.last.n < 2:
        return "One seed cannot tell how sure that is. "
    single = [one.group.label for one in others if one.last.n < 2]
    tied = [one.group.label for one in others if one.last.n > 1 and one.rank == best.rank]
    told = ""
    if tied:
        told = f"Not distinguishable from it, as their intervals overlap: {listed(tied)}. "
    elif len(single) < len(others):
        told = f"{'The other' if len(others) == 1 else 'All others'} of several seeds did worse beyond the intervals. "
    return told + (f"Of a single seed, so open: {listed(single)}. " if single else "")


def cost(one: Summary) -> str:
    """What a run of it took."""
    if not math.isfinite(one.hours):
        return ""
    return f"A run took {duration(one.hours)}."


def duration(hours: float) -> str:
    """In the unit that is read most easily."""
    if hours >= 1:
        return f"{hours:.3g} hours"
    return f"{hours * 60:.2g} minutes" if hours >= 1 / 60 else f"{hours * 3600:.0f} seconds"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names in a sentence."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    *first, last = [*names[:most], *more]
    return f"{', '.join(first)} and {last}" if first else last


def sentence(text: str) -> str:
    """With a capital, unless it begins with a name."""
    return text[:1].upper() + text[1:] if text.startswith("no ") else text


def title(metric: str) -> str:
    """FID for `val/fid`."""
    name = metric.rpartition("/")[2]
    return name.upper() if re.fullmatch("fid|is|kid|psnr|ssim|lpips", name) else name.replace("_", " ")


def protocol_words(protocol: Mapping[str, Any]) -> str:
    """How a number was made: the usual things as a sentence, the others as they are called."""
    left = dict(protocol)
    words = []
    if "n_fake" in left and "n_real" in left:
        fakes, reals = left.pop("n_fake"), left.pop("n_real")
        words.append(f"{value_words(fakes)} fakes against {value_words(reals)} {left.pop('reference', '')} images")
    if "data" in left:
        words.append(f"of {value_words(left.pop('data'))} at {value_words(left.pop('image_size', 'their size'))}")
    if "features" in left:
        words.append(f"by the network {value_words(left.pop('features'))}")
    if "ema" in left:
        words.append("averaged generator (EMA)" if left.pop("ema") is True else "generator as trained (no EMA)")
    told = [" ".join(words[:2]), *words[2:]] if "fakes" in "".join(words[:1]) else words
    told += [f"{name.replace('_', ' ')} {value_words(value)}" for name, value in left.items()]
    return "; ".join(told)


def value_words(value: Any) -> str | float | int:
    """An option's value: numbers as they are, classes by their short name, hashes by eight digits."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int | float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping) and "class_path" in value:
        given = value.get("init_args") or {}
        inner = ", ".join(f"{name}={value_words(one)}" for name, one in given.items())
        return f"{value_words(value['class_path'])}{f'({inner})' if inner else ''}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(str(value_words(one)) for one in value)}]"
    text = str(value)
    if re.fullmatch(r"[0-9a-f]{40,64}", text):
        return text[:8]
    return text.rpartition(".")[2] if re.fullmatch(r"([a-z_]\w*\.)+[A-Z]\w*", text) else text
