"""A study: variants x datasets x seeds at an equal budget, as a YAML file says."""

import json
import re
import sys
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from lit_gans.errors import UserError
from lit_gans.explain import nearest
from lit_gans.jobs import Job

Options = dict[str, Any]
"""Of `lit-gans fit`, without the dashes."""

FIT = [sys.executable, "-m", "lit_gans", "fit"]
NEEDED = ("budget", "seeds", "datasets", "variants")
KNOWN = (*NEEDED, "options", "full")
OWN = {"label", "study", "run_dir", "seed_everything", "max_kimg", "ckpt_path"}
OWN |= {"trainer.max_steps", "trainer.max_epochs", "trainer.max_time"}
"""Options that a study gives each run itself, or that would change the budget of one."""


class Planned(NamedTuple):
    """One run of a study."""

    variant: str
    dataset: str
    seed: int
    run_dir: Path
    options: Options

    @property
    def name(self) -> str:
        """That of the run directory."""
        return self.run_dir.name


@dataclass(frozen=True)
class Study:
    """What a study file says.

    Attributes:
        path: The file.
        full: Whether it is what the file has under `full`.
        unit: Of the budget: thousands of images, or seconds of wall time.
        budget: Of each run.
        seeds: Outermost in the order of the runs, so that early results compare.
        options: Of all runs.
        datasets: Options by name.
        variants: Options by name.
    """

    path: Path
    full: bool
    unit: Literal["kimg", "seconds"]
    budget: float
    seeds: list[int]
    options: Options
    datasets: dict[str, Options]
    variants: dict[str, Options]

    @property
    def name(self) -> str:
        """That of the folder below `runs`."""
        return self.path.stem + "_full" * self.full

    @property
    def folder(self) -> Path:
        """Where the run directories lie."""
        return Path("runs") / self.name

    @property
    def length(self) -> tuple[str, float | str]:
        """The option of `fit` that limits a training to the budget, and its value."""
        if self.unit == "kimg":
            return "max_kimg", self.budget
        left, parts = int(self.budget), []
        for size in (86400, 3600, 60, 1):
            parts.append(f"{left // size:02}")
            left %= size
        return "trainer.max_time", ":".join(parts)

    def runs(self) -> list[Planned]:
        """All runs, in order."""
        return [
            Planned(
                variant=variant,
                dataset=dataset,
                seed=seed,
                run_dir=self.folder / f"{variant}-{dataset}-s{seed}",
                options=self.options | of_dataset | of_variant,
            )
            for seed in self.seeds
            for dataset, of_dataset in self.datasets.items()
            for variant, of_variant in self.variants.items()
        ]

    def job(self, run: Planned, further: list[str]) -> Job:
        """The training of a run, as a command with further arguments."""
        return Job(run.name, [*FIT, *self.arguments(run, further)], self.folder / "logs" / f"{run.name}.log")

    def arguments(self, run: Planned, further: list[str]) -> list[str]:
        """What `fit` is told.

        Classes stand before their arguments: the parser forgets those of a class when it meets another one.
        """
        given = sorted(run.options.items(), key=lambda one: (one[0] != "config", one[0].count(".")))
        own = {"label": run.variant, "study": self.name, "run_dir": run.run_dir, "seed_everything": run.seed}
        unlimited = {"trainer.max_steps": -1, "trainer.max_epochs": -1, "trainer.max_time": None, "max_kimg": None}
        own |= unlimited | dict([self.length])
        return [*(f"--{name}={as_text(value)}" for name, value in [*given, *own.items()]), *further]


def as_text(value: Any) -> str:
    """An option's value as the command line has it."""
    return json.dumps(value) if isinstance(value, (bool, int, float, list, dict, type(None))) else str(value)


def read_study(path: Path, *, full: bool = False) -> Study:
    """What a study file says.

    Args:
        path: The file.
        full: Whether what stands under `full` takes the place of what stands outside; the study is then another one.

    Raises:
        UserError: a mistake in the file.
    """
    try:
        return study_of(load(path), path, full)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


