import os
import signal

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger

from lit_gans import GAN
from lit_gans.callbacks import Checkpoint, SampleGrid
from lit_gans.loggers import CSVRows
from lit_gans.metrics import ImageQuality
from lit_gans.penalties import GradientPenalty
from tests.conftest import Noise, same, small_discriminator, small_gan, small_generator, trainer

STEPS, EPOCH = 17, 5


class Killed(Exception):
    """Stands for whatever ends a process."""


class KillAt(L.Callback):
    """Saves before batch `at`, as Checkpoint does, and ends the run there."""

    def __init__(self, at):
        self.at = at

    def on_train_batch_start(self, trainer, module, *args):
        if trainer.global_step == self.at:
            trainer.save_checkpoint("cut.ckpt")
            raise Killed


class Journal(L.Callback):
    """Notes every batch, validation and end of an epoch."""

    def __init__(self):
        self.events = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.events.append((trainer.global_step, "batch", batch_idx, batch.image.double().sum().item()))

    def on_validation_end(self, trainer, module):
        self.events.append((trainer.global_step, "validation"))

    def on_train_epoch_end(self, trainer, module):
        if trainer.global_step % EPOCH == 0:
            self.events.append((trainer.global_step, "epoch", trainer.current_epoch))


class SaveEach(L.Callback):
    """Saves before every batch, as Checkpoint does, and notes what had been told by then."""

    def __init__(self):
        self.told = {}

    def on_train_batch_start(self, trainer, module, *args):
        trainer.save_checkpoint(f"{trainer.global_step}.ckpt")
        (journal,) = (callback for callback in trainer.callbacks if isinstance(callback, Journal))
        self.told[trainer.global_step] = [*journal.events], [*trainer.logger.rows]


class Rows(DummyLogger):
    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, {name: value for name, value in metrics.items() if "epoch" not in name}))


def model(seed):
    return small_gan(
        seed=seed,
        generator=lambda shape, classes: small_generator(shape, classes, batch_norm=True),
        discriminator=lambda shape, classes: small_discriminator(shape, classes, dropout=0.3),
        penalties=[GradientPenalty(1.0, every=3)],
        n_critic=2,
    )


def play(gan, *, steps=STEPS, ckpt_path=None, callbacks=(), workers=0, **kwargs):
    journal, rows = Journal(), Rows()
    run = trainer(
        max_steps=steps,
        callbacks=[journal, *callbacks],
        logger=rows,
        log_every_n_steps=2,
        limit_val_batches=1,
        **kwargs,
    )
    try:
        run.fit(gan, Noise(flip=True, num_workers=workers), ckpt_path=ckpt_path)
    except Killed:
        return None, journal.events, rows.rows
    state = {
        "weights": gan.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in run.optimizers],
        "clock": (gan.turn, gan.images_seen, run.global_step),
        "rng": torch.get_rng_state(),
    }
    return state, journal.events, rows.rows


VALIDATIONS = {
    "each epoch": {},
    "twice an epoch": {"val_check_interval": 2},
    "across epochs": {"val_check_interval": 3, "check_val_every_n_epoch": None},
}


@pytest.mark.parametrize("validation", VALIDATIONS)
def test_resume_is_exact_wherever_it_is_cut(validation):
    """Weights, averages, optimizers, clock, random state, batches, validations, epochs and log rows."""
    kwargs = VALIDATIONS[validation]
    whole, events, rows = play(model(0), **kwargs)
    saved = SaveEach()
    assert same(play(model(0), callbacks=[saved], **kwargs)[0], whole)
    for cut in range(1, STEPS):
        before, rows_before = saved.told[cut]
        torch.manual_seed(99)
        resumed, after, rows_after = play(model(1), ckpt_path=f"{cut}.ckpt", **kwargs)
        assert before + after == events, cut
        assert same(rows_before + rows_after, rows), cut
        assert same(resumed, whole), cut


def test_resume_is_exact_in_limited_epochs():
    """Epochs of three batches that don't fit into the five of the data."""
    whole, events, rows = play(model(0), limit_train_batches=3)
    for cut in (3, 4, 8):
        _, before, rows_before = play(model(0), callbacks=[KillAt(cut)], limit_train_batches=3)
        resumed, after, rows_after = play(model(1), ckpt_path="cut.ckpt", limit_train_batches=3)
        assert before + after == events
        assert same(rows_before + rows_after, rows)
        assert same(resumed, whole)


def test_resume_is_exact_with_workers():
    whole, events, _ = play(model(0), workers=2, steps=7)
    _, before, _ = play(model(0), callbacks=[KillAt(4)], workers=2, steps=7)
    resumed, after, _ = play(model(1), ckpt_path="cut.ckpt", workers=2, steps=7)
    assert before + after == events
    assert same(resumed, whole)


def test_an_older_state_of_the_loops_would_not_be_exact(monkeypatch):
    """The test above notices when loop counters are saved as Lightning leaves them."""
    _, events, _ = play(model(0))
    monkeypatch.setattr("lit_gans.base.rewind_to_batch_boundary", lambda *args: None)
    _, before, _ = play(model(0), callbacks=[KillAt(5)])
    _, after, _ = play(model(1), ckpt_path="cut.ckpt")
    assert before + after != events


def test_a_finished_run_can_be_lengthened():
    whole, events, _ = play(model(0))
    _, before, _ = play(model(0), steps=7, callbacks=[Checkpoint()])
    resumed, after, _ = play(model(1), ckpt_path="checkpoints/last.ckpt")
    batches = [event for event in before + after if event[1] == "batch"]
    assert batches == [event for event in events if event[1] == "batch"]
    assert same(resumed, whole)


def full_run(kill_at=None):
    """A run with all that the command line adds, which a child process may end by SIGKILL in the middle of a step."""

    class Fatal(GAN):
        def generator_loss(self, batch):
            if self.turn == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().generator_loss(batch)

    gan = small_gan(Fatal)
    run = trainer(
        max_steps=14,
        callbacks=[
            Checkpoint(every_n_train_steps=2, every_n_seconds=1e9),
            SampleGrid(rows=2, columns=2),
            ImageQuality(features=[], n_real=8, n_fake=8),
        ],
        logger=CSVRows("metrics.csv"),
        log_every_n_steps=1,
        val_check_interval=4,
        check_val_every_n_epoch=None,
        limit_val_batches=1,
    )
    ckpt_path = "checkpoints/last.ckpt" if os.path.exists("checkpoints/last.ckpt") else None
    run.fit(gan, Noise(), ckpt_path=ckpt_path)


@pytest.mark.parametrize("kill_at", [3, 8, 13])
def test_killed_inside_a_step(tmp_path, monkeypatch, kill_at):
    """kill -9 in the middle of a step, then the same command: files as of the run that was never killed."""
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder, kills in zip(folders, ([], [kill_at]), strict=True):
        folder.mkdir()
        monkeypatch.chdir(folder)
        for kill in [*kills, None]:
            child = os.fork()
            if child == 0:
                torch.set_num_threads(1)
                try:
                    full_run(kill)
                    os._exit(0)
                except BaseException:
                    import traceback

                    traceback.print_exc()
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            assert status == (signal.SIGKILL if kill is not None else 0)
    whole, killed = folders
    assert (whole / "metrics.csv").read_text() == (killed / "metrics.csv").read_text()
    for picture in (whole / "samples").iterdir():
        assert picture.read_bytes() == (killed / "samples" / picture.name).read_bytes()
    states = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in folders]
    assert same(*states)
