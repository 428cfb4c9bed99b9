"""Names that a run logs, as its config tells them."""

import re
from importlib import import_module
from typing import Any

from lit_gans.metrics.classes import ClassFID, LabelAccuracy
from lit_gans.metrics.features import SHIPPED
from lit_gans.metrics.fid import FID
from lit_gans.metrics.inception_score import InceptionScore
from lit_gans.metrics.pairwise import PAIRWISE
from lit_gans.run import Config

ALWAYS = r"(generator|discriminator|cost|speed|augment)/\w+|kimg|step"
"""Losses and their kin, which every run logs; which ones exactly depends on the variant."""


def class_of(given: Any) -> type:
    """The class that a config names, with arguments or without."""
    path = given["class_path"] if isinstance(given, dict) else given
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def measured(config: Config) -> list[str]:
    """Names of what validations measure, such as `val/fid`, without those that name a network too."""
    if config["trainer"]["limit_val_batches"] in (0, 0.0):
        return []
    found, metrics, pairs = [], config["metrics"], config["pairs"]
    if metrics["features"] != []:
        scores = [FID, InceptionScore, LabelAccuracy, *map(class_of, metrics["scores"])]
        names = [name for score in scores for name in score.values or (score.name,)]
        found += [f"val/{name}" for name in names] + ["best/fid", "best/of"]
        found += [f"val/fid_class{k}" for k in range(10)] * (metrics["per_class"] or ClassFID in scores)
    if class_of(config["data"]).batches.__name__ == "Paired":
        learned = ["lpips"] * (pairs["lpips"] == "alex") + ["lpips_vgg"] * (pairs["lpips"] == "vgg")
        names = [*PAIRWISE, *learned, *["miou"] * pairs["miou"]]
        found += [f"val/{name}" for name in names] + ["best/psnr", "best/psnr_of"]
    return found


def is_logged(name: str, config: Config) -> bool:
    """Whether a run of this config will have rows with the name; of names with a network, the network is looked at."""
    names = measured(config)
    whole = "|".join(map(re.escape, names))
    suffix = rf"_({'|'.join(map(re.escape, networks(config)))})\w*"
    return bool(re.fullmatch(ALWAYS, name) or names and re.fullmatch(rf"({whole})({suffix})?", name))


def networks(config: Config) -> list[str]:
    """What names with a feature network go on with."""
    metrics, data = config["metrics"], class_of(config["data"])
    shipped = getattr(data, "name", None) in (*SHIPPED, "stacked_mnist")
    given = [class_of(one) for one in metrics["features"] or []]
    found = [getattr(cls, "name", cls.__name__.lower()) for cls in given] or [data.name if shipped else "inception"]
    return [*found, *["inception"] * bool(metrics["protocols"])]
