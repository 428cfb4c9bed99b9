"""Metrics of generated images: feature networks, scores, protocols, and the callback that measures every validation."""

from importlib import import_module

_HOME = {
    "CLIP": "foundation",
    "ClassFID": "classes",
    "CleanProtocol": "protocol",
    "CustomFeatures": "custom",
    "DINOv2": "foundation",
    "DataCopying": "memorisation",
    "FID": "fid",
    "FIDInfinity": "fid",
    "FIDInterval": "fid",
    "ImageQuality": "quality",
    "Inception": "inception",
    "InceptionScore": "inception_score",
    "KID": "kid",
    "Lucic2018": "protocol",
    "MiFID": "memorisation",
    "ModeCoverage": "classes",
    "Neighbours": "neighbours",
    "PairQuality": "fidelity",
    "PathLength": "path_length",
    "Protocol": "protocol",
    "Reference": "reference",
    "SmallClassifier": "features",
    "StackedClassifier": "stacked",
    "StyleGANProtocol": "protocol",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
