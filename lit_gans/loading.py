"""From a run or a checkpoint to a model that makes images, without the data and the config that made it."""

from inspect import isclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch

from lit_gans.base import AdversarialModule
from lit_gans.description import class_path, find_trusted_class, rebuild
from lit_gans.errors import UserError

Device = Literal["auto", "cpu", "cuda"]
"""Where a verb works; auto takes a GPU if there is one."""


def device_of(choice: Device) -> torch.device:
    """The device meant.

    Raises:
        UserError: it is a GPU, and there is none.
    """
    found = torch.cuda.is_available()
    if choice == "cuda" and not found:
        raise UserError("--device=cuda: PyTorch finds no GPU here")
    return torch.device("cuda" if found and choice != "cpu" else "cpu")


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint meant by a path: the file itself, or the best (else the last) one of a run directory.

    Raises:
        UserError: there is none.
    """
    path = Path(path)
    folder = path / "checkpoints"
    for candidate in (path, folder / "best.ckpt", folder / "last.ckpt"):
        if candidate.is_file():
            return candidate
    raise UserError(f"no checkpoint at {path}: give a .ckpt file or a run directory that has checkpoints/last.ckpt")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint file, on the CPU; nothing in the file is executed.

    Raises:
        UserError: the file is damaged, or is no checkpoint of this project.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UserError(f"{path} cannot be read as a checkpoint: it is damaged, or none") from error
    except (RuntimeError, EOFError, OSError) as error:
        reason = [*str(error).splitlines(), "it is empty"][0]
        raise UserError(f"{path} cannot be read as a checkpoint: {reason}") from error
    if not isinstance(checkpoint, dict) or not {"class_path", "hyper_parameters", "clock"} <= checkpoint.keys():
        raise UserError(f"{path} is not a checkpoint of Lit-GANs")
    return checkpoint


def load(
    run_or_checkpoint: str | Path, *, cls: type[AdversarialModule] | None = None, **arguments: Any
) -> AdversarialModule:
    """Rebuilds a trained model, in eval mode on the CPU.

    Args:
        run_or_checkpoint: A run directory (its best checkpoint, else its last one) or a checkpoint file.
        cls: Class of the model, needed only where it is not one of this project.
        arguments: Replace constructor arguments of the checkpoint. A class that is named there, such as
            `generator=MyNetwork`, is trusted, and built with the arguments that it had.

    Raises:
        UserError: there is no such checkpoint, it is damaged, or it names classes that are not of this project.
    """
    path = find_checkpoint(run_or_checkpoint)
    checkpoint = read_checkpoint(path)
    given = {class_path(value): value for value in arguments.values() if isclass(value)}
    saved = checkpoint["hyper_parameters"]
    named = {key: value["class_path"] for key, value in saved.items() if isinstance(value, dict)}
    replaced = {key: value for key, value in arguments.items() if given.get(named.get(key)) is not value}

    def find(path: str) -> type:
        return given.get(path) or find_trusted_class(path)

    cls = cls or find_trusted_class(checkpoint["class_path"])
    if not issubclass(cls, AdversarialModule):
        raise UserError(f"{path} names {checkpoint['class_path']}, which is not a model")
    try:
        model = cls(**{key: rebuild(value, find) for key, value in saved.items() if key not in replaced}, **replaced)
    except TypeError as error:
        raise UserError(f"{path} is of another version of {cls.__name__}: {error}") from error
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"the weights in {path} do not fit {cls.__name__}: {str(error).splitlines()[1].strip()}"
        ) from error
    model.on_load_checkpoint(checkpoint)
    return model.eval()


def load_sampler(run_or_checkpoint: str | Path) -> AdversarialModule:
    """A trained model that draws images from nothing.

    Raises:
        UserError: it makes images from images; see also `load`.
    """
    model = load(run_or_checkpoint)
    if not hasattr(model, "sample"):
        raise UserError(
            f"{run_or_checkpoint} has a {type(model).__name__}, which makes images from images: "
            "use `lit-gans translate` or `lit-gans upscale`; `lit-gans test` measures it"
        )
    return model
