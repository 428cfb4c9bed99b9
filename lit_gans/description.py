"""How a module is written down in plain numbers and strings, and built again without running code from a file."""

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from inspect import isclass, isfunction, signature
from types import FrameType
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch.utilities.parsing import collect_init_args
from torch import nn
from torch.optim import Optimizer

from lit_gans.errors import UserError
from lit_gans.losses import AdversarialLoss
from lit_gans.networks import Discriminator, Generator, Translator
from lit_gans.schedules import Schedule

TRUSTED = ("lit_gans.", "torch.optim.")
KINDS = (nn.Module, AdversarialLoss, Schedule, Optimizer)


def class_path(cls: Callable[..., Any]) -> str:
    """The import path of a class or function."""
    return f"{cls.__module__}.{cls.__qualname__}"


def describe_arguments(frame: FrameType) -> dict[str, Any]:
    """The arguments that build a module again, its subclasses' and defaults included, as `describe` puts them.

    What a subclass fixes for its bases is no argument of it.

    Args:
        frame: Of the `__init__` of the base class.
    """
    parts = collect_init_args(frame, [], classes=(nn.Module,))  # from the base class to the class built
    arguments = {name: value for part in parts for name, value in part.items()}
    known = {*parts[-1], *argument_names(type(frame.f_locals["self"]))}
    return {name: describe(value) for name, value in arguments.items() if name in known}


@cache
def argument_names(cls: type) -> list[str]:
    """All that a class takes, with what it hands on to its bases; the parser needs a while to find it out."""
    return ArgumentParser().add_class_arguments(cls, fail_untyped=False)


def describe(value: Any) -> Any:
    """Turns an argument into numbers, strings, lists and dicts, in the notation of the configs.

    A class becomes `{class_path}`; a partial of a class, or an instance of one of ours (whose attributes have the names
    of its arguments), becomes `{class_path, init_args}`.
    """
    if isclass(value) or isfunction(value):
        return {"class_path": class_path(value)}
    if isinstance(value, partial):  # jsonargparse hands over partial(instantiate, ..., class, **arguments)
        made, arguments = value.args[-1] if value.args else value.func, value.keywords
        return {"class_path": class_path(made), "init_args": {name: describe(arg) for name, arg in arguments.items()}}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    names = [name for name in signature(type(value)).parameters if hasattr(value, name)]
    return describe(partial(type(value), **{name: getattr(value, name) for name in names}))


def rebuild(description: Any, find_class: Callable[[str], type]) -> Any:
    """The inverse of `describe`: networks come back as factories, everything else as it was."""
    if isinstance(description, list):
        return [rebuild(item, find_class) for item in description]
    if not isinstance(description, dict):
        return description
    cls = find_class(description["class_path"])
    if "init_args" not in description:
        return cls
    arguments = {key: rebuild(value, find_class) for key, value in description["init_args"].items()}
    return partial(cls, **arguments) if issubclass(cls, (Generator, Discriminator, Translator)) else cls(**arguments)


def find_trusted_class(path: str) -> type:
    """The model, network, loss, penalty, schedule or optimizer at an import path of this project or of torch.optim.

    A file can name nothing else: other classes could do things when they are built.

    Raises:
        UserError: the path leads elsewhere, or to nothing.
    """
    if not path.startswith(TRUSTED):
        raise UserError(f"the file names the class {path}, which is not of this project: pass it in Python instead")
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        found = None
    if not isclass(found) or not issubclass(found, KINDS) or not class_path(found).startswith(TRUSTED):
        raise UserError(f"the file names the class {path}, which this version does not have")
    return found
