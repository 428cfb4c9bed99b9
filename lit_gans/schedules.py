"""Numbers that change over training, as functions of the images seen. `float | Schedule` is a scheduled number."""

import math
from dataclasses import dataclass

from lit_gans.errors import UserError


def positive(kimg: float) -> None:
    """Checks the length of a slope.

    Raises:
        UserError: it is not above 0.
    """
    if kimg <= 0:
        raise UserError(f"a schedule's kimg must be above 0, not {kimg}")


class Schedule:
    """A number as a function of time; time is counted in kimg (thousands of real images seen by all devices)."""

    def __call__(self, kimg: float) -> float:
        """The value after `kimg` thousand images."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Linear(Schedule):
    """From `start` in a straight line to `end`, between `begin` and `begin + kimg`; constant before and after.

    Args:
        start: Value until `begin`.
        kimg: Length of the slope, in thousands of images.
        end: Value afterwards.
        begin: When the slope begins, in thousands of images.
    """

    start: float
    kimg: float
    end: float = 0.0
    begin: float = 0.0

    def __post_init__(self) -> None:
        positive(self.kimg)

    def __call__(self, kimg: float) -> float:
        """The value after `kimg` thousand images."""
        share = min(max((kimg - self.begin) / self.kimg, 0.0), 1.0)
        return self.start + share * (self.end - self.start)


@dataclass(kw_only=True)
class Cosine(Schedule):
    """From `start` to `end` along half a cosine that lasts `kimg`, then constant (SGDR, arXiv:1608.03983, eq. 5).

    Args:
        start: First value.
        kimg: Length of the slope, in thousands of images.
        end: Value afterwards.
    """

    start: float
    kimg: float
    end: float = 0.0

    def __post_init__(self) -> None:
        positive(self.kimg)

    def __call__(self, kimg: float) -> float:
        """The value after `kimg` thousand images."""
        share = min(kimg / self.kimg, 1.0)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * share)) / 2


def value_at(number: float | Schedule, kimg: float) -> float:
    """The value of a scheduled number after `kimg` thousand images."""
    return number(kimg) if isinstance(number, Schedule) else number


AT_LAST = 1e9
"""A time in kimg at which every schedule is over."""


def least(number: float | Schedule) -> float:
    """The least value that a scheduled number ever has; schedules go one way."""
    return min(value_at(number, 0.0), value_at(number, AT_LAST))
