"""The run directory: which one a config means, and whether it can be continued."""

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from lit_gans.errors import UserError
from lit_gans.files import replacing
from lit_gans.status import LOCK

Config = dict[str, Any]


def identity(config: Config) -> Config:
    """The part of a config that changes the result: not the length of training, logging, devices or places.

    The place of the data counts only where nothing else says which data they are: for folders of images, not for sets
    known by the name of their class or by `dataset`. Further scores and protocols change no other number, so they don't
    count; of the measures of pairs, only the border left out does.
    """
    data = config["data"]
    given = data.get("init_args") or {}
    named = given.get("dataset", "download" in given) or short_name(data["class_path"]) == "digits"
    ignored = {"num_workers", "download", "seed", *(["root"] * bool(named))}
    arguments = {key: value for key, value in given.items() if key not in ignored}
    metrics = {
        key: value for key, value in config["metrics"].items() if key not in ("per_class", "scores", "protocols")
    }
    if (shave := config.get("pairs", {}).get("shave")) is not None:
        metrics["shave"] = shave
    return {
        "model": config["model"],
        "data": {"class_path": data["class_path"], "init_args": arguments},
        "precision": str(config["trainer"].get("precision") or "32-true"),
        "metrics": {**metrics, "limit_val_batches": config["trainer"].get("limit_val_batches")},
        "seed": config["seed_everything"],
    }


def short_name(class_path: str) -> str:
    """`dcgan` for `lit_gans.DCGAN`."""
    return class_path.rpartition(".")[2].lower()


def run_name(config: Config) -> str:
    """`<variant>-<dataset>-s<seed>-<hash8>`, with a hash of all that changes the result."""
    digest = sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()[:8]
    named = labels(config)
    return f"{named['variant']}-{named['dataset']}-s{named['seed']}-{digest}"


def labels(config: Config) -> dict[str, Any]:
    """What runs are told apart by: variant (its `--label`, else its class), dataset, seed, study."""
    return {
        "variant": config.get("label") or short_name(config["model"]["class_path"]),
        "dataset": short_name(config["data"]["class_path"]),
        "seed": config["seed_everything"],
        "study": config.get("study", "default"),
    }


def batches(kimg: float, batch_size: int) -> int:
    """How many make so many thousands of images, or the few more that complete the last one.

    Raises:
        UserError: not even one does.
    """
    images = round(1000 * kimg, 6)  # 1000 * 32.112 is a little above 32,112
    if images < batch_size:
        raise UserError(f"{kimg:g} kimg are less than one batch of {batch_size} images: ask for more, or smaller ones")
    return math.ceil(images / batch_size)


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted keys."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    return {key: value for name, branch in tree.items() for key, value in flatten(branch, f"{prefix}.{name}").items()}


def check_same_run(run_dir: Path, config: Config, parts: tuple[str, ...] = ()) -> None:
    """Refuses a run directory that was made by another config, and a folder that is none.

    Args:
        run_dir: Of the run; need not exist.
        config: Of now.
        parts: Look only at these parts of the identity; all by default.

    Raises:
        UserError: names the keys that differ.
    """
    if is_empty(run_dir):
        return
    if differing := differences(read_config(run_dir), config, parts):
        raise UserError(
            f"{run_dir} belongs to another config, which differs in {first_of(differing)}: "
            "name another --run_dir (or, to train anew in it, --fresh)"
        )


def differences(before: Config, now: Config, parts: tuple[str, ...] = ()) -> list[str]:
    """Where the identities of two configs differ, or some parts of them."""
    one, other = (flatten({key: tree[key] for key in parts or tree}) for tree in (identity(before), identity(now)))
    return [
        f"{key.removeprefix('.').replace('.init_args', '')} ({one.get(key)} there, {other.get(key)} now)"
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    ]


def first_of(differing: list[str]) -> str:
    """Four of them, and how many more there are."""
    more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
    return ", ".join(differing[:4]) + more


