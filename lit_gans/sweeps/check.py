"""What is wrong with a sweep before it runs: the parser of `lit-gans fit` reads its trials, and nothing is built."""

import json
import math
import shutil
from collections.abc import Iterator
from itertools import islice, product

from lit_gans.cli import VERBS, parse
from lit_gans.comparison.statistics import better
from lit_gans.errors import UserError
from lit_gans.explain import nearest
from lit_gans.run import Config, batches, run_name
from lit_gans.sweeps.file import Finding, Sweep, Values, told
from lit_gans.sweeps.space import NUMBER, Choice, Parameter, Range

MOST_COMBINATIONS = 200
"""Of classes; of more, so many are looked at."""

SEEDS = ("seed_everything", "data.seed", "data.init_args.seed")


def examine(sweep: Sweep) -> tuple[list[Finding], str]:
    """All that is wrong with a sweep whose file could be read, and a line that tells how much work it is."""
    findings = [*of_search(sweep)]
    if sweep.fit_arguments({}) is None:
        return [*findings, of_another_command(sweep)], trials(sweep)
    configs: list[tuple[Values, Config]] = []
    findings += of_options(sweep, configs)
    findings += of_repetitions(sweep, configs)
    lengths = [*of_length([config for _, config in configs])]
    findings += lengths or of_metric(sweep, [config for _, config in configs])
    return findings, work(sweep, [config for _, config in configs])


def of_another_command(sweep: Sweep) -> Finding:
    """Whether a command that is not `lit-gans fit` was meant to be."""
    program, verb = [*(word for word in sweep.command if word != "${env}"), ""][:2]
    verbs = {name.split()[0] for name in VERBS}
    if program == "lit-gans" and verb not in verbs:
        return Finding("command", f"there is no verb {verb!r}{nearest(verb, verbs)}")
    if program != "lit-gans" and not shutil.which(program) and (meant := nearest(program, ["lit-gans"])):
        return Finding("command", f"there is no program {program!r}{meant}")
    return Finding("command", "is not `lit-gans fit`, so nobody knows what it makes of its options", error=False)


def of_search(sweep: Sweep) -> Iterator[Finding]:
    """What the method makes of the parameters."""
    if sweep.method != "grid" and not sweep.run_cap:
        yield Finding("run_cap", f"a {sweep.method} search has no end: say how many trials at most")
    for name, one in sweep.parameters.items():
        if name in SEEDS and len(one.edges) > 1:
            line = "a seed is nothing to search for: repeat the best trials with several seeds (`lit-gans study`)"
            yield Finding(name, line, error=False)
    if sweep.metric.startswith(("val/", "best/")):
        goal = "maximize" if better(sweep.metric) == "max" else "minimize"
        if sweep.goal != goal:
            yield Finding(
                "metric", f"{'more' if goal == 'maximize' else 'less'} {sweep.metric} is better: goal: {goal}"
            )


def of_options(sweep: Sweep, configs: list[tuple[Values, Config]]) -> Iterator[Finding]:
    """What the parser of `fit` refuses: all combinations of classes, with the ends of ranges and values of all else.

    Args:
        sweep: The sweep.
        configs: Gets what it accepts.
    """
    classes = {name: one.edges for name, one in sweep.parameters.items() if names_classes(one)}
    others = {name: one.edges for name, one in sweep.parameters.items() if name not in classes}
    some = islice(product(*classes.values()), MOST_COMBINATIONS)
    combinations = [dict(zip(classes, texts, strict=True)) for texts in some]
    if (there := math.prod(map(len, classes.values()))) > MOST_COMBINATIONS:
        yield Finding("parameters", f"only {MOST_COMBINATIONS} of {there} combinations were looked at", error=False)
    refused: dict[tuple[str, str], list[Values]] = {}
    for combination in combinations:
        base, lines = accepted(sweep, {**{name: edges[0] for name, edges in others.items()}, **combination}, configs)
        for name, text in ((name, text) for name, edges in others.items() for text in edges):
            told_of = isinstance(sweep.parameters[name], Range) and any(name == key for key, _ in lines)
            if base.get(name) != text and (name, text) not in lines and not told_of:
                _, more = accepted(sweep, base | {name: text}, configs)
                lines |= more
        for name, line in dict.fromkeys((name, line) for (name, _), line in lines.items()):
            refused.setdefault((name, line), []).append(combination)
    for (name, line), where in refused.items():
        if "Expected a int" in line:
            line += ": give whole numbers, by int_uniform or values"
        line = line.removeprefix(f"{name.rpartition('.')[2]}: ")
        alike = [one for one in combinations if one.get(name) == where[0].get(name)]
        given = {key: value for key, value in where[0].items() if key != name}
        there = f" (with {told(given)})" if given and len(where) < len(alike) else ""
        yield Finding(name, line + there)


def names_classes(one: Parameter) -> bool:
    """Whether a parameter's values may decide which other options there are: text does, numbers and switches don't."""
    plain = (NUMBER.fullmatch(text) or text in ("True", "False") for text in one.edges)
    return isinstance(one, Choice) and not all(plain)


