"""Which of Lightning's strategies can play a game of two, what they need for it, and how they write checkpoints."""

from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lit_gans.errors import UserError
from lit_gans.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and then renames it; reads without executing anything from the file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes the file; a crash or a full disk leaves the previous one as it was.

        Raises:
            UserError: the file cannot be written.
        """
        try:
            with replacing(path) as temporary, open(temporary, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
        except (OSError, RuntimeError) as error:
            full = f"is the disk full? {str(error).splitlines()[0]}"
            reason = error.strerror if isinstance(error, OSError) and error.strerror else full
            raise UserError(f"cannot write {path} ({reason}); one that was there before is intact") from error

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Reads the file with `weights_only=True`, onto the CPU."""
        return torch.load(path, map_location="cpu", weights_only=True)


def check_trainer(trainer: Trainer) -> None:
    """Refuses what cannot work with two players, or with a data order that does not depend on it; sets the strategy.

    Raises:
        UserError: says what to do instead.
    """
    if trainer.overfit_batches:
        raise UserError("overfit_batches has no effect on a keyed order: take a small folder, or --data.limit")
    if trainer.precision in ("bf16-true", "16-true"):
        raise UserError(f"precision {trainer.precision} is too coarse for a game of two: use bf16-mixed")
    prepare_strategy(trainer.strategy)


def prepare_strategy(strategy: Strategy) -> None:
    """Sets what two players need: checkpoints that are whole, and of DDP that it bears parameters without gradient.

    DDP's buffers are averaged by the module itself, since DDP's own broadcast never runs in manual optimization.

    Raises:
        UserError: the strategy shards parameters or gradients, or was told not to look for unused parameters.
    """
    if type(strategy) is DDPStrategy:  # its subclasses are other things, such as DeepSpeed
        if strategy._ddp_kwargs.setdefault("find_unused_parameters", True) is False:
            raise UserError("a GAN needs find_unused_parameters=True of DDP: leave --trainer.strategy to its default")
        known = signature(DistributedDataParallel).parameters  # torch 2.15 gave the argument another name
        name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        strategy._ddp_kwargs.setdefault(name, False)
    elif not isinstance(strategy, SingleDeviceStrategy):
        raise UserError(
            f"{type(strategy).__name__} cannot train two players in turn: use DDP (--trainer.devices=N is enough)"
        )
    strategy.checkpoint_io = AtomicCheckpointIO()


def no_gradient_sync(strategy: Strategy) -> AbstractContextManager:
    """Under DDP, keeps gradients on their device: those of all micro-batches but the last."""
    return strategy.model.no_sync() if isinstance(strategy, DDPStrategy) else nullcontext()


def average_buffers(strategy: Strategy, *networks: nn.Module) -> None:
    """Under DDP, batch-norm statistics drift apart; all devices go on with their mean."""
    if not isinstance(strategy, DDPStrategy):
        return
    buffers = [buffer for network in networks for buffer in network.buffers() if buffer.is_floating_point()]
    if buffers:
        flat = strategy.reduce(torch.cat([buffer.flatten() for buffer in buffers]), reduce_op="mean")
        for buffer, mean in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(mean.view_as(buffer))