def is_empty(run_dir: Path) -> bool:
    """Whether nothing was made there yet: nothing but the lock, and what a killed process half wrote."""
    return not run_dir.exists() or all(path.name.startswith(".") for path in run_dir.iterdir())


@contextmanager
def alone(run_dir: Path) -> Iterator[None]:
    """Keeps other processes from training in the run directory; ends with the block, and with the process.

    Raises:
        UserError: one does.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_dir / LOCK, timeout=1)  # who asks whether the run is held holds it for an instant
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(f"another process is training in {run_dir}: wait for it, or stop it") from error
    except NotImplementedError:
        pass  # a file system without locks
    try:
        yield
    finally:
        lock.release()


def write_config(run_dir: Path, config: Config) -> None:
    """Writes the resolved config, so that `lit-gans fit --config RUN/config.yaml` repeats the run."""
    with replacing(run_dir / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False))


def read_config(run_dir: Path) -> Config:
    """The config that a run directory was made by.

    Raises:
        UserError: the folder is no run directory.
    """
    path = run_dir / "config.yaml"
    try:
        config = read_plain(path)
        identity(config), labels(config)
    except FileNotFoundError as error:
        raise UserError(f"there is no {path}: {run_dir} is not the directory of a run") from error
    except (*UNREADABLE, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not of ours: {run_dir} is not the directory of a run") from error
    return config


LARGEST = 2**16
"""Characters of a config; ours have some thousand."""

UNREADABLE = (OSError, ValueError, RecursionError, yaml.YAMLError)
"""What `read_plain` raises."""


def read_plain(path: Path) -> Any:
    """What a YAML file holds, made of plain values; see `is_plain`.

    Raises:
        Some of `UNREADABLE`: it cannot be read, is too large, or holds something else.
    """
    with open(path, encoding="utf-8") as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST or not is_plain(tree := yaml.safe_load(text)):
        raise ValueError(f"{path} is no config")
    return tree


def is_plain(tree: Any, most: int = 10_000, deepest: int = 50) -> bool:
    """Whether it is made of dicts with names, lists and plain values, and no larger than a config can be.

    The aliases of a few lines of YAML can stand for billions of values, or for a list that holds itself.
    """
    waiting, count = [(tree, 0)], 0
    while waiting:
        branch, depth = waiting.pop()
        count += 1
        if isinstance(branch, dict) and all(isinstance(name, str) for name in branch):
            branches = list(branch.values())
        elif isinstance(branch, list):
            branches = branch
        elif branch is None or isinstance(branch, (str, int, float)):
            branches = []
        else:
            return False
        if depth > deepest or count + len(waiting) + len(branches) > most:
            return False
        waiting += [(below, depth + 1) for below in branches]
    return True


CONTENTS = {
    "samples": "sample grids over time, on the same latents or inputs",
    "gallery": "index.html: input, output and target of each test image",
    "curves.png": "losses, accuracy of D and metrics over kimg",
    "metrics.csv": "every logged row",
    "protocols.json": "how each metric was made",
    "evaluation": "what `lit-gans evaluate` measured, with pictures",
    "checkpoints": "last.ckpt to continue from; best.ckpt by FID or another `--checkpoint.monitor`, once measured",
    "tensorboard": "the same rows for TensorBoard",
    "wandb": "the same rows for W&B; send them with `wandb sync`",
    "status.json": "whether it runs, was finished, stopped or failed, and why",
    "config.yaml": "the resolved config; repeats the run",
}
"""What a run makes in its directory."""


def start_over(run_dir: Path) -> None:
    """Deletes what an earlier run made, and nothing else; the config last, so that a deletion can be taken up again.

    Raises:
        UserError: the folder is no run directory.
    """
    if is_empty(run_dir):
        return
    read_config(run_dir)
    for name in CONTENTS:
        path = run_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def inventory(run_dir: Path) -> str:
    """What lies in a run directory, one line each."""
    lines = [f"  {name:12} {what}" for name, what in CONTENTS.items() if (run_dir / name).exists()]
    return "\n".join([f"Run directory: {run_dir}", *lines])
