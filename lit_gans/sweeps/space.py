"""What a parameter of a sweep can be: some values, or a range."""

import re
from dataclasses import dataclass
from decimal import Decimal
from inspect import signature
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import optuna

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)

MOST = 10_000
"""Trials of a grid."""


class Refused(ValueError):
    """A line that says what is wrong with a parameter, and what to write."""


@dataclass(frozen=True)
class Choice:
    """One of some values, all as likely as each other unless `probabilities` says otherwise.

    Values reach the command as text, `str(value)` as W&B's agent has it; so `true` is `True`, and `null` is `None`.
    """

    values: tuple[Any, ...]
    probabilities: tuple[float, ...] | None = None

    @property
    def texts(self) -> list[str]:
        """The values as the command gets them."""
        return [str(value) for value in self.values]

    grid = edges = texts

    def drawn(self, random: "np.random.Generator") -> str | None:
        """One at random, if that is not left to Optuna."""
        return str(random.choice(self.texts, p=self.probabilities)) if self.probabilities else None

    def suggest(self, trial: "optuna.Trial", name: str) -> str:
        """Lets Optuna choose; it is told texts, since to it `1` and `True` would be the same."""
        return trial.suggest_categorical(name, self.texts)


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included: of whole numbers, or in steps, or uniform, or uniform in the logarithm.

    With `rounded`, a random search rounds real numbers to steps: the ends come half as often as what is between them.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False
    rounded: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int)

    @property
    def edges(self) -> list[str]:
        """Both ends, as the command gets them."""
        return list(dict.fromkeys([str(self.low), str(self.high)]))

    @property
    def grid(self) -> list[str]:
        """All that are in it.

        Raises:
            Refused: they cannot be counted, or are too many.
        """
        if self.step is None:
            raise Refused("a grid has no end in a range of real numbers: list values, or take q_uniform")
        if self.steps >= MOST:
            raise Refused(f"{self.steps + 1} values are too many for a grid")
        return [self.after(k) for k in range(self.steps + 1)]

    @property
    def steps(self) -> int:
        """From end to end."""
        return int((Decimal(str(self.high)) - Decimal(str(self.low))) / Decimal(str(self.step)))

    def after(self, steps: int) -> str:
        """The value so many steps above `low`."""
        return str(type(self.low)(Decimal(str(self.low)) + steps * Decimal(str(self.step))))

    def drawn(self, random: "np.random.Generator") -> str | None:
        """One at random, if that is not left to Optuna."""
        return self.after(round(random.uniform(0, self.steps))) if self.rounded else None

    def suggest(self, trial: "optuna.Trial", name: str) -> str:
        """Lets Optuna choose."""
        if self.whole:
            return str(trial.suggest_int(name, self.low, self.high, step=self.step))
        return str(trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log))


Parameter = Choice | Range


def parameter(given: Any) -> Parameter:
    """What W&B's YAML says of one parameter.

    Of W&B's distributions there are those of `DISTRIBUTIONS`; without `distribution`, whole ends mean `int_uniform` and
    others `uniform`, as in W&B.

    Raises:
        Refused: it says nothing that could be done, or nothing that Optuna does as W&B would.
    """
    if not isinstance(given, dict):
        raise Refused(f"give it `value`, `values`, or `min` and `max`, not {given!r}")
    if "parameters" in given:
        raise Refused("nested parameters are not all searched by W&B: write flat ones with dotted names")
    kind = str(given.get("distribution") or guessed(given))
    if kind == "log_uniform":
        raise Refused(
            "min and max of log_uniform are exponents of e: use log_uniform_values, with the values themselves"
        )
    if kind not in DISTRIBUTIONS:
        raise Refused(f"distribution {kind!r} cannot be had without W&B's server: use {', '.join(DISTRIBUTIONS)}")
    arguments = {str(key): value for key, value in given.items() if key != "distribution"}
    try:
        signature(DISTRIBUTIONS[kind]).bind(**arguments)
    except TypeError as error:
        raise Refused(f"{kind}: {error}") from error
    return DISTRIBUTIONS[kind](**arguments)


