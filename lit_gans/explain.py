"""Turns the parser's long complaints into one line, with the nearest right name where a name is wrong."""

import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from inspect import signature

from jsonargparse import ArgumentParser


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean ...?`, or nothing where no name is near."""
    by_lower = {other.lower(): other for other in names}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[found[0]]}?" if found else ""


def families() -> list[type]:
    """Classes whose subclasses a config can name; of a command that does without torch none."""
    if "torch" not in sys.modules:
        return []
    from datamodules.base import Data
    from lit_gans.augment import Augment
    from lit_gans.base import AdversarialModule
    from lit_gans.losses import AdversarialLoss
    from lit_gans.metrics.features import FeatureNetwork
    from lit_gans.metrics.protocol import Protocol
    from lit_gans.metrics.score import Score
    from lit_gans.networks import Discriminator, Generator, Translator
    from lit_gans.penalties import Penalty
    from lit_gans.perceptual import PerceptualNetwork
    from lit_gans.schedules import Schedule

    return [
        *(AdversarialModule, Data, AdversarialLoss, Penalty, Augment, Schedule, PerceptualNetwork),
        *(FeatureNetwork, Score, Protocol, Generator, Discriminator, Translator),
    ]


def our_classes() -> list[type]:
    """Every class of this project that a config can name, once its module is imported."""
    found, waiting = [], families()
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        found += [cls] * cls.__module__.startswith(("lit_gans.", "datamodules."))
    return found


def needs(cls: type, argument: str) -> bool:
    """Whether the class has this argument, and no default for it."""
    parameter = signature(cls.__init__).parameters.get(argument)
    return parameter is not None and parameter.default is parameter.empty


def explain(message: str, options: Iterable[str]) -> str:
    """The heart of a message of jsonargparse.

    Args:
        message: What the parser says, over several lines.
        options: The options that the parser knows, such as `--trainer.max_steps`.
    """
    if match := re.search(r"Option '([\w.]+)' is not accepted", message):
        owners = {name: cls.__name__ for cls in our_classes() for name in signature(cls.__init__).parameters}
        if match[1] not in owners:
            return f"there is no argument {match[1]!r} here{nearest(match[1], owners)}"
        rest = f"{owners[match[1]]} has one, which the class given (of a list, the last one) fixes or does not know"
        return f"there is no argument {match[1]!r} here; {rest}"
    if match := re.search(r"does not accept option '([\w.]+)'", message):
        key = match[1].split(".")[0] if f"--{match[1].split('.')[0]}" not in options else match[1]
        return f"there is no key {match[1]!r}{nearest(key, [option.lstrip('-') for option in options])}"
    if match := re.search(r"unrecognized arguments: ([^\s=]+)", message):
        return f"there is no option {match[1]}{nearest(match[1], options)}"
    key = match[1] if (match := re.search(r'Parser key "(\S+)":', message)) else ""
    if match := re.search(r"(?:abc.Sequence|Expected a <class 'list)'>\. Got value: (\w+)$", message):
        return f"{key} is a list: write [{match[1]}]"
    if match := re.search(r"Expected a dot import path string: (\S+)", message):
        kind = "number or class" if "Expected a <class 'float'>" in message else "class"
        names = [cls.__name__ for cls in our_classes()]
        if match[1] in names:
            return f"{key}: {match[1]} is a class of another kind"
        if key == "optimizer":
            return f"{key}: there is no class {match[1]!r}: name one of PyTorch's in full, such as torch.optim.RMSprop"
        return f"{key}: there is no {kind} {match[1]!r}{nearest(match[1], names)}".removeprefix(": ")
    if match := re.search(r"callable class: (.*?)\.*\s+Got value|given class_path '\S+':\n\s+(.*)", message):
        given = re.search(r"NestedArg\(key='(\w+)'", message)
        return f"{given[1] if given else key}: {readable(match[1] or match[2])}"
    if match := re.search(r"Subtypes: \[(.*)\]\n(?:.*\n)*\s*Given value: (.+)", message):
        if match[1].startswith("list["):
            return f"{key} is a list: write [{match[2]}]"
        return f"{key}: {match[2]!r} is none of {readable(match[1])}"
    if match := re.search(r"arguments are required: (?:\w+\.)?(\w+)", message):
        if needing := [cls.__name__ for cls in our_classes() if needs(cls, match[1])]:
            return f"{match[1]} is required by {' and '.join(sorted(needing))}"
        dashes = "--" * (f"--{match[1]}" in options)
        return f"{dashes}{match[1]} is required (see --help, or for a training a config of experiments/configs)"
    return readable(re.sub(r'Parser key "(\S+)":(\s+- Expected a path but .*)?', r"\1:", message))


class OneLineErrors:
    """Lets a parser say what is wrong in one line, with the nearest right name."""

    def error(self, message: str, ex: Exception | None = None) -> None:
        """Prints the line and leaves with exit code 2."""
        verbs = [dict(getattr(action, "choices", None) or {}).values() for action in self._actions]
        parsers = [self, *(parser for verb in verbs for parser in verb)]
        options = [option for parser in parsers for action in parser._actions for option in action.option_strings]
        self.exit(2, f"lit-gans: error: {explain(message, options)}\n")


class Parser(OneLineErrors, ArgumentParser):
    """The parser of the verbs that are functions."""


def readable(message: str) -> str:
    """On one line, with classes by their names."""
    return " ".join(
        re.sub(r"<class '([\w.]+)'>|typing.Literal(\[.*?\])", r"\1\2", message).replace("NoneType", "null").split()
    )
