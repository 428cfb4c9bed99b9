"""Notices a loss that is NaN or infinite, at no cost in synchronisation."""

from collections.abc import Callable

import torch
from torch import Tensor

from lit_gans.errors import UserError


class DivergenceGuard:
    """Remembers, on the device, the first batch at which each player's loss was not finite."""

    def __init__(self) -> None:
        self.first: dict[str, Tensor] = {}

    @torch.no_grad()
    def watch(self, player: str, loss: Tensor, turn: int) -> None:
        """Looks at the loss (a scalar) of one turn."""
        found = torch.where(loss.isfinite(), torch.inf, float(turn))
        self.first[player] = torch.minimum(self.first[player], found) if player in self.first else found

    def check(self, gather: Callable[[Tensor], Tensor]) -> None:
        """Reads what was remembered, on all devices.

        Args:
            gather: Collects a scalar from all devices.

        Raises:
            UserError: a loss was not finite; names player and step.
        """
        turns = {player: gather(first).min().item() for player, first in self.first.items()}
        player = min(turns, key=turns.get, default=None)
        if player and turns[player] < torch.inf:
            raise UserError(
                f"the loss of the {player} is not finite at step {int(turns[player]) + 1}; checkpoints keep the last "
                "good weights: try a smaller learning rate, gradient clipping, or bf16-mixed or 32 as precision"
            )
