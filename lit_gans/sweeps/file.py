"""The file of a sweep: W&B's own YAML, read for `sweep run` and `sweep check`."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lit_gans.cli import names_of
from lit_gans.errors import UserError
from lit_gans.sweeps.halving import Halving
from lit_gans.sweeps.space import MOST, Choice, Parameter, Refused, number, parameter

KEYS = {
    *("program", "command", "method", "metric", "parameters", "early_terminate", "run_cap"),
    *("name", "description", "project", "entity"),
}
METHODS = ("grid", "random", "bayes")
GOALS = ("minimize", "maximize")

Values = dict[str, str]
"""Parameters of a trial, as its command gets them."""


class Finding(NamedTuple):
    """What is wrong in a file, or (not an `error`) at least odd: the key, and a line that says what to do."""

    key: str
    line: str
    error: bool = True

    def __str__(self) -> str:
        return f"{'error' if self.error else 'warning'}: {self.key}: {self.line}"


@dataclass(frozen=True)
class Sweep:
    """What a file asks for.

    Attributes:
        name: Of the file's `name`, or else its stem; that of the folder below `runs/`.
        method: One of `METHODS`.
        parameters: What is tried, by option.
        metric: Name of the objective in the rows that are logged; "" if there is none.
        goal: One of `GOALS`.
        target: The value that ends the sweep when it is reached.
        command: Program and arguments, with W&B's macros.
        program: What `${program}` stands for.
        run_cap: Most trials.
        halving: When bad trials are stopped.
        asked: The part of the file that may not change while trials of it are there.
    """

    name: str
    method: str
    parameters: dict[str, Parameter]
    metric: str = ""
    goal: str = "minimize"
    target: float | None = None
    command: tuple[str, ...] = ()
    program: str = ""
    run_cap: int | None = None
    halving: Halving | None = None
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def grid(self) -> Iterator[Values]:
        """All combinations, the last parameter changing fastest."""
        choices = [one.grid for one in self.parameters.values()]
        return (dict(zip(self.parameters, texts, strict=True)) for texts in product(*choices))

    @property
    def size(self) -> int:
        """How many combinations a grid has."""
        return prod(len(one.grid) for one in self.parameters.values())

    def point(self, number: int) -> Values:
        """The combination of that number."""
        return next(islice(self.grid, number, None))

    def with_options(self, options: list[str]) -> "Sweep":
        """The sweep with further options at the end of each command.

        Raises:
            UserError: one would undo a parameter, or what each trial is given.
        """
        for name in names_of(options):
            if any(f"{own}.".startswith(f"{name}.") for own in (*self.parameters, "run_dir", "study")):
                raise UserError(f"the command line may not have the option {name!r}, which each trial is given itself")
        command = (*self.command, *options)
        return replace(self, command=command, asked=self.asked | {"command": command})

    def arguments(self, values: Mapping[str, str]) -> list[str]:
        """The command of a trial, its macros resolved as W&B's agent does; `lit-gans` is the one that is running.

        Parameters come in the order of their names, so that `model.penalties` stands before `model.penalties.weight`.
        """
        macros = {
            "${env}": [],
            "${interpreter}": [sys.executable],
            "${program}": [self.program],
            "${args}": [f"--{name}={value}" for name, value in sorted(values.items())],
            "lit-gans": [sys.executable, "-m", "lit_gans"],
        }
        words = [found for word in self.command for found in macros.get(word, [word])]
        return [re.sub(r"\$\{envvar:(\w+)\}", lambda found: os.environ.get(found[1], found[1]), word) for word in words]

    def fit_arguments(self, values: Mapping[str, str]) -> list[str] | None:
        """What `lit-gans fit` gets in a trial; None if the command is another."""
        words = self.arguments(values)
        start = [sys.executable, "-m", "lit_gans", "fit"]
        return words[len(start) :] if words[: len(start)] == start else None


def read_sweep(path: Path) -> tuple[Sweep | None, list[Finding]]:
    """What the file asks for, unless something in it is wrong, and all that is.

    Raises:
        UserError: it cannot be read, or is no YAML.
    """
    try:
        tree = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict) or not tree.keys() & KEYS:
        raise UserError(f"{path} is no sweep: W&B's files have `method`, `metric`, `command` and `parameters`")
    findings: list[Finding] = []

    def checked(key: str, read: Any, *given: Any) -> Any:
        try:
            return read(*given)
        except Refused as error:
            findings.append(Finding(key, str(error)))
            return None

    for key in tree.keys() - KEYS:
        findings.append(Finding(str(key), f"is no key of a sweep; those are {', '.join(sorted(KEYS))}"))
    given = checked("parameters", read_parameters, tree.get("parameters")) or {}
    parameters = {str(name): checked(str(name), parameter, one) for name, one in given.items()}
    method = checked("method", one_of, tree.get("method"), METHODS)
    metric, goal, target = checked("metric", read_metric, tree.get("metric"), method) or ("", "minimize", None)
    halving = checked("early_terminate", Halving.read, tree["early_terminate"]) if tree.get("early_terminate") else None
    if halving and not metric:
        findings.append(Finding("early_terminate", "needs a metric"))
    for name, one in parameters.items():
        if method == "grid" and one:
            checked(name, lambda one=one: one.grid)
        if method != "random" and isinstance(one, Choice) and one.probabilities:
            findings.append(Finding(name, "probabilities are for method random only"))
    program = str(tree.get("program") or "")
    sweep = Sweep(
        name=checked("name", plain_name, tree.get("name") or path.stem),
        method=method,
        parameters=parameters,
        metric=metric,
        goal=goal,
        target=target,
        command=checked("command", read_command, tree.get("command"), program),
        program=program,
        run_cap=checked("run_cap", read_cap, tree.get("run_cap")),
        halving=halving,
        asked={key: tree.get(key) for key in ("method", "metric", "parameters", "command", "program")},
    )
    if not findings and method == "grid" and sweep.size > MOST:
        findings.append(Finding("parameters", f"a grid of {sweep.size} trials is too large: take method random"))
    return (None if findings else sweep), findings


def one_of(value: Any, known: tuple[str, ...]) -> str:
    """The value, if it is known."""
    if value not in known:
        raise Refused(f"must be one of {', '.join(known)}, not {value!r}")
    return value


def read_parameters(given: Any) -> dict[Any, Any]:
    """What is tried."""
    if not given:
        raise Refused("are missing: what is tried, such as {model.n_critic: {values: [1, 2]}}")
    if not isinstance(given, dict):
        raise Refused(f"must be a mapping, such as {{model.n_critic: {{values: [1, 2]}}}}, not {given!r}")
    return given


def plain_name(value: Any) -> str:
    """A name that a folder can have."""
    if not re.fullmatch(r"\w[\w.-]*", str(value)):
        raise Refused(f"names the folder of the runs: letters, digits, dots and dashes, not {value!r}")
    return str(value)


def read_metric(given: Any, method: str | None) -> tuple[str, str, float | None] | None:
    """Name, goal and target; a grid or random search may have none."""
    if given is None and method != "bayes":
        return None
    if (
        not isinstance(given, dict)
        or not isinstance(given.get("name"), str)
        or given.keys() - {"name", "goal", "target"}
    ):
        raise Refused(f"must be {{name: best/fid, goal: minimize}} (and perhaps a target), not {given!r}")
    target = None if given.get("target") is None else number("target", given["target"])
    return given["name"], one_of(given.get("goal", "minimize"), GOALS), target


def read_command(given: Any, program: str) -> tuple[str, ...]:
    """Program and arguments: W&B's macros are `${env}`, `${interpreter}`, `${program}`, `${args}`, `${envvar:NAME}`."""
    words = ["${env}", "${interpreter}", "${program}", "${args}"] if given is None else given
    if not isinstance(words, list) or any(isinstance(word, (dict, list, type(None))) for word in words):
        raise Refused("must be a list, such as [lit-gans, fit, --config, FILE, '${args}']")
    words = [str(word) for word in words]
    if words.count("${args}") != 1:
        raise Refused("must have '${args}' once, where the parameters' --name=value go")
    known = r"\$\{(env|interpreter|program|args|envvar:\w+)\}"
    if unknown := [
        found for word in words for found in re.findall(r"\$\{[^}]*\}", word) if not re.fullmatch(known, found)
    ]:
        raise Refused(f"has {unknown[0]}, which lit-gans would not understand: '${{args}}' gives --name=value")
    if "${program}" in words and not program:
        raise Refused("has ${program}, and the file names no program")
    return tuple(words)


def read_cap(given: Any) -> int | None:
    """The most trials."""
    if given is not None and (not isinstance(given, int) or given < 1):
        raise Refused(f"must be a number of trials, not {given!r}")
    return given


def told(values: Mapping[str, Any]) -> str:
    """In one line."""
    return " ".join(f"{name}={value}" for name, value in values.items())