class OnceOnly(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping of unique keys."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise UserError(f"{key!r} is there twice (line {node.start_mark.line + 1} and below)")
        return super().construct_mapping(node, deep)


def load(path: Path) -> Any:
    """The content of a YAML file."""
    with path.open() as file:
        return yaml.load(file, OnceOnly)  # which is a safe loader


def study_of(tree: Any, path: Path, full: bool) -> Study:
    """A study, of the content of its file."""
    check_keys(tree, KNOWN, "the file")
    check_keys(tree.get("full", {}), KNOWN[:-1], "full")
    if full and "full" not in tree:
        raise UserError("there is nothing under `full`")
    tree = tree | (tree["full"] if full else {})
    if missing := [key for key in NEEDED if key not in tree]:
        raise UserError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    unit, budget = budget_of(tree["budget"])
    checked_name(path.stem, "study file")
    study = Study(
        path=path,
        full=full,
        unit=unit,
        budget=budget,
        seeds=seeds_of(tree["seeds"]),
        options=options_of(tree.get("options", {}), "options", path.parent),
        datasets=named_options(tree["datasets"], "dataset", path.parent),
        variants=named_options(tree["variants"], "variant", path.parent),
    )
    if both := study.datasets.keys() & study.variants.keys():
        raise UserError(f"{min(both)!r} is the name of a dataset and of a variant")
    for run in (runs := study.runs()):
        needed = ("variant", run.variant, "model", "GAN"), ("dataset", run.dataset, "data", "FashionMNIST")
        for kind, name, option, example in needed:
            if not {option, "config"} & run.options.keys():
                raise UserError(f"the {kind} {name!r} has no `{option}`, such as `{{{option}: {example}}}`")
    if len({run.run_dir for run in runs}) < len(runs):
        raise UserError("two runs would have one directory: names joined by dashes are ambiguous, choose others")
    return study


def check_keys(tree: Any, known: tuple[str, ...], where: str) -> None:
    """Refuses what is no mapping of known keys."""
    if not isinstance(tree, dict):
        raise UserError(f"{where} must be a mapping of {', '.join(known)}, not {tree!r}")
    for key in tree:
        if key not in known:
            raise UserError(f"{where} may have {', '.join(known)}, not {key!r}{nearest(str(key), known)}")


def checked_name(name: Any, what: str) -> str:
    """A name that can be part of a folder's."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"the name {name!r} of a {what} must be text of letters, digits, dots and dashes")
    return name


def budget_of(given: Any) -> tuple[Literal["kimg", "seconds"], float]:
    """Unit and number, of `{kimg: ...}` or `{seconds: ...}`."""
    unit, number = next(iter(given.items())) if isinstance(given, dict) and len(given) == 1 else (None, None)
    if (
        unit not in ("kimg", "seconds")
        or not is_number(number)
        or not 0 < number < inf
        or unit == "seconds"
        and number % 1
    ):
        raise UserError(f"budget must be {{kimg: NUMBER}} or {{seconds: WHOLE NUMBER}}, above 0, not {given!r}")
    return unit, number


def is_number(value: Any) -> bool:
    """Whether it is one (YAML's true and false are to Python, too)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def seeds_of(given: Any) -> list[int]:
    """A list of seeds, or the first so many."""
    seeds = list(range(given)) if isinstance(given, int) and is_number(given) else given
    fine = isinstance(seeds, list) and all(isinstance(one, int) and is_number(one) and one >= 0 for one in seeds)
    if not fine or not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"seeds must be a number of seeds or a list of different whole numbers from 0, not {given!r}")
    return seeds


def named_options(given: Any, kind: str, folder: Path) -> dict[str, Options]:
    """Options by name."""
    if not isinstance(given, dict) or not given:
        raise UserError(f"{kind}s must be a mapping of names to options, not {given!r}")
    return {checked_name(name, kind): options_of(one, f"the {kind} {name!r}", folder) for name, one in given.items()}


def options_of(given: Any, where: str, folder: Path) -> Options:
    """Options of `fit`; the place of a config is relative to that of the study file."""
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise UserError(f"{where} must be a mapping of options to values, such as `model.loss: Hinge`, not {given!r}")
    for name in given:
        check_free(name, where)
    if "config" not in given:
        return given
    config = folder / str(given["config"])
    if not config.is_file():
        raise UserError(f"{where} has a config that is not there: {config}")
    return given | {"config": config}


def check_free(name: str, where: str) -> None:
    """Refuses an option that the study sets itself."""
    if name in OWN:
        raise UserError(f"{where} may not have the option {name!r}, which the study gives each run itself")


def part_of(study: Study, *, seeds: list[int] | None = None, only: list[str] | None = None) -> Study:
    """The study with other seeds, and only the variants and datasets named (of a kind of which none is named, all).

    Raises:
        UserError: there is no such variant or dataset.
    """
    named = set(only or ())
    if unknown := named - study.variants.keys() - study.datasets.keys():
        known = [*study.variants, *study.datasets]
        raise UserError(f"{study.path} has {', '.join(known)}, not {min(unknown)!r}{nearest(min(unknown), known)}")
    variants, datasets = (
        {name: options for name, options in all_.items() if name in named} or all_
        for all_ in (study.variants, study.datasets)
    )
    return replace(study, seeds=seeds_of(seeds or study.seeds), variants=variants, datasets=datasets)
