"""The data: `from datamodules import MNIST`. Nothing, torch included, is imported before it is asked for."""

from importlib import import_module
from typing import Any

_HOMES = {
    "CIFAR10": "torchvision_sets",
    "CelebA": "celeba",
    "Digits": "digits",
    "FashionMNIST": "torchvision_sets",
    "ImageData": "base",
    "ImageFolder": "image_folder",
    "Inpainting": "inpainting",
    "Labelled": "batches",
    "MNIST": "torchvision_sets",
    "Paired": "batches",
    "PairedImages": "paired_images",
    "StackedMNIST": "stacked_mnist",
    "SuperResolution": "super_resolution",
    "Unpaired": "batches",
    "UnpairedImages": "unpaired_images",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
