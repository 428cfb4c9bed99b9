"""What a game logs: scalars kept between rows, and the rows."""

import lightning as L
import torch
from torch import Tensor

from lit_gans.divergence import DivergenceGuard
from lit_gans.losses import AdversarialLoss


class Rows(L.LightningModule):
    """Keeps the latest value of each scalar, and hands the loggers a row when one is due.

    Attributes:
        turn: Batches so far.
        images_seen: Real images so far, over all devices.
        generator_updates: Steps of the generator so far.
    """

    CLOCK = ("turn", "images_seen", "generator_updates")

    def __init__(self) -> None:
        super().__init__()
        self.turn, self.images_seen, self.generator_updates = 0, 0, 0
        self._watched = False
        self._piece: tuple[int, int, int] | None = None
        self._row: dict[str, Tensor] = {}
        self.divergence = DivergenceGuard()

    @property
    def kimg(self) -> float:
        """Thousands of real images so far, over all devices."""
        return self.images_seen / 1000

    def next_row(self) -> int:
        """The batch after which the loggers get their next row; -1 for none."""
        every = self._trainer.log_every_n_steps if self._trainer else 0
        return (self.turn // every + 1) * every - 1 if every else -1

    def note(self, name: str, value: Tensor) -> None:
        """Keeps a scalar for the rows, which have each one's latest value: the mean over the whole batch."""
        start, stop, size = self._piece or (0, 1, 1)
        part = value.detach() * ((stop - start) / size)
        self._row[name] = self._row[name] + part if start else part

    def note_decisions(self, loss: AdversarialLoss, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Keeps the discriminator's mean verdicts and its accuracy, if this is its last turn before the next row."""
        if self._watched:
            for name, value in loss.decisions(real_logits.detach(), fake_logits.detach()).items():
                self.note(f"discriminator/{name}", value)

    def row(self) -> dict[str, Tensor]:
        """The latest value of each scalar, averaged over devices."""
        if not self._row:
            return {}
        values = torch.stack([value.float() for value in self._row.values()])
        return dict(zip(self._row, self.all_gather(values).view(-1, len(values)).mean(0), strict=True))

    def log_row(self) -> None:
        """Hands the row of this batch to the loggers."""
        every = self.trainer.log_every_n_steps
        if not every or self.turn % every or not self._row:
            return
        self.divergence.check(self.all_gather)
        for name, value in self.row().items():
            self.log(name, value, prog_bar=name.endswith("adversarial"))
        self.log_clock()

    def log_clock(self) -> None:
        """Every row carries the same clock: images in thousands, batches (the loggers' own axis), steps of G."""
        self.log("kimg", self.kimg, prog_bar=True)
        self.log("step", float(self.turn))
        self.log("generator/updates", float(self.generator_updates))
