"""The run directory: which one a config means, and whether it can be continued."""

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from lit_gans.errors import UserError
from lit_gans.files import replacing

Config = dict[str, Any]

PLACE = {"root", "num_workers", "download", "seed"}
"""Arguments of the data that do not change what is learned; the seed has its own place in the run's name."""


def identity(config: Config) -> Config:
    """The part of a config that changes the result: not the length of training, logging, devices or places."""
    data = config["data"]
    arguments = {key: value for key, value in (data.get("init_args") or {}).items() if key not in PLACE}
    return {
        "model": config["model"],
        "data": {"class_path": data["class_path"], "init_args": arguments},
        "precision": str(config["trainer"].get("precision") or "32-true"),
        "metrics": config["metrics"],
        "seed": config["seed_everything"],
    }


def short_name(class_path: str) -> str:
    """`dcgan` for `lit_gans.DCGAN`."""
    return class_path.rpartition(".")[2].lower()


def run_name(config: Config) -> str:
    """`<variant>-<dataset>-s<seed>-<hash8>`, with a hash of all that changes the result."""
    essence = identity(config)
    digest = sha256(json.dumps(essence, sort_keys=True).encode()).hexdigest()[:8]
    variant, dataset = (short_name(essence[key]["class_path"]) for key in ("model", "data"))
    return f"{variant}-{dataset}-s{essence['seed']}-{digest}"


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted keys."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    return {key: value for name, branch in tree.items() for key, value in flatten(branch, f"{prefix}.{name}").items()}


def check_same_run(run_dir: Path, config: Config) -> None:
    """Refuses a run directory that was made by another config.

    Raises:
        UserError: names the keys that differ.
    """
    path = run_dir / "config.yaml"
    if not path.exists():
        return
    before, now = (flatten(identity(tree)) for tree in (yaml.safe_load(path.read_text()), config))
    differing = [
        f"{key.removeprefix('.').replace('.init_args', '')} ({before.get(key)} there, {now.get(key)} now)"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if differing:
        raise UserError(
            f"{run_dir} belongs to another config, which differs in {', '.join(differing)}: "
            "name another --run_dir, or start over in it with --fresh"
        )


def write_config(run_dir: Path, config: Config) -> None:
    """Writes the resolved config, so that `lit-gans fit --config RUN/config.yaml` repeats the run."""
    with replacing(run_dir / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False))


def start_over(run_dir: Path) -> None:
    """Deletes what an earlier run left; refuses a folder that is not a run directory.

    Raises:
        UserError: the folder holds other things.
    """
    if run_dir.exists() and any(run_dir.iterdir()) and not (run_dir / "config.yaml").exists():
        raise UserError(f"{run_dir} is not a run directory (it has no config.yaml): --fresh deletes nothing there")
    shutil.rmtree(run_dir, ignore_errors=True)


def inventory(run_dir: Path) -> str:
    """What lies in a run directory, one line each."""
    contents = {
        "samples": "sample grids over time, on the same latents",
        "curves.png": "losses, accuracy of D, FID and IS over kimg",
        "metrics.csv": "every logged row",
        "config.yaml": "the resolved config; repeats the run",
        "checkpoints": "last.ckpt to continue from, best.ckpt by FID",
        "tensorboard": "the same rows for TensorBoard",
        "wandb": "the same rows for W&B; send them with `wandb sync`",
    }
    lines = [f"  {name:12} {what}" for name, what in contents.items() if (run_dir / name).exists()]
    return "\n".join([f"Run directory: {run_dir}", *lines])
