"""Metrics of generated images: feature networks, and the callback that scores every validation."""

from importlib import import_module

_HOME = {
    "ImageQuality": "quality",
    "Inception": "features",
    "SmallClassifier": "features",
    "StackedClassifier": "stacked",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
