"""Tables and protocols as plain text."""

from collections.abc import Mapping, Sequence
from typing import Any


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (zip(row, widths, strict=True) for row in rows)
    return ["  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in lines]


def described(protocol: Mapping[str, Any]) -> str:
    """How a number is made, in a line."""
    of_sets = ("n_fake", "n_real", "reference", "data", "image_size", "features", "resize")
    words = "{n_fake} fakes, {n_real} reals ({reference}) of {data} at {image_size}, by {features}, resize {resize}"
    told = [words.format(**protocol)] if all(name in protocol for name in of_sets) else []
    said = {"sha256", "content", *of_sets} if told else {"sha256", "content"}
    return ", ".join([*told, *(f"{name}={value}" for name, value in protocol.items() if name not in said)])


def printable(text: str) -> str:
    """Text from a file as one line that tells a terminal nothing: no escape sequences, no line breaks."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