def accepted(
    sweep: Sweep, values: Values, configs: list[tuple[Values, Config]]
) -> tuple[Values, dict[tuple[str, str], str]]:
    """The values without those that the parser refuses, and its lines about these by name and value."""
    lines = {}
    while isinstance(found := parse(["fit", *sweep.fit_arguments(values)]), str):
        others = ({key: value for key, value in values.items() if key != name} for name in sorted(values, reverse=True))
        rest = next((other for other in others if parse(["fit", *sweep.fit_arguments(other)]) != found), None)
        if rest is None:
            return values, {**lines, ("command", ""): found}
        (name,) = values.keys() - rest.keys()
        lines[name, values[name]] = found
        values = rest
    configs.append((values, found))
    return values, lines


def of_repetitions(sweep: Sweep, configs: list[tuple[Values, Config]]) -> Iterator[Finding]:
    """Values that make no difference, and those that make none to the name of the run."""
    seen: dict[str, Values] = {}
    named: dict[str, Values] = {}
    told_of: set[str] = set()
    for values, config in configs:
        if len(values) < len(sweep.parameters):  # some were refused
            continue
        same, alike = seen.setdefault(json.dumps(config), values), named.setdefault(run_name(config), values)
        before = same if same != values else alike
        key = ", ".join(name for name in values if before.get(name) != values[name])
        if before == values or key in told_of:
            continue
        told_of.add(key)
        rest = {name: value for name, value in values.items() if name not in key.split(", ")}
        if same != values:
            yield Finding(key, f"changes nothing with {told(rest)}" if rest else "changes nothing", error=False)
        else:
            yield Finding(key, "names no other run: trials of `wandb agent` would share a run directory", error=False)


def of_length(configs: list[Config]) -> Iterator[Finding]:
    """Whether each training has an end, and at least one batch."""
    for config in configs:
        try:
            if (kimg := images(config)) is not None:
                batches(kimg, config["data"]["init_args"]["batch_size"])
            elif config["trainer"]["max_epochs"] in (None, -1) and config["trainer"]["max_time"] is None:
                raise UserError("a training has no length of its own: give it --max_kimg, or --trainer.max_epochs")
        except UserError as error:
            yield Finding("command", str(error))
            return


def of_metric(sweep: Sweep, configs: list[Config]) -> Iterator[Finding]:
    """Whether trials log the metric, and often enough for those that are stopped early."""
    from lit_gans.sweeps.names import is_logged, measured  # and torch with them

    if not sweep.metric:
        return
    if missing := next((config for config in configs if not is_logged(sweep.metric, config)), None):
        names = ", ".join(measured(missing)) or "nothing: it is not measured"
        yield Finding("metric", f"nobody logs {sweep.metric}; a trial logs {names}")
    often = max((count for config in configs if (count := validations(config)) is not None), default=None)
    if often is not None and often <= (sweep.halving.first if sweep.halving else 0):
        wanted = f"{sweep.halving.first + 1} times" if sweep.halving else "once"
        line = f"a trial is measured {often} times, and must be at least {wanted}: see trainer.val_check_interval"
        yield Finding("early_terminate" if sweep.halving else "metric", line)


def images(config: Config) -> float | None:
    """Length of a training in thousands of images; None if it is given in epochs or hours."""
    if config["max_kimg"]:
        return config["max_kimg"]
    steps = config["trainer"]["max_steps"]
    return steps * config["data"]["init_args"]["batch_size"] / 1000 if steps > 0 else None


def validations(config: Config) -> int | None:
    """How often a training is measured; None if that depends on the number of its images."""
    kimg, interval = images(config), config["trainer"]["val_check_interval"]
    if kimg is None or not isinstance(interval, int):
        return None
    return batches(kimg, config["data"]["init_args"]["batch_size"]) // interval


def trials(sweep: Sweep) -> str:
    """How many there will be."""
    count = most(sweep)
    return f"{count or 'any number of'} trial{'s' * (count != 1)}"


def most(sweep: Sweep) -> int | None:
    """Their number, if the file says it."""
    return min(sweep.size, sweep.run_cap or sweep.size) if sweep.method == "grid" else sweep.run_cap


def work(sweep: Sweep, configs: list[Config]) -> str:
    """Number of trials, and of images in all."""
    lengths = [length for config in configs if (length := images(config)) is not None]
    if not lengths or len(lengths) < len(configs):
        epochs = {config["trainer"]["max_epochs"] for config in configs}
        each = f" of {epochs.pop()} epochs each" if len(epochs) == 1 and None not in epochs else ""
        return f"{trials(sweep)}{each}"
    each, count = sum(lengths) / len(lengths), most(sweep)
    total = f": {'at most ' * bool(sweep.halving)}{count * each:,.0f} kimg in all" if count else ""
    return f"{trials(sweep)} of {each:g} kimg{total}"
