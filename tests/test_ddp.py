"""Two processes on half batches against one process on the whole; gloo, CPU."""

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.strategies import DDPStrategy

from lit_gans.callbacks import Checkpoint, SampleGrid
from lit_gans.metrics import ImageQuality, SmallClassifier
from lit_gans.penalties import R1, GradientPenalty
from tests.conftest import Noise, same, small_gan, small_generator, trainer


class Dump(L.Callback):
    """Each process writes what it ends with."""

    def __init__(self, world):
        self.world = world

    def on_train_end(self, trainer, module):
        state = {
            "weights": {name: value.clone() for name, value in module.state_dict().items()},
            "clock": (module.turn, module.images_seen, trainer.global_step),
            "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
        }
        torch.save(state, f"{self.world}.{trainer.global_rank}.pt")


def run(world, *, precision="64-true", steps=4, batch_size=8, **arguments):
    """The states at the end, one for each process."""
    model = small_gan(optimizer=torch.optim.SGD, **arguments)
    model = model.double() if precision == "64-true" else model
    quality = ImageQuality(features=[SmallClassifier("digits")], n_real=30, n_fake=30)
    fitter = trainer(
        devices=world,
        strategy=DDPStrategy(start_method="fork", process_group_backend="gloo") if world > 1 else "auto",
        precision=precision,
        max_steps=steps,
        limit_val_batches=1.0,
        val_check_interval=steps,
        log_every_n_steps=1,
        logger=DummyLogger(),
        callbacks=[quality, Dump(world), Checkpoint(every_n_train_steps=2), SampleGrid(rows=1, columns=2)],
    )
    fitter.fit(model, Noise(batch_size=batch_size))
    return [torch.load(f"{world}.{rank}.pt", weights_only=True) for rank in range(world)]


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_two_processes_equal_one(micro_batches):
    """Weights of both players, averaged generator, clock, log values, FID and IS."""
    arguments = {"penalties": [R1(1.0), GradientPenalty(2.0, every=2)], "n_critic": 2, "micro_batches": micro_batches}
    (one,), (first, second) = run(1, **arguments), run(2, **arguments)
    assert same(first, second)
    torch.testing.assert_close(first["weights"], one["weights"], rtol=0, atol=1e-10)
    assert first["clock"] == one["clock"] == (4, 32, 4)
    assert first["metrics"] == pytest.approx(one["metrics"], rel=1e-5)
    assert {"val/fid_digits", "val/is_digits", "discriminator/r1", "generator/gradient_norm"} <= one["metrics"].keys()


def test_a_process_without_validation_images_keeps_up():
    """Thirteen of them in batches of sixteen: one process has all, the other none."""
    (one,), (first, second) = run(1, steps=2, batch_size=16), run(2, steps=2, batch_size=16)
    assert same(first, second)
    assert first["metrics"] == pytest.approx(one["metrics"], rel=1e-5)


def test_batch_statistics_stay_together():
    """With batch norm each process normalises by its own half; running statistics are the mean of both."""
    first, second = run(
        2,
        precision="bf16-mixed",
        generator=lambda shape, n: small_generator(shape, n, batch_norm=True),
        penalties=[GradientPenalty(1.0)],
    )
    assert same(first, second)
    assert first["weights"]["ema.layers.1.running_mean"].abs().sum() > 0
