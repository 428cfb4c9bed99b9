"""Where the parser of arguments does not do what its users mean."""

from types import ModuleType
from typing import Any

import yaml
from jsonargparse import Namespace, _typehints, get_loader, set_loader
from torch import nn

all_subclass_paths = _typehints.get_all_subclass_paths


def mend_parser() -> None:
    """Lets a class that takes the place of another start from its own defaults, and `null` be none at any depth.

    Where any `nn.Module` will do, the help names the classes that are meant to be given, and not the hundreds of torch.
    """
    _typehints.discard_init_args_on_class_path_change = start_afresh
    _typehints.get_all_subclass_paths = paths_of_subclasses
    load = get_loader("yaml")
    set_loader("yaml", lambda text: None if text == "None" else load(text), exceptions=(yaml.YAMLError,))


def paths_of_subclasses(hint: Any, include_abstract: bool = False, closed_types: bool = True) -> list[str]:
    """Of a type hint with `nn.Module` in it, for the help: those of its other classes."""
    kinds = () if closed_types else _typehints.get_class_types(hint, closed_types=False)
    if nn.Module not in kinds:
        return all_subclass_paths(hint, include_abstract, closed_types)
    others = (all_subclass_paths(kind, include_abstract, closed_types) for kind in kinds if kind is not nn.Module)
    return [path for paths in others for path in paths]


def start_afresh(_parser: Any, before: Namespace | None, now: Namespace) -> None:
    """Forgets the arguments of a class when another one takes its place, which then has defaults of its own.

    The parser would keep those that have the same name: `--model.generator=ResNetGenerator` the MLP's `latent_dim`, and
    `--model=WGAN` after the config of a DCGAN its learning rates and `n_critic`.
    """
    if before and before["class_path"] != now["class_path"]:
        before.pop("init_args", None)


def learn_short_names(*packages: ModuleType) -> None:
    """Imports the public classes of packages: the parser knows the short names of imported classes only."""
    for package in packages:
        for name in package.__all__:
            getattr(package, name)
