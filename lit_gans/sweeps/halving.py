"""Stopping trials early: W&B's `early_terminate`, by Optuna's successive halving."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lit_gans.sweeps.space import Refused

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Halving:
    """When a trial is looked at, and how many go on.

    In W&B, `type: hyperband` counts a trial's values of the metric. Of those trials that have more than `min_iter`
    values, the better ones, one in `eta`, go on to `eta * min_iter`, then to `eta^2 * min_iter` and so on. With
    `max_iter` and `s` in place of `min_iter`, that is `max_iter / eta^s`, rounded down, and there are `s` looks (W&B
    rounds the later ones down from `max_iter / eta` and so on, so that they may come a little later).
    There are no brackets as in the Hyperband paper (Li et al., 2018, arXiv:1603.06560): it is asynchronous successive
    halving (Li et al., 2020, arXiv:1810.05934), which Optuna has. Three things differ: W&B judges by the best value so
    far, Optuna by the latest (take `best/fid` and they are the same); among the first few W&B lets more go on (unless
    `strict` is true, which changes nothing here); and W&B judges a running trial again when others come to its last
    look, Optuna once.

    Attributes:
        first: Number of values before the one that is first looked at.
        eta: Of so many trials one goes on.
        last: Values from this number on are not looked at; None for all.
    """

    first: int
    eta: int
    last: int | None = None

    @classmethod
    def read(cls, given: Any) -> "Halving":
        """What the file says.

        Raises:
            Refused: nothing that can be done.
        """
        if not isinstance(given, dict) or given.get("type") != "hyperband":
            raise Refused(f"must have type: hyperband, not {given!r}")
        numbers = {key: value for key, value in given.items() if key not in ("type", "strict")}
        if unknown := numbers.keys() - {"min_iter", "max_iter", "s", "eta"}:
            raise Refused(f"has no {', '.join(map(str, unknown))}; it has min_iter, or max_iter and s, and eta")
        for key, value in numbers.items():
            if not isinstance(value, int) or value < 1:
                raise Refused(f"{key} must be a whole number above 0, not {value!r}")
        eta = numbers.get("eta", 3)
        if eta < 2:
            raise Refused("eta must be 2 or more: of so many trials one goes on")
        if numbers.keys() >= {"min_iter"} and not numbers.keys() & {"max_iter", "s"}:
            return cls(numbers["min_iter"], eta)
        if "min_iter" in numbers or not numbers.keys() >= {"max_iter", "s"}:
            raise Refused("give either min_iter, or both max_iter and s")
        looks = [numbers["max_iter"] // eta**k for k in range(1, numbers["s"] + 1) if numbers["max_iter"] >= eta**k]
        if not looks:
            raise Refused(f"max_iter must be at least eta ({eta}), not {numbers['max_iter']}")
        return cls(looks[-1], eta, looks[-1] * eta ** (len(looks) - 1) + 1)

    def pruner(self) -> "optuna.pruners.BasePruner":
        """Optuna's."""
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(min_resource=self.first, reduction_factor=self.eta)

    def bad(self, trial: "optuna.Trial", values: Sequence[float], known: int) -> bool:
        """Whether a trial is to be stopped, now that it has these values.

        Args:
            trial: Is told the new ones.
            values: Of the metric, in order.
            known: How many of them it was told before.
        """
        for place, value in enumerate(values[: self.last]):
            if place >= known:
                trial.report(value, place)
                if trial.should_prune():
                    return True
        return False
