"""Runs in double precision, on one device or two, and whether what they leave is equal."""

import os
from copy import deepcopy
from datetime import timedelta
from functools import partial

import lightning as L
import torch
from torch.distributed import init_process_group
from torch.multiprocessing import start_processes

from tests.conftest import SavedAt, trainer

close = partial(torch.testing.assert_close, rtol=0, atol=1e-10)


class Ending(L.Callback):
    """What each player's steps were taken with, and all that a run leaves."""

    def __init__(self):
        self.gradients, self.left = [], {}

    def on_before_optimizer_step(self, trainer, module, optimizer):
        player = "generator" if optimizer is trainer.optimizers[0] else "discriminator"
        network = getattr(module, player)
        self.gradients.append({f"{player}.{name}": p.grad.clone() for name, p in network.named_parameters()})

    def on_train_end(self, trainer, module):
        self.left = {
            "state": deepcopy(dict(module.state_dict())),
            "momenta": [optimizer.state_dict() for optimizer in trainer.optimizers],
            "row": module.row(),
            "images_seen": module.images_seen,
        }


def ended(model, data, *, steps, cut, devices=1, checkpoint=None):
    """The gradients of a run in double precision that saves before batch `cut`, and what it leaves."""
    ending = Ending()
    run = trainer(
        max_steps=steps,
        log_every_n_steps=steps,
        precision="64-true",
        callbacks=[ending, SavedAt(cut)],
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
    )
    run.fit(model.double(), data, ckpt_path=checkpoint)
    return ending.gradients, ending.left


def play_on_two(rank, folder, played, games):
    """Plays all games as one of two devices, each whole and from a checkpoint with another initial state."""
    os.chdir(folder)
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0"}  # by which Lightning sees that the processes are there
    meeting = f"file://{folder}/meeting"
    init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    for game in games:
        endings = played(game, devices=2), played(game, devices=2, seed=1, checkpoint="cut.ckpt")
        torch.save(endings, f"{game}.{rank}.pt")


def endings_on_two(folder, played, games):
    """By the game's name: what each of two devices ended with, (whole, resumed)."""
    start_processes(play_on_two, (str(folder), played, games), nprocs=2, start_method="fork")
    return lambda game: [torch.load(folder / f"{game}.{rank}.pt", weights_only=True) for rank in range(2)]


def compare(ending, expected, devices=1):
    """To rounding, which the rows of the logs do in float32; ADA counts what a device has seen on average."""
    (gradients, left), (expected_gradients, expected_left) = ending, expected
    for count in {"augment.signs", "augment.logits"} & left["state"].keys():
        left["state"][count] *= devices
    assert min(max(value.abs().max() for value in step.values()) for step in expected_gradients) > 1e-4
    close(gradients, expected_gradients)
    torch.testing.assert_close(left.pop("row"), expected_left["row"], rtol=1e-5, atol=1e-6)
    close(left, {name: value for name, value in expected_left.items() if name != "row"})
