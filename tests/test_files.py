import os
import resource
import signal
from pathlib import Path

import pytest
import torch

from lit_gans.callbacks import Checkpoint
from lit_gans.errors import UserError
from lit_gans.files import replacing
from lit_gans.strategy import AtomicCheckpointIO
from tests.conftest import Noise, small_gan, trainer


def test_a_failed_write_leaves_the_old_file():
    path = Path("deep/file.txt")
    with replacing(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path) as temporary:
        temporary.with_name("never made").rename(temporary)
    assert path.read_text() == "old"
    assert os.listdir("deep") == ["file.txt"]


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path):
    """A child process that may write 10 kB to a file: what is larger fails in the middle, as on a full disk."""
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(10)}, path)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(100_000)}, path)
        except UserError as error:
            os._exit(0 if "is intact" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert AtomicCheckpointIO().load_checkpoint(path)["weights"].shape == (10,)
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_what_a_killed_process_half_wrote_is_removed():
    Path("checkpoints").mkdir()
    Path("checkpoints/.last.ckpt.0123.tmp").touch()
    trainer(callbacks=[Checkpoint()]).fit(small_gan(), Noise())
    assert os.listdir("checkpoints") == ["last.ckpt"]


def test_checkpoints_by_time_and_by_steps(monkeypatch):
    written = []
    monkeypatch.setattr(Checkpoint, "write", lambda self, trainer, module: written.append(trainer.global_step))
    trainer(callbacks=[Checkpoint(every_n_train_steps=2)], max_steps=5).fit(small_gan(), Noise())
    assert written == [2, 4, 5]
    written.clear()
    trainer(callbacks=[Checkpoint(every_n_seconds=0)], max_steps=3).fit(small_gan(), Noise())
    assert written == [0, 1, 2, 3]


def test_best_is_written_when_the_metric_improves():
    values = iter([3.0, 1.0, 2.0])

    class Model(type(small_gan())):
        def on_validation_epoch_end(self):
            self.log("val/fid", next(values))

    run = trainer(
        callbacks=[Checkpoint()],
        max_steps=6,
        limit_val_batches=1,
        val_check_interval=2,
        check_val_every_n_epoch=None,
    )
    run.fit(small_gan(Model), Noise())
    assert torch.load("checkpoints/best.ckpt", weights_only=True)["global_step"] == 4
    assert torch.load("checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