def guessed(given: dict[str, Any]) -> str:
    """The distribution that W&B takes where none is named."""
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical"
    if not {"min", "max"} <= given.keys():
        raise Refused("give it `value`, `values`, or `min` and `max`")
    low, high = ends(given["min"], given["max"])
    if type(low) is not type(high):
        raise Refused(f"write min and max ({low}, {high}) both as whole numbers, or both with a point")
    return "int_uniform" if isinstance(low, int) else "uniform"


def constant(*, value: Any) -> Choice:
    """The one value."""
    return Choice((value,))


def categorical(*, values: Any, probabilities: Any = None) -> Choice:
    """The values, with their probabilities if any are given."""
    if not isinstance(values, list) or not values:
        raise Refused(f"values must be a list, not {values!r}")
    for value in values:
        if isinstance(value, str) and NUMBER.fullmatch(value):
            number("the value", value)
    texts = [str(value) for value in values]
    if twice := [text for text in texts if texts.count(text) > 1]:
        raise Refused(f"the value {twice[0]} stands there more than once")
    if probabilities is None:
        return Choice(tuple(values))
    if not isinstance(probabilities, list) or len(probabilities) != len(values):
        raise Refused(f"give as many probabilities as values ({len(values)})")
    shares = tuple(number("a probability", share) for share in probabilities)
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise Refused(f"probabilities must add up to 1, not {sum(shares):g}")
    return Choice(tuple(values), shares)


def int_uniform(*, min: Any, max: Any) -> Range:
    """Whole numbers."""
    low, high = ends(min, max)
    if not isinstance(low, int) or not isinstance(high, int):
        raise Refused(f"min and max of int_uniform are whole numbers, not {low} and {high}")
    return Range(low, high, step=1)


def uniform(*, min: Any, max: Any) -> Range:
    """Real numbers."""
    return Range(*map(float, ends(min, max)))


def log_uniform_values(*, min: Any, max: Any) -> Range:
    """Real numbers, whose logarithms are uniform."""
    low, high = ends(min, max)
    if low <= 0:
        raise Refused(f"min of log_uniform_values must be above 0, not {low}")
    return Range(float(low), float(high), log=True)


def q_uniform(*, min: Any, max: Any, q: Any = 1) -> Range:
    """Multiples of `q`; the ends must be some, since W&B rounds to multiples and would leave the range.

    Method random draws as W&B does, real numbers that are rounded. A grid has both ends, and W&B's leaves out `max`.
    """
    (low, high), step = ends(min, max), number("q", q)
    if step <= 0:
        raise Refused(f"q must be above 0, not {step}")
    for end in (low, high):
        if Decimal(str(end)) % Decimal(str(step)):
            raise Refused(f"min and max of q_uniform must be multiples of q, and {end} is none of {step}")
    kind = int if all(isinstance(one, int) for one in (low, high, step)) else float
    return Range(*map(kind, (low, high, step)), rounded=True)


def ends(low: Any, high: Any) -> tuple[float, float]:
    """Both ends of a range, checked."""
    low, high = number("min", low), number("max", high)
    if not low < high:
        raise Refused(f"min must be below max, not {low} and {high}")
    return low, high


def number(key: str, value: Any) -> float:
    """A finite number of the file.

    Raises:
        Refused: it is none, or YAML has read it as text.
    """
    if isinstance(value, str) and NUMBER.fullmatch(value):
        raise Refused(f"YAML reads {key} {value!r} as text: write {with_point(value)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise Refused(f"{key} must be a number, not {value!r}")
    return value


def with_point(text: str) -> str:
    """`1.0e-5` for `1e-5`, the way YAML knows a number; without quotes it knows the others as they are."""
    mantissa, e, exponent = text.lower().partition("e")
    if not e:
        return f"{text}, without quotes"
    return f"{mantissa}{'.0' * ('.' not in mantissa)}e{exponent if exponent[0] in '+-' else '+' + exponent}"


DISTRIBUTIONS = {
    one.__name__: one for one in (constant, categorical, int_uniform, uniform, log_uniform_values, q_uniform)
} | {"categorical_w_probabilities": categorical}
"""By W&B's names."""
