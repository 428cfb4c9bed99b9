"""Where the parser of arguments does not do what its users mean."""

from types import ModuleType
from typing import Any

import yaml
from jsonargparse import Namespace, _typehints, get_loader, set_loader


def mend_parser() -> None:
    """Lets a class that takes the place of another start from its own defaults, and `null` be none at any depth."""
    _typehints.discard_init_args_on_class_path_change = start_afresh
    load = get_loader("yaml")
    set_loader("yaml", lambda text: None if text == "None" else load(text), exceptions=(yaml.YAMLError,))


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
