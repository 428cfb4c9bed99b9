"""The adversarial game without its mathematics: who plays, when, and how a step is taken."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from inspect import currentframe, signature
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Adam, Optimizer

from datamodules.batches import Labelled
from lit_gans.description import class_path, describe_arguments
from lit_gans.ema import ema_decay, update_ema
from lit_gans.errors import UserError, at_least
from lit_gans.networks.layers import spectral_estimates
from lit_gans.randomness import keyed_generator, seed_engines
from lit_gans.resume import count_steps, rewind_to_batch_boundary
from lit_gans.rows import Rows
from lit_gans.schedules import AT_LAST, Schedule, least, value_at
from lit_gans.strategy import average_buffers, check_trainer, no_gradient_sync

Terms = dict[str, Tensor]
Player = Literal["generator", "discriminator"]


class Phase(NamedTuple):
    """One turn of one player: whose parameters move, what they minimise (named terms, whose sum counts), and when.

    `every` is a number of batches, or a function from the number of batches before this one to yes or no.
    """

    player: Player
    objective: Callable[[Any], Terms]
    every: int | Callable[[int], bool] = 1

    def due(self, turn: int) -> bool:
        """Whether this phase is played on batch `turn` (counted from 0): at the end of each `every` batches."""
        return self.every(turn) if callable(self.every) else (turn + 1) % self.every == 0


class AdversarialModule(Rows):
    """Two players share each batch; every phase lets one of them minimise one objective.

    A variant writes `discriminator_loss` and `generator_loss`. Each returns named terms: their sum is minimised, and
    each term is logged as `player/term`. A step is a batch, whoever plays: so count `trainer.global_step`, `max_steps`,
    `val_check_interval` and the rows of the logs. What should survive a change of the batch size is counted in real
    images seen by all devices together (`images_seen`; `kimg` in the logs is thousands of them).

    Devices and micro-batches share the batch, and play the game that one device plays on the whole of it, to rounding.
    Not so what looks at several images at once, which sees those at hand: batch norm, `DRAGANPenalty` (its deviation of
    pixels) and `RelativisticAverage`; dropout, whose masks each device draws as it comes to them; and a pool of images,
    if several devices have micro-batches, which come to it in another order.

    Args:
        generator: Network that makes images.
        discriminator: Network that judges them, by logits.
        optimizer: Adam, SGD or RMSprop, or any other class of torch.optim; takes what it knows of the next arguments.
        generator_lr: Learning rate of the generator, constant or as a schedule.
        discriminator_lr: Learning rate of the discriminator, constant or as a schedule.
        betas: Decay of the moments, for optimizers of the Adam family; each constant or as a schedule.
        eps: Added to the root of the second moment, for optimizers that have one; None for that of their class.
        momentum: For SGD and RMSprop.
        weight_decay: For all optimizers.
        n_critic: Batches on which the discriminator plays for each one on which the generator plays too.
        micro_batches: Pieces into which a batch is cut to save memory; gradients are accumulated over them.
        generator_clip: Largest norm of the generator's gradient; None for no bound.
        discriminator_clip: Likewise for the discriminator.
        ema_half_life: Images after which the averaged generator has forgotten half of its past; or a schedule.
        ema_ramp: The half-life is at most this share of the images seen so far; None for no such bound.

    Attributes:
        batches: What the game is played on.
    """

    batches = Labelled

    def __init__(
        self,
        *,
        generator: nn.Module,
        discriminator: nn.Module,
        optimizer: type[Optimizer] = Adam,
        generator_lr: float | Schedule = 2e-4,
        discriminator_lr: float | Schedule = 2e-4,
        betas: tuple[float | Schedule, float | Schedule] = (0.5, 0.999),
        eps: float | None = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        n_critic: int = 1,
        micro_batches: int = 1,
        generator_clip: float | None = None,
        discriminator_clip: float | None = None,
        ema_half_life: float | Schedule = 10_000,
        ema_ramp: float | None = 0.05,
    ) -> None:
        super().__init__()
        at_least(1, n_critic=n_critic, micro_batches=micro_batches)
        at_least(0, generator_lr=least(generator_lr), discriminator_lr=least(discriminator_lr))
        at_least(0, ema_half_life=least(ema_half_life))
        if issubclass(optimizer, torch.optim.LBFGS):
            raise UserError("LBFGS calls its loss several times a step, which no game of two allows: choose another")
        self.save_hyperparameters(describe_arguments(currentframe()))
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        self.ema = deepcopy(generator).eval().requires_grad_(False)
        self.optimizer, self.betas, self.eps = optimizer, tuple(betas), eps
        self.momentum, self.weight_decay = momentum, weight_decay
        self._known_settings = set(signature(optimizer).parameters)  # asked for at each step, and slow to find
        self.learning_rates = {"generator": generator_lr, "discriminator": discriminator_lr}
        self.clips = {"generator": generator_clip, "discriminator": discriminator_clip}
        self.n_critic, self.micro_batches = n_critic, micro_batches
        self.ema_half_life, self.ema_ramp = ema_half_life, ema_ramp
        self.seed, self._phase = torch.initial_seed(), 0
        for kimg in (0.0, AT_LAST):
            try:
                optimizer([nn.Parameter(torch.zeros(1))], **self.settings("generator", kimg))
            except ValueError as error:
                raise UserError(f"{optimizer.__name__}: {error}") from error

    # -- the mathematics: each variant writes its own ------------------------------------------------------------------

    def discriminator_loss(self, batch: Any) -> Terms:
        """The terms that the discriminator minimises."""
        raise NotImplementedError

    def generator_loss(self, batch: Any) -> Terms:
        """The terms that the generator minimises."""
        raise NotImplementedError

    def phases(self) -> list[Phase]:
        """Who plays, in which order: the discriminator on every batch, then the generator on every `n_critic`-th."""
        return [
            Phase("discriminator", self.discriminator_loss),
            Phase("generator", self.generator_loss, every=self.n_critic),
        ]

    def validation_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """`{"real": images, "fake": images}`, in [-1, 1], the fakes by the averaged generator."""
        raise NotImplementedError

    def test_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """The same as in validation."""
        return self.validation_step(batch, batch_idx)

    # -- the mechanics: written once -----------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """One batch: every phase that is due, then the averaged generator and the clock."""
        images = len(batch[0]) * self.trainer.world_size
        # Dropout and whatever else asks the global engine: a function of (seed, batch, device), as after any resume.
        seed_engines(self.device, self.seed, "step", self.turn, self.global_rank)
        for index, phase in enumerate(self.phases()):
            if phase.due(self.turn):
                self._phase = index
                self.play(phase, batch)
        average_buffers(self.trainer.strategy, *(part for name, part in self.named_children() if name != "ema"))
        self.images_seen += images
        half_life = value_at(self.ema_half_life, self.kimg)
        update_ema(self.ema, self.generator, ema_decay(images, half_life, self.images_seen, self.ema_ramp))
        self.after_batch(images)
        self.turn += 1
        count_steps(self.trainer.fit_loop, self.turn)
        self.log_row()

    def play(self, phase: Phase, batch: Any) -> None:
        """Lets one player minimise its objective; only its own parameters receive gradient."""
        player, size = phase.player, len(batch[0])
        optimizer = dict(zip(("generator", "discriminator"), self.optimizers(), strict=True))[player]
        for group in optimizer.param_groups:
            group.update(self.settings(player, self.kimg))
        row = self.next_row()
        self._watched = self.turn <= row and not any(phase.due(turn) for turn in range(self.turn + 1, row + 1))
        with self.toggled_optimizer(optimizer):
            optimizer.zero_grad(set_to_none=True)
            # Each pass improves the estimates of spectral norm; all pieces begin with the same ones, as a whole would.
            estimates = spectral_estimates(self) if self.micro_batches > 1 else []
            before, start = [estimate.clone() for estimate in estimates], 0
            for piece in zip(*(field.chunk(min(self.micro_batches, size)) for field in batch), strict=True):
                stop = start + len(piece[0])
                self._piece = (start, stop, size)
                for estimate, value in zip(estimates, before, strict=True):
                    estimate.copy_(value)
                with nullcontext() if stop == size else no_gradient_sync(self.trainer.strategy):
                    terms = phase.objective(type(batch)(*piece))
                    loss = sum(terms.values())
                    self.manual_backward(loss * ((stop - start) / size))
                for name, term in terms.items():
                    self.note(f"{player}/{name}", term)
                self.divergence.watch(player, loss, self.turn)
                start = stop
            self._piece = None
            optimizer.step()
        self.generator_updates += player == "generator"
        self.after_step(player)

    def after_step(self, player: Player) -> None:
        """Called when a player has moved."""

    def after_batch(self, images: int) -> None:
        """Called after all phases of a batch of `images` real images, over all devices."""

    def draw(self, sampler: Callable[..., Tensor], purpose: str, *shape: int) -> Tensor:
        """Random numbers for the images at hand, a function of (seed, images seen, phase, purpose).

        Drawn for the whole batch of all devices, of which this device and micro-batch take their part; so the game does
        not depend on how a batch is cut, nor on a resume.

        Args:
            sampler: torch.randn, torch.rand or alike: `sampler(*shape, generator=...)`.
            purpose: What the numbers are for; numbers for unlike purposes are independent.
            shape: Of the result; the first dimension is that of the batch at hand, or a multiple of it.
        """
        start, stop, size = self._piece or (0, shape[0], shape[0])
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self._trainer else (1, 0)
        per_image = shape[0] // (stop - start)
        generator = keyed_generator(self.seed, self.images_seen, self._phase, purpose)
        numbers = sampler(size * world * per_image, *shape[1:], generator=generator)
        first = (rank * size + start) * per_image
        return numbers[first : first + shape[0]].to(self.device)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clips, and notes the gradient's norm; gradients are unscaled here whatever the precision."""
        player = "generator" if optimizer is self.trainer.optimizers[0] else "discriminator"
        if self.clips[player] is None and not self._watched:
            return
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        self.note(f"{player}/gradient_norm", norm)
        if self.clips[player] is not None:
            clip_grads_with_norm_(parameters, self.clips[player], norm)

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer for each player, the generator's first."""
        return [
            self.optimizer(getattr(self, player).parameters(), **self.settings(player, self.kimg))
            for player in ("generator", "discriminator")
        ]

    def settings(self, player: Player, kimg: float) -> dict[str, Any]:
        """What the player's optimizer is told after so many images, of what its class knows."""
        settings = {
            "lr": value_at(self.learning_rates[player], kimg),
            "betas": tuple(value_at(beta, kimg) for beta in self.betas),
            **({} if self.eps is None else {"eps": self.eps}),
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
        }
        return {name: value for name, value in settings.items() if name in self._known_settings}

    # -- what Lightning asks -------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Checks that strategy, precision, kind and size of the images can work, or raises a UserError."""
        check_trainer(self.trainer)
        data, expected = self.trainer.datamodule, self.hparams.get("image_shape")
        if (given := getattr(data, "batches", self.batches)) is not self.batches:
            names = f"{type(self).__name__} plays on {self.batches.__name__} images"
            raise UserError(f"{names}, and {type(data).__name__} has {given.__name__} ones: choose other data")
        if expected and list(getattr(data, "image_shape", expected)) != list(expected):
            raise UserError(f"the data have images of {list(data.image_shape)}, the networks are for {list(expected)}")

    def train(self, mode: bool = True) -> "AdversarialModule":
        """Sets the mode of both players; the averaged generator stays in eval mode."""
        super().train(mode)
        self.ema.eval()
        return self

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Lets Lightning's own count of rows follow the clock; a resume can shift it."""
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.turn

    def on_validation_epoch_end(self) -> None:
        """Gives the rows of metrics the same clock as those of training."""
        if not self.trainer.sanity_checking:
            self.log_clock()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the clock and how to rebuild the module; what is saved is the state between two batches."""
        checkpoint["class_path"] = class_path(type(self))
        checkpoint["clock"] = {name: getattr(self, name) for name in ("seed", *self.CLOCK)}
        checkpoint["row"] = self.row()
        rewind_to_batch_boundary(checkpoint["loops"]["fit_loop"], self.turn, self.trainer.num_training_batches)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, **arguments: Any) -> "AdversarialModule":
        """`lit_gans.load` for a class at hand; nothing in the file is executed."""
        from lit_gans.loading import load  # which imports this module

        return load(checkpoint_path, cls=cls, **arguments)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the clock, and what is kept for the next row."""
        for name, value in checkpoint["clock"].items():
            setattr(self, name, value)
        self._row = {name: value.to(self.device) for name, value in checkpoint["row"].items()}
