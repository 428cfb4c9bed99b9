"""Which runs belong together: those that differ in their seed alone."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from lit_gans.comparison.runs import Group, Run
from lit_gans.run import flatten, identity

SHOWN = 3
"""Options that a label names at most."""


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups of runs alike in variant, dataset and all of the config that changes the result but the seed.

    So runs of several studies come together, unless their configs differ. Runs of which no config is known are told
    apart by variant and dataset only. Groups that share these two are labelled by the study, if each is of another
    one, or else by the options that differ between them.

    Args:
        runs: Of which each comes into one group; the order of theirs is kept.
    """
    alike: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        alike[run.dataset, run.variant, json.dumps(essence(run.config), sort_keys=True)].append(run)
    found = {key: options(essence(members[0].config)) for key, members in alike.items()}
    groups, labels = [], Counter()
    for (dataset, variant), keys in groupby(sorted(alike), key=lambda key: key[:2]):
        namesakes = list(keys)
        apart = telling([found[key] for key in namesakes], [{run.study for run in alike[key]} for key in namesakes])
        on_dataset = [found[other] for other in found if other[0] == dataset]
        for key, words in zip(namesakes, apart, strict=True):
            label = " ".join([variant, *words])
            labels[dataset, label] += 1
            if labels[dataset, label] > 1:
                label = f"{label} #{labels[dataset, label]}"
            groups.append(Group(label, dataset, tuple(alike[key]), differing(found[key], on_dataset)))
    return groups


def telling(found: Sequence[dict[str, Any]], studies: Sequence[set[str]]) -> list[list[str]]:
    """What tells namesakes apart, each in a few words: the study, if each is of another one, or else options."""
    if len(found) > 1 and len(set().union(*studies)) == len(studies) == sum(map(len, studies)):
        return [[f"study={study}"] for (study,) in studies]
    different = [differing(one, found) for one in found]
    shown = essential(different)
    return [brief({name: value for name, value in one.items() if name in shown}) for one in different]


def essence(config: dict[str, Any]) -> dict[str, Any]:
    """What of a config changes the result, but the seed; of the config of another project all but seed and study."""
    try:
        essence = identity(config)
    except (LookupError, TypeError, AttributeError):
        essence = {key: value for key, value in config.items() if key not in ("study", "protocols")}
    return {key: value for key, value in essence.items() if key not in ("seed", "seed_everything")}


def options(essence: dict[str, Any]) -> dict[str, Any]:
    """With dotted names as on the command line: `model` and `model.loss` for what is in their `class_path`.

    A list of one class is as that class: `model.penalties` and `model.penalties.weight`.
    """
    found = {}
    for path, value in (flatten(essence) if essence else {}).items():
        alone = value[0] if isinstance(value, list) and len(value) == 1 else None
        inside = flatten(alone) if isinstance(alone, dict) and "class_path" in alone else {"": value}
        found |= {on_command_line(f"{path}{name}"): one for name, one in inside.items()}
    return found


def on_command_line(path: str) -> str:
    """`model.loss` for `.model.init_args.loss.class_path`."""
    return re.sub(r"\.(init_args|class_path)(?=\.|$)", "", path).lstrip(".")


def differing(one: dict[str, Any], all_of_them: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The options that don't have one value in all of them, those first that have most values, then classes."""
    values = {name: {str(other.get(name, "missing")) for other in all_of_them} for name in one}
    names = sorted(one, key=lambda name: (-len(values[name]), name.count(".")))
    return {name: one[name] for name in names if len(values[name]) > 1}


def essential(all_of_them: Sequence[dict[str, Any]]) -> list[str]:
    """Names of options, without arguments that are the same wherever their class is: these go without saying."""
    names = dict.fromkeys(name for one in all_of_them for name in one)

    def implied(name: str, kind: str) -> bool:
        pairs = {(str(one.get(kind)), str(one.get(name))) for one in all_of_them}
        return len(pairs) == len({value for value, _ in pairs})

    return [name for name in names if not any(name.startswith(f"{kind}.") and implied(name, kind) for kind in names)]


def brief(found: dict[str, Any]) -> list[str]:
    """The first options with their values, without what goes without saying, and the number of the others."""
    words = [f"{re.sub(r'^(model|data)[.]', '', name)}={short(value)}" for name, value in found.items()]
    return words[:SHOWN] + [f"+{len(words) - SHOWN}"] * (len(words) > SHOWN)


def short(value: Any) -> str:
    """A value in few letters: of a class its name and arguments."""
    if isinstance(value, dict):
        inside = options(value)
        name = short(inside.pop("", ""))
        given = ",".join(f"{option}={short(one)}" for option, one in inside.items())
        return f"{name}({given})" if given else name
    if isinstance(value, list):
        return f"[{','.join(map(short, value))}]"
    if isinstance(value, float):
        return f"{value:.4g}"
    return re.sub(r"^([a-z_]\w*\.)+(?=[A-Z])", "", str(value)) if value is not None else "null"
